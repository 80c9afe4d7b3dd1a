//! Opus (RFC 6716), by the system's libopus.
//!
//! libopus decodes at any of its rates: at 8 kHz it leaves out what lies above 4 kHz, so nothing need be resampled, and puts two
//! channels into one. It gets no packet whose framing breaks a rule of RFC 6716 section 3.4. Without the feature `opus` there is
//! no libopus, and Opus is a codec that is not decoded here.

pub(crate) mod framing;

use opusic_c::{Channels, SampleRate};
use sotto_private::Private;

use super::{RATE, Refused};

/// The longest packet, samples: 120 ms.
const LONGEST: usize = RATE as usize * 120 / 1_000;
/// The unit of loss, samples: 2.5 ms.
const UNIT: usize = RATE as usize / 400;

/// One stream.
pub(crate) struct Decoder {
    inner: opusic_c::Decoder,
    /// libopus writes here.
    scratch: Private<Vec<u16>>,
    has_begun: bool,
}

impl Decoder {
    /// Refused where there is no memory for it.
    pub(crate) fn new() -> Result<Self, Refused> {
        let inner = opusic_c::Decoder::new(Channels::Mono, SampleRate::Hz8000).map_err(|_| Refused::Unsupported)?;
        Ok(Self { inner, scratch: Private::new(vec![0; LONGEST]), has_begun: false })
    }

    /// The most samples that a payload holds.
    pub(crate) fn samples(payload: &[u8]) -> Result<usize, Refused> {
        framing::samples(payload)
    }

    /// Appends a payload's samples.
    pub(crate) fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), Refused> {
        let count = framing::samples(payload)?;
        self.run(payload, count, false, samples)?;
        self.has_begun = true;
        Ok(())
    }

    /// Appends what stands for `missing` samples before the packet `next`: its own copy of the frame before, where the sender put one in
    /// (RFC 6716 section 2.1.7), else libopus' concealment. `false` where it cannot, and nothing was appended.
    pub(crate) fn conceal(&mut self, missing: usize, next: &[u8], samples: &mut Vec<i16>) -> bool {
        // It goes by units of 2.5 ms; a rest of less than that is rounding.
        let count = missing - missing % UNIT;
        if !self.has_begun || count == 0 || count > LONGEST || framing::samples(next).is_err() {
            return false;
        }
        samples.extend(std::iter::repeat_n(0, missing - count));
        if self.run(next, count, true, samples).is_err() {
            samples.extend(std::iter::repeat_n(0, count));
        }
        true
    }

    fn run(&mut self, payload: &[u8], count: usize, is_lost: bool, samples: &mut Vec<i16>) -> Result<(), Refused> {
        let scratch = self.scratch.expose_mut().get_mut(..count).ok_or(Refused::Damaged)?;
        let decoded = self.inner.decode_to_slice(payload, scratch, is_lost).map_err(|_| Refused::Damaged)?;
        samples.extend(scratch.iter().take(decoded).map(|&sample| sample as i16));
        Ok(())
    }
}

impl Drop for Decoder {
    /// Beginning anew overwrites what libopus remembers of the sound.
    fn drop(&mut self) {
        let _ = self.inner.reset();
    }
}

#[cfg(test)]
mod tests;
