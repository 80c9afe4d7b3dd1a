//! Whisper's log-mel spectrogram, as OpenAI computes it (`whisper/audio.py`).
//!
//! 25 ms Hann windows every 10 ms, power, 80 triangular filters on Slaney's mel scale, log10,
//! no more than 8 (80 dB) below the highest value of the turn, then `(x + 4) / 4`.

use std::f64::consts::PI;
use std::fmt;
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
        let mut stream = MelStream::default();
        stream.samples.reserve_exact(samples.len());
        stream.mel.reserve_exact(frames.max(samples.len() / HOP + 1) * self.filters.len());
        stream.push(self, samples)?;
        stream.finish(self, frames)
    }

    /// The logarithms of what the filters let through of one frame of `samples`, appended to `mel`.
    fn frame(&self, samples: &[f32], index: usize, room: &mut FrameRoom, mel: &mut Vec<f32>) -> Result<(), ModelError> {
        room.scratch.resize(self.fft.get_scratch_len(), Complex32::default());
        fill(&mut room.frame, samples, index * HOP);
        for (value, weight) in room.frame.iter_mut().zip(&self.window) {
            *value *= weight;
        }
        self.fft
            .process_with_scratch(&mut room.frame, &mut room.spectrum, &mut room.scratch)
            .map_err(|error| ModelError::Compute(error.to_string()))?;
        for (power, value) in room.power.iter_mut().zip(&room.spectrum) {
            *power = value.norm_sqr();
        }
        mel.extend(self.filters.iter().map(|filter| {
            let energy: f32 = room.power[filter.first..]
                .iter()
                .zip(&filter.weights)
                .map(|(power, weight)| power * weight)
                .sum();
            energy.max(1e-10).log10()
        }));
        Ok(())
    }
}

/// A spectrogram that is made while its turn is still spoken: what comes of it is that of the whole turn, to the last bit,
/// and when the turn has ended some frames are left to do.
///
/// Feed it the turn's samples in their order, in pieces of any size ([`Self::push`]), always with the same [`LogMel`]; at the turn's end
/// take the spectrogram ([`Self::finish`]), and the next turn may begin. It holds sound, and is wiped when dropped.
#[derive(Default)]
pub struct MelStream {
    samples: Vec<f32>,
    /// Logarithms, of the frames whose whole window has been heard.
    mel: Vec<f32>,
    frames: usize,
    room: FrameRoom,
}

/// What one frame is made in.
struct FrameRoom {
    frame: [f32; WINDOW],
    spectrum: [Complex32; BINS],
    power: [f32; BINS],
    scratch: Vec<Complex32>,
}

impl MelStream {
    /// Takes the next samples, 16 kHz, -1 to 1.
    ///
    /// # Errors
    ///
    /// More than 30 s of them in all; then none of these is taken.
    pub fn push(&mut self, log_mel: &LogMel, samples: &[f32]) -> Result<(), ModelError> {
        if self.samples.len() + samples.len() > WHOLE {
            return Err(ModelError::Input("a turn of more than 30 s"));
        }
        self.samples.extend_from_slice(samples);
        // One sample more than a window has: the first one, mirrored about the first sample, needs it.
        while self.frames * HOP + WINDOW / 2 < self.samples.len() {
            log_mel.frame(&self.samples, self.frames, &mut self.room, &mut self.mel)?;
            self.frames += 1;
        }
        Ok(())
    }

    /// Samples that came so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether none came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The spectrogram of all samples followed by silence: `frames` rows of mel bins, 10 ms each. The stream is then empty.
    ///
    /// # Errors
    ///
    /// More than 30 s of frames.
    pub fn finish(&mut self, log_mel: &LogMel, frames: usize) -> Result<Vec<f32>, ModelError> {
        if frames > WHOLE / HOP {
            return Err(ModelError::Input("a turn of more than 30 s"));
        }
        let mut mel = std::mem::take(&mut self.mel);
        for index in self.frames..frames {
            log_mel.frame(&self.samples, index, &mut self.room, &mut mel)?;
        }
        let wanted = frames * log_mel.filters.len();
        mel[wanted..].fill(0.0);
        mel.truncate(wanted);
        let highest = mel.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for value in &mut mel {
            *value = (value.max(highest - 8.0) + 4.0) / 4.0;
        }
        self.wipe();
        Ok(mel)
    }

    fn wipe(&mut self) {
        self.samples.zeroize();
        self.mel.zeroize();
        self.frames = 0;
        self.room.frame.zeroize();
        self.room.power.zeroize();
        self.room.scratch.fill(Complex32::default());
        self.room.spectrum.fill(Complex32::default());
    }
}

impl Default for FrameRoom {
    fn default() -> Self {
        Self {
            frame: [0.0; WINDOW],
            spectrum: [Complex32::default(); BINS],
            power: [0.0; BINS],
            scratch: Vec::new(),
        }
    }
}

impl Drop for MelStream {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl fmt::Debug for MelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MelStream({} frames)", self.frames)
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

    /// To the last bit, in pieces of any size, of turns that end anywhere in a frame, and with more or fewer frames than were heard.
    #[test]
    fn a_stream_makes_what_the_whole_turn_makes() {
        let log_mel = LogMel::new(80);
        let all = signal();
        let mut stream = MelStream::default();
        for (length, piece) in [(0, 1), (1, 1), (199, 7), (200, 200), (201, 160), (1_000, 200), (8_000, 512), (23_999, 4_000), (24_000, 24_000)] {
            for frames in [0, 3, length / HOP, length / HOP + 100] {
                let samples = &all[..length];
                for piece in samples.chunks(piece) {
                    stream.push(&log_mel, piece).unwrap();
                }
                assert_eq!(stream.len(), length);
                let found = stream.finish(&log_mel, frames).unwrap();
                assert!(stream.is_empty() && found.len() == frames * 80);
                let whole = plainly(&log_mel, samples, frames);
                assert!(found == whole, "{length} samples in pieces of {piece}, {frames} frames");
            }
        }
        assert!(stream.push(&log_mel, &[0.0; WHOLE]).is_ok());
        assert!(stream.push(&log_mel, &[0.0]).is_err());
        assert!(stream.finish(&log_mel, 3_001).is_err());
        assert_eq!(format!("{:?}", MelStream::default()), "MelStream(0 frames)");
    }

    /// Frame by frame when all has been heard.
    fn plainly(log_mel: &LogMel, samples: &[f32], frames: usize) -> Vec<f32> {
        let mut mel = Vec::new();
        for index in 0..frames {
            log_mel.frame(samples, index, &mut FrameRoom::default(), &mut mel).unwrap();
        }
        let highest = mel.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        mel.iter().map(|value| (value.max(highest - 8.0) + 4.0) / 4.0).collect()
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
