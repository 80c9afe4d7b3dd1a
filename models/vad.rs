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
//!
//! Many legs are looked at together ([`Vad::look`]): each layer's weights then pass through the processor once for all
//! of them, and a leg that is silent costs next to nothing.

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
use dense::{Dense, Layout};

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
/// Legs that are worked on at once: what they need in between stays in the second cache.
const LEGS: usize = 16;
/// Room of one leg: an empty spectrum, its spectra, another empty one.
const SPECTRA_ROOM: usize = (SPECTRA + 2) * BINS;
/// The first layer's result, with an empty moment before.
const FIRST_ROOM: usize = (1 + SPECTRA) * WIDE;
const SECOND_ROOM: usize = 2 * NARROW;
const THIRD_ROOM: usize = NARROW;
const SEEN_ROOM: usize = WIDE + CELL;
const GATES_ROOM: usize = GATES * CELL;

/// Mean square below which a frame is silence: -60 dB of full scale. Comfort noise and the floor of a telephone lie about there, speech
/// 15 dB higher even where it is hardly heard.
const SILENT: f32 = 1e-6;
/// Frames of silence that are looked at before more of them are not: after these two seconds the network has come to rest. Earlier it still
/// expects speech to go on, and would take a faint beginning for speech more readily than it should.
const SETTLED: u8 = 63;
/// Less likely speech than this is none: silence that the network still takes for speech is looked at.
const AT_REST: f32 = 0.1;

/// The weights, shared by all legs.
pub struct Vad {
    fft: Arc<dyn RealToComplex<f32>>,
    window: [f32; WINDOW],
    first: Dense,
    second: Dense,
    third: Dense,
    fourth: Dense,
    cell: Dense,
    output: [f32; CELL],
    output_bias: f32,
}

/// What one leg's past adds to its next frame. It holds sound, and is wiped when dropped.
#[derive(Clone)]
pub struct VadState {
    hidden: [f32; CELL],
    cell: [f32; CELL],
    context: [f32; CONTEXT],
    /// Frames of silence in a row that were looked at, at rest.
    silent: u8,
}

/// One leg's next frame, to be looked at together with others'. It holds sound, and is wiped when dropped.
#[derive(Clone)]
pub struct Look {
    /// What the leg's past adds, and from then on this frame too.
    pub state: VadState,
    /// The next 32 ms at 8 kHz, -1 to 1, finite.
    pub frame: [f32; Vad::FRAME],
    /// How likely it is, 0 to 1, that there is speech in it: what came of the look.
    pub probability: f32,
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
        let mut look = Look {
            state: std::mem::take(state),
            frame: *frame,
            probability: 0.0,
        };
        self.look_closely(&mut [&mut look]);
        std::mem::swap(state, &mut look.state);
        look.probability
    }

    /// Looks at the next frames of several legs, each leg once, as [`Self::probability`] does one by one; but silence that goes on is
    /// no speech without a look. Returns how many were looked at.
    pub fn look(&self, looks: &mut [Look]) -> usize {
        let mut sounding: Vec<&mut Look> = looks
            .iter_mut()
            .filter_map(|look| {
                if !look.is_silent() {
                    look.state.silent = 0;
                } else if look.state.silent >= SETTLED {
                    look.state.remember(&look.frame);
                    look.probability = 0.0;
                    return None;
                }
                Some(look)
            })
            .collect();
        for together in sounding.chunks_mut(LEGS) {
            self.look_closely(together);
        }
        for look in &mut sounding {
            let is_at_rest = look.probability < AT_REST && look.is_silent();
            look.state.silent = if is_at_rest { look.state.silent + 1 } else { 0 };
        }
        sounding.len()
    }

    /// At most [`LEGS`].
    fn look_closely(&self, looks: &mut [&mut Look]) {
        let mut room = Room::default();
        for (look, spectra) in looks.iter_mut().zip(room.spectra.chunks_exact_mut(SPECTRA_ROOM)) {
            let mut heard = Zeroizing::new([0.0; HEARD]);
            heard[..CONTEXT].copy_from_slice(&look.state.context);
            heard[CONTEXT..CONTEXT + Self::FRAME].copy_from_slice(&look.frame);
            // The end is mirrored about its last sample, which is not repeated.
            let last = CONTEXT + Self::FRAME - 1;
            for beyond in 1..=HEARD - 1 - last {
                heard[last + beyond] = heard[last - beyond];
            }
            look.state.remember(&look.frame);
            self.spectra(&heard, spectra);
        }
        Step {
            vad: self,
            looks,
            room: &mut room,
        }
        .dispatch();
    }

    /// Magnitudes, one spectrum after the other, with an empty one before the first and after the last.
    fn spectra(&self, heard: &[f32; HEARD], magnitudes: &mut [f32]) {
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
            silent: 0,
        }
    }
}

impl Default for VadState {
    fn default() -> Self {
        Self::new()
    }
}

impl Look {
    fn is_silent(&self) -> bool {
        let energy: f32 = self.frame.iter().map(|sample| sample * sample).sum();
        energy <= SILENT * Vad::FRAME as f32
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.frame.zeroize();
    }
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
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

/// What lies between the layers, for all legs.
struct Room {
    spectra: [f32; LEGS * SPECTRA_ROOM],
    first: [f32; LEGS * FIRST_ROOM],
    second: [f32; LEGS * SECOND_ROOM],
    third: [f32; LEGS * THIRD_ROOM],
    seen: [f32; LEGS * SEEN_ROOM],
    gates: [f32; LEGS * GATES_ROOM],
}

impl Default for Room {
    fn default() -> Self {
        Self {
            spectra: [0.0; LEGS * SPECTRA_ROOM],
            first: [0.0; LEGS * FIRST_ROOM],
            second: [0.0; LEGS * SECOND_ROOM],
            third: [0.0; LEGS * THIRD_ROOM],
            seen: [0.0; LEGS * SEEN_ROOM],
            gates: [0.0; LEGS * GATES_ROOM],
        }
    }
}

/// From four spectra to the probability, compiled once for each instruction set.
struct Step<'a, 'b> {
    vad: &'a Vad,
    looks: &'a mut [&'b mut Look],
    room: &'a mut Room,
}

impl SimdOp for Step<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Step { vad, looks, room } = self;
        let legs = looks.len();
        let layout = |rows, step, leg, results| Layout {
            rows,
            step,
            leg,
            results,
        };
        // A row is one moment, and each layer writes its rows where the next one reads them. Only
        // the second layer looks at a row before the first: zeros.
        let rows = layout(SPECTRA, BINS, SPECTRA_ROOM, FIRST_ROOM);
        vad.first
            .apply(isa, legs, rows, &room.spectra, &mut room.first[WIDE..], true);
        let rows = layout(2, 2 * WIDE, FIRST_ROOM, SECOND_ROOM);
        vad.second
            .apply(isa, legs, rows, &room.first, &mut room.second, true);
        let rows = layout(1, 0, SECOND_ROOM, THIRD_ROOM);
        vad.third
            .apply(isa, legs, rows, &room.second, &mut room.third, true);
        let rows = layout(1, 0, THIRD_ROOM, SEEN_ROOM);
        vad.fourth
            .apply(isa, legs, rows, &room.third, &mut room.seen, true);
        for (look, seen) in looks.iter().zip(room.seen.chunks_exact_mut(SEEN_ROOM)) {
            seen[WIDE..].copy_from_slice(&look.state.hidden);
        }
        let rows = layout(1, 0, SEEN_ROOM, GATES_ROOM);
        vad.cell
            .apply(isa, legs, rows, &room.seen, &mut room.gates, false);
        for (look, gates) in looks.iter_mut().zip(room.gates.chunks_exact(GATES_ROOM)) {
            look.state.advance(isa, gates);
            let sum: f32 = look
                .state
                .hidden
                .iter()
                .zip(&vad.output)
                .map(|(value, weight)| value.max(0.0) * weight)
                .sum();
            look.probability = 1.0 / (1.0 + (-sum - vad.output_bias).exp());
        }
    }
}

impl VadState {
    /// The end of a frame is heard again with the next one.
    fn remember(&mut self, frame: &[f32; Vad::FRAME]) {
        self.context.copy_from_slice(&frame[Vad::FRAME - CONTEXT..]);
    }

    fn wipe(&mut self) {
        self.hidden.zeroize();
        self.cell.zeroize();
        self.context.zeroize();
    }

    /// One step of the LSTM cell.
    #[inline(always)]
    fn advance<I: Isa>(&mut self, isa: I, gates: &[f32]) {
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
fn convolution(
    tensors: &Tensors<'_>,
    name: &str,
    [outputs, published]: [usize; 2],
    channels: usize,
    taps: &[usize],
) -> Result<Dense, ModelError> {
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
