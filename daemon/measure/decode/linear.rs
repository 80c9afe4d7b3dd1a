//! Linear sound, 16 bit little endian, from a source without a codec.

use super::resample::{RATES, Resampler};
use super::{RATE, Refused};

/// One channel of one source.
pub(crate) struct Decoder {
    rate: u32,
    /// `None` at 8 kHz, where samples are taken as they are.
    resampler: Option<Resampler>,
}

impl Decoder {
    /// Refuses a rate that nothing real has.
    pub(crate) fn new(rate: u32) -> Result<Self, Refused> {
        if !RATES.contains(&rate) {
            return Err(Refused::Unsupported);
        }
        Ok(Self { rate, resampler: (rate != RATE).then(|| Resampler::new(rate)) })
    }

    /// The most samples that a payload becomes.
    #[allow(clippy::unnecessary_wraps, reason = "the same signature in every codec's file")]
    pub(crate) fn samples(&self, payload: &[u8]) -> Result<usize, Refused> {
        Ok(Resampler::samples(self.rate, payload.len() / 2))
    }

    /// Appends a payload's samples.
    #[allow(clippy::unnecessary_wraps, reason = "the same signature in every codec's file")]
    pub(crate) fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), Refused> {
        let source = payload.as_chunks::<2>().0.iter().map(|&pair| i16::from_le_bytes(pair));
        run(self.resampler.as_mut(), source, samples);
        Ok(())
    }
}

/// Samples at their own rate, brought to 8 kHz where they are not.
pub(crate) fn run(resampler: Option<&mut Resampler>, source: impl Iterator<Item = i16>, samples: &mut Vec<i16>) {
    match resampler {
        None => samples.extend(source),
        Some(resampler) => {
            let block = sotto_private::Private::new(source.collect::<Vec<i16>>());
            resampler.run(block.expose(), samples);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_come_down_to_eight_kilohertz() {
        for rate in [8_000u32, 16_000, 11_025, 44_100, 48_000] {
            let payload: Vec<u8> = (0..rate / 50).flat_map(|_| 1_000i16.to_le_bytes()).collect();
            let (mut decoder, mut samples) = (Decoder::new(rate).unwrap_or_else(|_| panic!("{rate}")), Vec::new());
            for _ in 0..50 {
                assert!(decoder.decode(&payload, &mut samples).is_ok());
            }
            assert!((7_960..=8_000).contains(&samples.len()), "{rate}: {}", samples.len());
            assert!(samples.iter().all(|&sample| sample == 1_000), "{rate}");
        }
        assert!(Decoder::new(0).is_err());
        assert!(Decoder::new(u32::MAX).is_err());
    }

    #[test]
    fn at_eight_kilohertz_every_sample_is_what_it_was() {
        let source: Vec<i16> = (0..160).map(|at| (at * 397 % 60_000) as i16).collect();
        let payload: Vec<u8> = source.iter().flat_map(|sample| sample.to_le_bytes()).chain([7]).collect();
        let mut samples = Vec::new();
        assert!(Decoder::new(8_000).is_ok_and(|mut decoder| decoder.decode(&payload, &mut samples).is_ok()));
        assert_eq!(samples, source, "half a sample at the end is none");
    }
}
