//! From a telephone's 8 kHz to the 16 kHz that the word model hears.
//!
//! A polyphase windowed sinc. Its phase is exact: output sample `factor * n` is input sample
//! `n`, unchanged, so times measured on either side agree.

use std::f64::consts::PI;

use zeroize::Zeroize;

/// Input samples on each side of an output sample that form it.
const REACH: usize = 16;
/// Shape of the Kaiser window: 80 dB of stop band.
const KAISER: f64 = 8.0;
/// Highest factor: 2 kHz to 16 kHz.
const MAX_FACTOR: usize = 8;

/// Raises the sample rate by a whole factor.
#[derive(Clone)]
pub struct Upsampler {
    /// For each phase but the first (which copies), the weights of the `2 * REACH` samples around.
    phases: Vec<[f32; 2 * REACH]>,
}

impl Upsampler {
    /// An upsampler by `factor`, 1 to 8; `None` outside of that.
    pub fn new(factor: usize) -> Option<Self> {
        if !(1..=MAX_FACTOR).contains(&factor) {
            return None;
        }
        let phases = (1..factor)
            .map(|phase| {
                let mut weights = [0.0f64; 2 * REACH];
                for (index, weight) in weights.iter_mut().enumerate() {
                    // From the wanted place to the input sample, in input samples.
                    let distance =
                        index as f64 - (REACH as f64 - 1.0) - phase as f64 / factor as f64;
                    *weight = sinc(distance) * kaiser(distance / REACH as f64);
                }
                // A constant stays the constant that it is, in every phase.
                let sum: f64 = weights.iter().sum();
                weights.map(|weight| (weight / sum) as f32)
            })
            .collect();
        Some(Self { phases })
    }

    /// The whole signal at the higher rate, `factor` times as many samples; before and after it is silence.
    pub fn upsample(&self, samples: &[f32]) -> Vec<f32> {
        let mut padded = vec![0.0; samples.len() + 2 * REACH];
        padded[REACH..REACH + samples.len()].copy_from_slice(samples);
        let mut output = Vec::with_capacity(samples.len() * (self.phases.len() + 1));
        for (n, &sample) in samples.iter().enumerate() {
            output.push(sample);
            let around = &padded[n + 1..n + 1 + 2 * REACH];
            for weights in &self.phases {
                output.push(weights.iter().zip(around).map(|(w, x)| w * x).sum());
            }
        }
        padded.zeroize();
        output
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// The Kaiser window at `x` from -1 to 1.
fn kaiser(x: f64) -> f64 {
    bessel(KAISER * (1.0 - x * x).max(0.0).sqrt()) / bessel(KAISER)
}

/// The modified Bessel function of the first kind and order zero, by its series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..64 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: f64, count: usize) -> Vec<f32> {
        (0..count)
            .map(|n| (2.0 * PI * hertz * n as f64 / rate).sin() as f32)
            .collect()
    }

    #[test]
    fn input_samples_pass_unchanged() {
        let input = tone(1234.0, 8000.0, 500);
        let output = Upsampler::new(2).unwrap().upsample(&input);
        assert_eq!(output.len(), 1000);
        assert!(output.iter().step_by(2).eq(&input));
        assert_eq!(Upsampler::new(1).unwrap().upsample(&input), input);
    }

    /// The telephone band, 300 to 3400 Hz, comes out as the same tone sampled twice as often.
    #[test]
    fn a_tone_of_the_telephone_band_stays_that_tone() {
        for hertz in [300.0, 1000.0, 2000.0, 3000.0, 3400.0] {
            let output = Upsampler::new(2)
                .unwrap()
                .upsample(&tone(hertz, 8000.0, 800));
            let expected = tone(hertz, 16_000.0, 1600);
            for n in 100..1500 {
                let error = (output[n] - expected[n]).abs();
                assert!(error < 2e-3, "{hertz} Hz, sample {n}: off by {error}");
            }
        }
    }

    #[test]
    fn factors_that_make_no_sense_are_refused() {
        assert!(Upsampler::new(0).is_none());
        assert!(Upsampler::new(9).is_none());
        assert!(Upsampler::new(2).unwrap().upsample(&[]).is_empty());
    }
}
