//! Decoders. Each codec's file has the same functions: `samples` (how many a payload holds) and `decode` (append them, 8 kHz).

mod g711;
mod linear;

use sotto_private::Encoding;

/// The rate that everything here works at, samples a second.
pub(crate) const RATE: u32 = 8_000;

/// Appends what a payload holds, at [`RATE`], full scale 32768.
pub(crate) fn decode(encoding: Encoding, payload: &[u8], samples: &mut Vec<i16>) {
    match encoding {
        Encoding::Pcmu => g711::decode_mu(payload, samples),
        Encoding::Pcma => g711::decode_a(payload, samples),
        // Dialog hands on none of these yet.
        Encoding::G722 | Encoding::Opus | Encoding::L16 { .. } => {}
        Encoding::Linear { rate } => linear::decode(payload, rate, samples),
    }
}
