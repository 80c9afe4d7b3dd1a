//! Whisper's log-mel spectrogram, as OpenAI computes it (`whisper/audio.py`).
//!
//! 25 ms Hann windows every 10 ms, power, 80 triangular filters on Slaney's mel scale, log10,
//! no more than 8 (80 dB) below the highest value of the turn, then `(x + 4) / 4`.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};
use zeroize::Zeroize;

use crate::error::ModelError;

/// Samples a second.
pub const SAMPLE_RATE: usize = 16_000;
/// Samples from one frame to the next.
pub const HOP: usize = 160;
/// Samples in a window, and points of the transform.
const WINDOW: usize = 400;
const BINS: usize = WINDOW / 2 + 1;
/// Whisper's window of 30 s, in samples.
const WHOLE: usize = 30 * SAMPLE_RATE;

/// The transform, its window and its filters.
pub struct LogMel {
    fft: Arc<dyn RealToComplex<f32>>,
    window: [f32; WINDOW],
    filters: Vec<Filter>,
}

/// One triangle: weights of neighbouring bins, all others being zero.
struct Filter {
    first: usize,
    weights: Vec<f32>,
}

impl LogMel {
    /// `mel_bins` is 80 for all Whisper models up to large-v2.
    pub fn new(mel_bins: usize) -> Self {
        let mut window = [0.0; WINDOW];
        for (n, value) in window.iter_mut().enumerate() {
            *value = (0.5 - 0.5 * (2.0 * PI * n as f64 / WINDOW as f64).cos()) as f32;
        }
        Self {
            fft: RealFftPlanner::new().plan_fft_forward(WINDOW),
            window,
            filters: slaney(mel_bins),
        }
    }

    /// The spectrogram of `samples` (16 kHz, -1 to 1) followed by silence: `frames` rows of
    /// mel bins, 10 ms each.
    ///
    /// # Errors
    ///
    /// More than 30 s of samples, or of frames.
    pub fn compute(&self, samples: &[f32], frames: usize) -> Result<Vec<f32>, ModelError> {
        if samples.len() > WHOLE || frames > WHOLE / HOP {
            return Err(ModelError::Input("a turn of more than 30 s"));
        }
        let bins = self.filters.len();
        let mut mel = vec![0.0; frames * bins];
        let mut frame = [0.0f32; WINDOW];
        let mut spectrum = [Complex32::default(); BINS];
        let mut power = [0.0f32; BINS];
        let mut scratch = self.fft.make_scratch_vec();
        let mut highest = f32::NEG_INFINITY;
        for (index, row) in mel.chunks_exact_mut(bins).enumerate() {
            fill(&mut frame, samples, index * HOP);
            for (value, weight) in frame.iter_mut().zip(&self.window) {
                *value *= weight;
            }
            self.fft
                .process_with_scratch(&mut frame, &mut spectrum, &mut scratch)
                .map_err(|error| ModelError::Compute(error.to_string()))?;
            for (power, value) in power.iter_mut().zip(&spectrum) {
                *power = value.norm_sqr();
            }
            for (value, filter) in row.iter_mut().zip(&self.filters) {
                let energy: f32 = power[filter.first..]
                    .iter()
                    .zip(&filter.weights)
                    .map(|(power, weight)| power * weight)
                    .sum();
                *value = energy.max(1e-10).log10();
                highest = highest.max(*value);
            }
        }
        for value in &mut mel {
            *value = (value.max(highest - 8.0) + 4.0) / 4.0;
        }
        frame.zeroize();
        power.zeroize();
        scratch.fill(Complex32::default());
        spectrum.fill(Complex32::default());
        Ok(mel)
    }
}

/// The window centred on sample `centre`: mirrored at both ends of the 30 s, silent after the samples.
fn fill(frame: &mut [f32; WINDOW], samples: &[f32], centre: usize) {
    for (n, value) in frame.iter_mut().enumerate() {
        let place = (centre + n).abs_diff(WINDOW / 2);
        let place = if place < WHOLE {
            place
        } else {
            2 * (WHOLE - 1) - place
        };
        *value = samples.get(place).copied().unwrap_or(0.0);
    }
}

/// Slaney's filters: linear below 1 kHz, logarithmic above, each of equal area (`librosa.filters.mel`).
fn slaney(count: usize) -> Vec<Filter> {
    const LINEAR: f64 = 200.0 / 3.0;
    const BREAK: f64 = 1000.0;
    let step = 6.4f64.ln() / 27.0;
    let mel = |hertz: f64| {
        if hertz < BREAK {
            hertz / LINEAR
        } else {
            BREAK / LINEAR + (hertz / BREAK).ln() / step
        }
    };
    let hertz = |mel: f64| {
        if mel < BREAK / LINEAR {
            mel * LINEAR
        } else {
            BREAK * ((mel - BREAK / LINEAR) * step).exp()
        }
    };
    let top = mel(SAMPLE_RATE as f64 / 2.0);
    let corner = |index: usize| hertz(top * index as f64 / (count + 1) as f64);
    (0..count)
        .map(|index| {
            let (low, peak, high) = (corner(index), corner(index + 1), corner(index + 2));
            let weight = |bin: usize| {
                let at = bin as f64 * SAMPLE_RATE as f64 / WINDOW as f64;
                let height = ((at - low) / (peak - low)).min((high - at) / (high - peak));
                height.max(0.0) * 2.0 / (high - low)
            };
            let first = (0..BINS).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
            let weights = (first..BINS)
                .map(weight)
                .take_while(|&weight| weight > 0.0)
                .map(|weight| weight as f32)
                .collect();
            Filter { first, weights }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signal of `reference/log_mel.py`, from the same whole numbers.
    fn signal() -> Vec<f32> {
        let mut state = 1u32;
        (0..24_000u32)
            .map(|n| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = f64::from(state >> 16) / 65_536.0 - 0.5;
                let sweep = 200.0 + 3000.0 * f64::from(n) / 24_000.0;
                let tone = (2.0 * PI * sweep * f64::from(n) / 16_000.0).sin();
                let loudness = f64::from(n % 8000) / 8000.0;
                (0.4 * loudness * tone + 0.01 * noise) as f32
            })
            .collect()
    }

    #[test]
    fn agrees_with_the_reference() {
        let reference: Vec<f32> = include_bytes!("reference/log_mel.f32")
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        let frames = reference.len() / 80;
        assert_eq!(frames, 170);
        let mel = LogMel::new(80).compute(&signal(), frames).unwrap();
        let worst = mel
            .iter()
            .zip(&reference)
            .map(|(ours, theirs)| (ours - theirs).abs())
            .fold(0.0, f32::max);
        assert!(worst < 1e-3, "off by {worst}");
    }

    #[test]
    fn silence_and_nothing_are_flat() {
        let mel = LogMel::new(80);
        assert!(mel.compute(&[], 0).unwrap().is_empty());
        let flat = mel.compute(&[0.0; 1600], 20).unwrap();
        assert!(flat.iter().all(|value| (value + 1.5).abs() < 1e-6));
    }

    #[test]
    fn a_whole_window_is_heard_and_more_is_refused() {
        let mel = LogMel::new(80);
        assert_eq!(mel.compute(&[0.1; WHOLE], 3000).unwrap().len(), 240_000);
        assert!(mel.compute(&[0.1; WHOLE + 1], 3000).is_err());
        assert!(mel.compute(&[0.1; 10], 3001).is_err());
    }
}
