//! Decoders. Each codec's file has the same: a `Decoder` with what the stream before left behind, `samples` (the most that a payload
//! becomes) and `decode` (append them, at [`RATE`]).
//!
//! Comfort noise (RFC 3389) is not among them: it stands for the silence between words, and silence is what a scorer hears there.

mod g711;
mod g722;
mod l16;
mod linear;
#[cfg(feature = "opus")]
mod opus;
mod resample;

use sotto_private::{Encoding, Private};

use crate::conceal::conceal;

/// The rate that everything here works at, samples a second.
pub(crate) const RATE: u32 = 8_000;

/// Why a payload gave no sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is none of its encoding.
    Damaged,
    /// Its encoding is not decoded here.
    Unsupported,
}

/// The decoder of one stream. Where a leg's encoding changes, another one begins.
pub(crate) enum Decoder {
    G711(g711::Decoder),
    G722(g722::Decoder),
    L16(l16::Decoder),
    Linear(linear::Decoder),
    #[cfg(feature = "opus")]
    Opus(opus::Decoder),
    /// For what is not decoded here.
    Deaf,
}

impl Decoder {
    pub(crate) fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Pcmu => Self::G711(g711::Decoder::mu_law()),
            Encoding::Pcma => Self::G711(g711::Decoder::a_law()),
            Encoding::G722 => Self::G722(g722::Decoder::new()),
            #[cfg(feature = "opus")]
            Encoding::Opus => opus::Decoder::new().map_or(Self::Deaf, Self::Opus),
            #[cfg(not(feature = "opus"))]
            Encoding::Opus => Self::Deaf,
            Encoding::L16 { rate, channels } => l16::Decoder::new(rate, channels).map_or(Self::Deaf, Self::L16),
            Encoding::Linear { rate } => linear::Decoder::new(rate).map_or(Self::Deaf, Self::Linear),
        }
    }

    /// The most samples that a payload becomes.
    pub(crate) fn samples(&self, payload: &[u8]) -> Result<usize, Refused> {
        match self {
            Self::G711(_) => g711::Decoder::samples(payload),
            Self::G722(_) => g722::Decoder::samples(payload),
            Self::L16(decoder) => decoder.samples(payload),
            Self::Linear(decoder) => decoder.samples(payload),
            #[cfg(feature = "opus")]
            Self::Opus(_) => opus::Decoder::samples(payload),
            Self::Deaf => Err(Refused::Unsupported),
        }
    }

    /// Appends a payload's samples, at [`RATE`], full scale 32768.
    pub(crate) fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), Refused> {
        match self {
            Self::G711(decoder) => decoder.decode(payload, samples),
            Self::G722(decoder) => decoder.decode(payload, samples),
            Self::L16(decoder) => decoder.decode(payload, samples),
            Self::Linear(decoder) => decoder.decode(payload, samples),
            #[cfg(feature = "opus")]
            Self::Opus(decoder) => decoder.decode(payload, samples),
            Self::Deaf => Err(Refused::Unsupported),
        }
    }

    /// Appends `missing` samples in the place of what was lost after `history` and before the payload `next`.
    /// Only Opus can tell something of it from what came after.
    #[cfg_attr(not(feature = "opus"), allow(unused_variables))]
    pub(crate) fn conceal(&mut self, history: &[i16], missing: usize, next: &[u8], samples: &mut Vec<i16>) {
        #[cfg(feature = "opus")]
        if let Self::Opus(decoder) = self
            && decoder.conceal(missing, next, samples)
        {
            return;
        }
        conceal(history, missing, samples);
    }
}

/// Decodes the payloads of one stream as a leg does, and says how many samples came of it, at 8 kHz. An empty payload stands for 20 ms
/// that were lost.
///
/// For fuzzing the decoders and for measuring their speed: any bytes will do, and the sound itself stays here.
pub fn decode_stream<'a>(encoding: Encoding, payloads: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    const LOST: usize = RATE as usize / 50;
    let mut decoder = Decoder::new(encoding);
    let mut sound = Private::new(Vec::new());
    let mut missing = 0;
    let mut count = 0;
    for payload in payloads {
        if payload.is_empty() {
            missing += LOST;
            continue;
        }
        let Ok(most) = decoder.samples(payload) else { continue };
        // What came before is history enough for one hole.
        let old = sound.expose().len();
        if missing > 0 {
            let mut filling = Private::new(Vec::with_capacity(missing));
            decoder.conceal(sound.expose(), missing, payload, filling.expose_mut());
            sound.append(filling.expose());
        }
        sound.reserve(most);
        // A damaged payload is a hole like any other.
        missing = if decoder.decode(payload, sound.expose_mut()).is_ok() { 0 } else { LOST };
        count += (sound.expose().len() - old) as u64;
        let kept = sound.expose().len().min(2 * RATE as usize);
        let from = sound.expose().len() - kept;
        sound.expose_mut().copy_within(from.., 0);
        sound.cut(kept);
    }
    count
}

#[cfg(test)]
mod tests;
