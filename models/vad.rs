//! Speech or not: Silero VAD 6 on 8 kHz telephone audio, one probability for every 32 ms.
//!
//! The published weights for 16 kHz are run on the spectrum of the 8 kHz signal. Seen through
//! a window of the same 16 ms, a signal and its upsampled twin have the same lower 65 bins, but for
//! a factor of two, and nothing above them; so neither the upsampling nor the upper half of the
//! first layer is computed. This costs what the package's own 8 kHz weights would cost, and hears
//! much better (measured in `cards/silero-vad.md`).
//!
//! The network (<https://github.com/snakers4/silero-vad>, its `tinygrad_model.py`): magnitudes of
//! four overlapping windows, four convolutions over time, an LSTM cell, one logistic output.

mod dense;

use std::fmt;
use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};
use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp, SimdUnaryOp};
use rten_vecmath::{Sigmoid, Tanh};
use zeroize::{Zeroize, Zeroizing};

use crate::error::ModelError;
use crate::gguf::Tensors;
use dense::Dense;

/// Samples of the last frame that are heard again with the next one.
const CONTEXT: usize = 32;
/// Samples of one spectrum, 16 ms.
const WINDOW: usize = 128;
/// Samples from one spectrum to the next.
const HOP: usize = 64;
/// Spectra in one frame.
const SPECTRA: usize = 4;
/// Context, frame, and the reflection of its end that lets the last window be whole.
const HEARD: usize = WINDOW + (SPECTRA - 1) * HOP;
/// Frequencies of one spectrum, 0 to 4 kHz.
const BINS: usize = WINDOW / 2 + 1;
/// Frequencies that the published first layer looks at, 0 to 8 kHz.
const PUBLISHED_BINS: usize = 129;
/// Width of the LSTM cell.
const CELL: usize = 128;
/// Gates of the LSTM cell: input, forget, candidate, output (the order of the weights).
const GATES: usize = 4;
/// Channels between the convolutions.
const WIDE: usize = 128;
const NARROW: usize = 64;
/// Complex numbers of room that the Fourier transform gets.
const SCRATCH: usize = 2 * WINDOW;
/// Taps of each convolution.
const TAPS: usize = 3;

/// The weights, shared by all legs.
pub struct Vad {
    fft: Arc<dyn RealToComplex<f32>>,
    window: [f32; WINDOW],
    // How many rows, by how many vectors of columns, are worked on at once: eight sums in flight.
    first: Dense<4, 2>,
    second: Dense<2, 4>,
    third: Dense<1, 4>,
    fourth: Dense<1, 8>,
    cell: Dense<1, 8>,
    output: [f32; CELL],
    output_bias: f32,
}

/// What one leg's past adds to its next frame. It holds sound, and is wiped when dropped.
#[derive(Clone)]
pub struct VadState {
    hidden: [f32; CELL],
    cell: [f32; CELL],
    context: [f32; CONTEXT],
}

impl Vad {
    /// Samples in a frame: 32 ms at [`Self::RATE`].
    pub const FRAME: usize = 256;
    /// Samples in a second.
    pub const RATE: u32 = 8000;

    /// Reads the tensors under their published names (`conv1.weight`, `lstm_cell.weight_ih`, …).
    ///
    /// # Errors
    ///
    /// A tensor is absent or of another shape.
    pub fn load(tensors: &Tensors<'_>) -> Result<Self, ModelError> {
        // The second and third convolution step by two, so that four spectra become two, then one.
        // Past the edges there are zeros: the third never sees its first tap, the fourth only its middle one.
        let first = convolution(tensors, "conv1", [WIDE, PUBLISHED_BINS], BINS, &[0, 1, 2])?;
        let second = convolution(tensors, "conv2", [NARROW, WIDE], WIDE, &[0, 1, 2])?;
        let third = convolution(tensors, "conv3", [NARROW, NARROW], NARROW, &[1, 2])?;
        let fourth = convolution(tensors, "conv4", [WIDE, NARROW], NARROW, &[1])?;

        let from_input = tensors.f32("lstm_cell.weight_ih", &[GATES * CELL, WIDE])?;
        let from_hidden = tensors.f32("lstm_cell.weight_hh", &[GATES * CELL, CELL])?;
        let mut bias = tensors.f32("lstm_cell.bias_ih", &[GATES * CELL])?;
        let more = tensors.f32("lstm_cell.bias_hh", &[GATES * CELL])?;
        for (sum, value) in bias.iter_mut().zip(more) {
            *sum += value;
        }
        let cell = Dense::pack(WIDE + CELL, &bias, |output, input| {
            if input < WIDE {
                from_input[output * WIDE + input]
            } else {
                from_hidden[output * CELL + input - WIDE]
            }
        })?;

        let mut output = [0.0; CELL];
        output.copy_from_slice(&tensors.f32("final_conv.weight", &[1, CELL, 1])?);
        let output_bias = tensors.f32("final_conv.bias", &[1])?[0];

        let fft = RealFftPlanner::new().plan_fft_forward(WINDOW);
        if fft.get_scratch_len() > SCRATCH {
            return Err(ModelError::Compute(
                "this machine's Fourier transform needs more room".to_owned(),
            ));
        }

        Ok(Self {
            fft,
            window: window(),
            first,
            second,
            third,
            fourth,
            cell,
            output,
            output_bias,
        })
    }

    /// How likely it is, 0 to 1, that there is speech in this frame of one leg.
    ///
    /// `frame` holds the next 32 ms at 8 kHz, -1 to 1, finite. Frames of a leg must come in order and
    /// without a gap; after one, begin with a new state.
    #[must_use]
    pub fn probability(&self, state: &mut VadState, frame: &[f32; Self::FRAME]) -> f32 {
        let mut heard = Zeroizing::new([0.0; HEARD]);
        heard[..CONTEXT].copy_from_slice(&state.context);
        heard[CONTEXT..CONTEXT + Self::FRAME].copy_from_slice(frame);
        // The end is mirrored about its last sample, which is not repeated.
        let last = CONTEXT + Self::FRAME - 1;
        for beyond in 1..=HEARD - 1 - last {
            heard[last + beyond] = heard[last - beyond];
        }
        state
            .context
            .copy_from_slice(&frame[Self::FRAME - CONTEXT..]);

        let mut spectra = [0.0; (SPECTRA + 2) * BINS];
        self.spectra(&heard, &mut spectra);
        Step {
            vad: self,
            state,
            spectra: &spectra,
        }
        .dispatch()
    }

    /// Magnitudes, one spectrum after the other, with an empty one before the first and after the last.
    fn spectra(&self, heard: &[f32; HEARD], magnitudes: &mut [f32; (SPECTRA + 2) * BINS]) {
        let mut spectrum = [Complex32::default(); BINS];
        let mut scratch = [Complex32::default(); SCRATCH];
        let mut windowed = Zeroizing::new([0.0; WINDOW]);
        let starts = heard.windows(WINDOW).step_by(HOP);
        for (part, magnitudes) in starts.zip(magnitudes[BINS..].chunks_exact_mut(BINS)) {
            for ((value, sample), weight) in windowed.iter_mut().zip(part).zip(&self.window) {
                *value = sample * weight;
            }
            self.fft
                .process_with_scratch(windowed.as_mut_slice(), &mut spectrum, &mut scratch)
                .expect("load checked the one length that is not a constant of this file");
            for (magnitude, bin) in magnitudes.iter_mut().zip(&spectrum) {
                *magnitude = bin.norm_sqr().sqrt();
            }
        }
    }
}

impl fmt::Debug for Vad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vad")
    }
}

impl VadState {
    /// A leg that was not heard yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            hidden: [0.0; CELL],
            cell: [0.0; CELL],
            context: [0.0; CONTEXT],
        }
    }
}

impl Default for VadState {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for VadState {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl fmt::Debug for VadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VadState")
    }
}

/// From four spectra to the probability, compiled once for each instruction set.
struct Step<'a> {
    vad: &'a Vad,
    state: &'a mut VadState,
    spectra: &'a [f32; (SPECTRA + 2) * BINS],
}

impl SimdOp for Step<'_> {
    type Output = f32;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> f32 {
        let Step {
            vad,
            state,
            spectra,
        } = self;
        // A row is one moment, and each layer writes its rows where the next one reads them. Only
        // the second layer looks at a row before the first: zeros.
        let mut after_first = [0.0; (1 + SPECTRA) * WIDE];
        let mut after_second = [0.0; 2 * NARROW];
        let mut after_third = [0.0; NARROW];
        let mut seen = [0.0; WIDE + CELL];
        vad.first
            .apply(isa, spectra, BINS, &mut after_first[WIDE..], true);
        vad.second
            .apply(isa, &after_first, 2 * WIDE, &mut after_second, true);
        vad.third
            .apply(isa, &after_second, 0, &mut after_third, true);
        vad.fourth
            .apply(isa, &after_third, 0, &mut seen[..WIDE], true);

        seen[WIDE..].copy_from_slice(&state.hidden);
        let mut gates = [0.0; GATES * CELL];
        vad.cell.apply(isa, &seen, 0, &mut gates, false);
        state.advance(isa, &gates);

        let sum: f32 = state
            .hidden
            .iter()
            .zip(&vad.output)
            .map(|(value, weight)| value.max(0.0) * weight)
            .sum();
        1.0 / (1.0 + (-sum - vad.output_bias).exp())
    }
}

impl VadState {
    fn wipe(&mut self) {
        self.hidden.zeroize();
        self.cell.zeroize();
        self.context.zeroize();
    }

    /// One step of the LSTM cell.
    #[inline(always)]
    fn advance<I: Isa>(&mut self, isa: I, gates: &[f32; GATES * CELL]) {
        let ops = isa.f32();
        let lanes = ops.len();
        let (input, rest) = gates.split_at(CELL);
        let (forget, rest) = rest.split_at(CELL);
        let (candidate, output) = rest.split_at(CELL);
        for at in (0..CELL).step_by(lanes) {
            let input = Sigmoid::apply(isa, ops.load(&input[at..]));
            let forget = Sigmoid::apply(isa, ops.load(&forget[at..]));
            let candidate = Tanh::apply(isa, ops.load(&candidate[at..]));
            let output = Sigmoid::apply(isa, ops.load(&output[at..]));
            let kept = ops.mul(forget, ops.load(&self.cell[at..]));
            let cell = ops.mul_add(input, candidate, kept);
            ops.store(cell, &mut self.cell[at..]);
            let hidden = ops.mul(output, Tanh::apply(isa, cell));
            ops.store(hidden, &mut self.hidden[at..]);
        }
    }
}

/// A convolution as a matrix product: the inputs of an output row are `taps` rows, one after the other.
///
/// `channels` of the published input are used, and of the published taps those that can see anything.
fn convolution<const ROWS: usize, const VECTORS: usize>(
    tensors: &Tensors<'_>,
    name: &str,
    [outputs, published]: [usize; 2],
    channels: usize,
    taps: &[usize],
) -> Result<Dense<ROWS, VECTORS>, ModelError> {
    let weight = tensors.f32(&format!("{name}.weight"), &[outputs, published, TAPS])?;
    let bias = tensors.f32(&format!("{name}.bias"), &[outputs])?;
    Dense::pack(taps.len() * channels, &bias, |output, input| {
        let tap = taps[input / channels];
        weight[(output * published + input % channels) * TAPS + tap]
    })
}

/// A raised cosine, times two: half the rate means half the samples to add up.
fn window() -> [f32; WINDOW] {
    std::array::from_fn(|n| {
        let turn = std::f64::consts::TAU * n as f64 / WINDOW as f64;
        (1.0 - turn.cos()) as f32
    })
}

#[cfg(test)]
mod tests;
