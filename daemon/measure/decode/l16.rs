//! L16: linear, 16 bit big endian, channels interleaved (RFC 3551 section 4.5.11).

use super::linear::run;
use super::resample::{RATES, Resampler};
use super::{RATE, Refused};

/// One stream. Its channels are put into one: a telephone's party has one mouth.
pub(crate) struct Decoder {
    rate: u32,
    channels: usize,
    /// `None` at 8 kHz.
    resampler: Option<Resampler>,
}

impl Decoder {
    /// Refuses a rate that nothing real has, and a stream without channels.
    pub(crate) fn new(rate: u32, channels: u8) -> Result<Self, Refused> {
        if !RATES.contains(&rate) || channels == 0 {
            return Err(Refused::Unsupported);
        }
        Ok(Self { rate, channels: usize::from(channels), resampler: (rate != RATE).then(|| Resampler::new(rate)) })
    }

    /// The most samples that a payload becomes.
    pub(crate) fn samples(&self, payload: &[u8]) -> Result<usize, Refused> {
        if payload.len() < 2 * self.channels {
            return Err(Refused::Damaged);
        }
        Ok(Resampler::samples(self.rate, payload.len() / 2 / self.channels))
    }

    /// Appends a payload's samples.
    pub(crate) fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), Refused> {
        self.samples(payload)?;
        let channels = self.channels as i32;
        let source = payload.chunks_exact(2 * self.channels).map(|instant| {
            let sum: i32 = instant.as_chunks::<2>().0.iter().map(|&pair| i32::from(i16::from_be_bytes(pair))).sum();
            (sum / channels) as i16
        });
        run(self.resampler.as_mut(), source, samples);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_endian_and_all_channels_in_one() {
        let decoded = |channels, payload: &[u8]| {
            let mut samples = Vec::new();
            assert!(Decoder::new(8_000, channels).is_ok_and(|mut decoder| decoder.decode(payload, &mut samples).is_ok()));
            samples
        };
        assert_eq!(decoded(1, &[0x12, 0x34, 0xff, 0xfe, 0x80]), [0x1234, -2], "half a sample at the end is none");
        assert_eq!(decoded(2, &[0x00, 0x10, 0x00, 0x20, 0x80, 0x00, 0x80, 0x00]), [0x18, i16::MIN]);
        assert_eq!(decoded(255, &[0x7f; 510]), [0x7f7f]);
        assert!(Decoder::new(44_100, 0).is_err());
    }

    /// RFC 3551 table 4: payload types 10 and 11 are of 44.1 kHz, in two channels and one.
    #[test]
    fn a_compact_disc_comes_down() {
        let payload: Vec<u8> = (0..882).flat_map(|_| [2_000i16, 4_000]).flat_map(i16::to_be_bytes).collect();
        let (mut decoder, mut samples) = (Decoder::new(44_100, 2).unwrap_or_else(|_| panic!("refused")), Vec::new());
        for _ in 0..50 {
            assert!(decoder.decode(&payload, &mut samples).is_ok());
        }
        assert!((7_960..=8_000).contains(&samples.len()), "{}", samples.len());
        assert!(samples.iter().all(|&sample| sample == 3_000));
    }
}
