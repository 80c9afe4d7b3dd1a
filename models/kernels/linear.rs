//! A layer `x · Wᵀ + b`: weights i8 with one scale for each output, activations u8 with a scale and a zero
//! point for each row, sums in i32.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use rten_simd::ops::{BitOps, FloatOps, IntOps, NarrowSaturate, NumOps, ToFloat};
use rten_simd::{Isa, SimdOp};

use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::gelu::Gelu;
use crate::kernels::product::{Instructions, Matrix, fit};
use crate::kernels::{LayerNorm, Rows, Scratch, room, values, vector, with_scratch};

/// Rows that are quantized at once, and take each panel of the weights before the next one.
const ROWS: usize = 96;
/// Outputs whose sums are turned back at once: with [`ROWS`] they stay in the second cache.
const OUTPUTS: usize = 128;

/// What follows the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Nothing.
    None,
    /// GELU.
    Gelu,
}

/// The layer.
pub(crate) struct Linear {
    weights: Matrix,
    /// One for each output.
    scales: Vec<f32>,
    /// For each output the sum of its weights: what a row's zero point, times this, is too much.
    totals: Vec<i32>,
    bias: Vec<f32>,
    activation: Activation,
    /// Activations in two numbers each: at twice the cost, as exact as f32.
    fine: bool,
}

/// Where the results go.
#[derive(Clone, Copy, PartialEq)]
enum Into<'a> {
    /// In place of what was there.
    Empty,
    /// On top of what was there.
    Sum,
    /// In place of what was there, on top of these.
    SumOf(&'a [f32]),
}

impl Linear {
    /// Reads `name.weight` (`[outputs, inputs]`) and `name.bias`.
    pub(crate) fn load(
        tensors: &Tensors<'_>,
        name: &str,
        inputs: usize,
        outputs: usize,
        activation: Activation,
    ) -> std::result::Result<Self, ModelError> {
        let bias = tensors.f32(&format!("{name}.bias"), &[outputs])?;
        let weight = format!("{name}.weight");
        Self::read(tensors, &weight, inputs, bias, activation)
    }

    /// Reads a matrix that has no bias.
    pub(crate) fn load_matrix(
        tensors: &Tensors<'_>,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> std::result::Result<Self, ModelError> {
        Self::read(tensors, name, inputs, vec![0.0; outputs], Activation::None)
    }

    fn read(
        tensors: &Tensors<'_>,
        weight: &str,
        inputs: usize,
        bias: Vec<f32>,
        activation: Activation,
    ) -> std::result::Result<Self, ModelError> {
        let outputs = bias.len();
        let mut layer = Unpacked::new(inputs, outputs);
        tensors.for_each_row(weight, outputs, inputs, |_, row| layer.push(row))?;
        Ok(layer.pack(bias, activation))
    }

    /// From `[outputs][inputs]`.
    pub(crate) fn from_rows(
        inputs: usize,
        weights: &[f32],
        bias: Vec<f32>,
        activation: Activation,
    ) -> Self {
        let mut layer = Unpacked::new(inputs, bias.len());
        for row in weights.chunks_exact(inputs) {
            layer.push(row);
        }
        layer.pack(bias, activation)
    }

    /// How many weights it has.
    pub(crate) const fn size(&self) -> usize {
        self.weights.inputs() * self.weights.outputs()
    }

    /// The same with activations of twice the bits, for twice the time.
    pub(crate) fn fine(mut self) -> Self {
        self.fine = true;
        self
    }

    /// Appends one row of the weights in f32: an embedding is a row of the matrix that ends the decoder.
    /// Gives whether there is such a row.
    pub(crate) fn append_row(&self, index: usize, to: &mut Vec<f32>) -> bool {
        let Some(scale) = self.scales.get(index) else {
            return false;
        };
        let inputs = 0..self.weights.inputs();
        to.extend(inputs.map(|input| f32::from(self.weights.weight(index, input)) * scale));
        true
    }

    /// `input` is any number of rows; a residual has as many, of the layer's outputs. The result replaces what is in
    /// `output`.
    pub(crate) fn forward_into(
        &self,
        input: &[f32],
        residual: Option<&[f32]>,
        output: &mut Vec<f32>,
    ) -> Result<()> {
        let rows = self.count(input)?;
        let into = residual.map_or(Into::Empty, Into::SumOf);
        room(output, rows * self.weights.outputs());
        self.forward(
            Rows::new(input, self.weights.inputs()),
            rows,
            None,
            into,
            output,
        )
    }

    /// As [`Self::forward_into`] of what `norm` makes of the rows.
    pub(crate) fn forward_normed(
        &self,
        norm: &LayerNorm,
        input: &[f32],
        output: &mut Vec<f32>,
    ) -> Result<()> {
        let rows = self.count(input)?;
        room(output, rows * self.weights.outputs());
        let input = Rows::new(input, self.weights.inputs());
        self.forward(input, rows, Some(norm), Into::Empty, output)
    }

    /// Adds the results to what is in `output`.
    pub(crate) fn add_to(&self, input: &[f32], output: &mut [f32]) -> Result<()> {
        let rows = self.count(input)?;
        self.forward(
            Rows::new(input, self.weights.inputs()),
            rows,
            None,
            Into::Sum,
            output,
        )
    }

    /// Of `count` rows that may overlap; the result replaces what is in `output`.
    pub(crate) fn forward_windows(
        &self,
        input: Rows<'_>,
        count: usize,
        output: &mut Vec<f32>,
    ) -> Result<()> {
        room(output, count * self.weights.outputs());
        self.forward(input, count, None, Into::Empty, output)
    }

    fn count(&self, input: &[f32]) -> Result<usize> {
        let inputs = self.weights.inputs();
        if !input.len().is_multiple_of(inputs) {
            bail!("linear: rows of {inputs} values are needed")
        }
        Ok(input.len() / inputs)
    }

    fn forward(
        &self,
        input: Rows<'_>,
        count: usize,
        norm: Option<&LayerNorm>,
        into: Into<'_>,
        output: &mut [f32],
    ) -> Result<()> {
        let outputs = self.weights.outputs();
        let residual = match into {
            Into::SumOf(residual) => residual.len(),
            Into::Empty | Into::Sum => count * outputs,
        };
        if residual != count * outputs || output.len() != count * outputs {
            bail!("linear: a residual of the output's shape is needed")
        }
        with_scratch(|scratch| {
            for from in (0..count).step_by(ROWS) {
                let rows = from..count.min(from + ROWS);
                self.quantize(input.from(rows.start), rows.len(), norm, scratch);
                let place = rows.start * outputs..rows.end * outputs;
                let into = match into {
                    Into::SumOf(residual) => Into::SumOf(&residual[place.clone()]),
                    other => other,
                };
                self.multiply(scratch, into, &mut output[place]);
            }
            scratch.quantized.fill(0);
            scratch.normed.fill(0.0);
        });
        Ok(())
    }

    fn quantize(
        &self,
        input: Rows<'_>,
        count: usize,
        norm: Option<&LayerNorm>,
        scratch: &mut Scratch,
    ) {
        let (inputs, row_bytes) = (self.weights.inputs(), self.weights.row_bytes());
        let Scratch {
            quantized,
            ranges,
            normed,
            ..
        } = scratch;
        ranges.clear();
        let mut quantize = Quantize {
            input,
            inputs,
            norm,
            levels: self.weights.instructions().levels(),
            normed,
            row_bytes,
            ranges,
            output: &mut [],
            rest: &mut [],
        };
        if self.fine {
            room(quantized, 2 * count * row_bytes);
            let (output, rest) = quantized.split_at_mut(count * row_bytes);
            quantize.output = output;
            quantize.rest = rest;
        } else {
            room(quantized, count * row_bytes);
            quantize.output = quantized;
        }
        quantize.dispatch();
    }

    /// Of the rows that were quantized.
    fn multiply(&self, scratch: &mut Scratch, into: Into<'_>, output: &mut [f32]) {
        let outputs = self.weights.outputs();
        let panel = self.weights.instructions().panel();
        for from in (0..outputs).step_by(OUTPUTS) {
            let part = from..outputs.min(from + OUTPUTS);
            let row_sums = part.len().next_multiple_of(panel);
            let count = scratch.ranges.len() * row_sums;
            room(&mut scratch.sums, if self.fine { 2 * count } else { count });
            self.weights
                .multiply(part.clone(), &scratch.quantized, &mut scratch.sums);
            let (sums, rests) = scratch.sums.split_at(count);
            Restore {
                sums,
                rests,
                base: self.weights.instructions().levels() as i32 + 1,
                row_sums,
                ranges: &scratch.ranges,
                scales: &self.scales[part.clone()],
                totals: &self.totals[part.clone()],
                bias: &self.bias[part.clone()],
                gelu: self.activation == Activation::Gelu,
                into,
                from,
                stride: outputs,
                output,
            }
            .dispatch();
        }
    }
}

/// A layer whose rows are being read.
struct Unpacked {
    instructions: Instructions,
    inputs: usize,
    rows: Vec<i8>,
    scales: Vec<f32>,
    totals: Vec<i32>,
}

impl Unpacked {
    fn new(inputs: usize, outputs: usize) -> Self {
        Self {
            instructions: Instructions::chosen(),
            inputs,
            rows: Vec::with_capacity(inputs * outputs),
            scales: Vec::with_capacity(outputs),
            totals: Vec::with_capacity(outputs),
        }
    }

    /// Appends a row of weights as i8 from -127 to 127, or less where the instructions need that.
    fn push(&mut self, row: &[f32]) {
        let largest = row
            .iter()
            .fold(0.0f32, |most, weight| most.max(weight.abs()));
        let mut scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        let start = self.rows.len();
        loop {
            self.rows.truncate(start);
            // To the nearest, half away from zero; what rounding makes more of is cut off at 127.
            let quantized = row.iter().map(|weight| {
                let value = weight / scale;
                (value + 0.5f32.copysign(value)).clamp(-127.0, 127.0) as i8
            });
            self.rows.extend(quantized);
            let shrink = fit(self.instructions, &self.rows[start..]);
            if shrink >= 1.0 {
                break;
            }
            // A little less than it says: what is rounded up again may be too much again.
            scale /= shrink * 0.999;
        }
        self.scales.push(scale);
        self.totals.push(
            self.rows[start..]
                .iter()
                .map(|&weight| i32::from(weight))
                .sum(),
        );
    }

    fn pack(self, bias: Vec<f32>, activation: Activation) -> Linear {
        Linear {
            weights: Matrix::new(self.instructions, self.inputs, bias.len(), &self.rows),
            scales: self.scales,
            totals: self.totals,
            bias,
            activation,
            fine: false,
        }
    }
}

/// Rows as whole numbers from 0 to `levels`, zero among them: `x / scale + zero_point`, ties to even.
struct Quantize<'s, 'd> {
    input: Rows<'s>,
    inputs: usize,
    /// Comes before.
    norm: Option<&'s LayerNorm>,
    levels: f32,
    normed: &'d mut Vec<f32>,
    row_bytes: usize,
    /// Scale and zero point of each row.
    ranges: &'d mut Vec<(f32, i32)>,
    output: &'d mut [u8],
    /// The lower half of each number, where it is not empty: then there are the squared levels.
    rest: &'d mut [u8],
}

impl SimdOp for Quantize<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let floats = isa.f32();
        let ints = isa.i32();
        let shorts = isa.i16();
        let bytes = isa.u8();
        let width = floats.len();
        room(self.normed, self.inputs);
        let fine = !self.rest.is_empty();
        let base = self.levels + 1.0;
        let levels = if fine { base * base - 1.0 } else { self.levels };
        let mut rests = self.rest.chunks_exact_mut(self.row_bytes);
        for (index, output) in self.output.chunks_exact_mut(self.row_bytes).enumerate() {
            let mut row = self.input.row(index, self.inputs);
            if let Some(norm) = self.norm {
                norm.row(isa, row, self.normed);
                row = &*self.normed;
            }
            let (low, high) = vector::range(isa, row);
            let scale = ((high - low) / levels).max(f32::MIN_POSITIVE);
            let zero = (-low / scale).round_ties_even().clamp(0.0, levels) as i32;
            self.ranges.push((scale, zero));
            let reciprocal = 1.0 / scale;
            let factor = floats.splat(reciprocal);
            let zero_point = ints.splat(zero);
            let most = ints.splat(levels as i32);
            let low_bits = ints.splat(self.levels as i32);
            let rest = rests.next().unwrap_or_default();
            let whole = self.inputs / (4 * width) * (4 * width);
            // Four vectors of f32 become one of bytes. No closure: one would be a call for each.
            for place in (0..whole).step_by(4 * width) {
                let mut quads = [ints.zero(); 4];
                for (index, quad) in quads.iter_mut().enumerate() {
                    let value = floats.mul(floats.load(&row[place + index * width..]), factor);
                    *quad = ints.min(ints.add(floats.to_int_round(value), zero_point), most);
                }
                if fine {
                    let mut halves = quads;
                    for (quad, half) in quads.iter_mut().zip(&mut halves) {
                        *half = ints.and(*quad, low_bits);
                        *quad = if base == 128.0 {
                            ints.shift_right::<7>(*quad)
                        } else {
                            ints.shift_right::<8>(*quad)
                        };
                    }
                    let low = ints.narrow_saturate(halves[0], halves[1]);
                    let high = ints.narrow_saturate(halves[2], halves[3]);
                    bytes.store(shorts.narrow_saturate(low, high), &mut rest[place..]);
                }
                let low = ints.narrow_saturate(quads[0], quads[1]);
                let high = ints.narrow_saturate(quads[2], quads[3]);
                bytes.store(shorts.narrow_saturate(low, high), &mut output[place..]);
            }
            for place in whole..self.inputs {
                let value = (row[place] * reciprocal).round_ties_even() as i32 + zero;
                let value = value.clamp(0, levels as i32);
                if fine {
                    output[place] = (value / base as i32) as u8;
                    rest[place] = (value % base as i32) as u8;
                } else {
                    output[place] = value as u8;
                }
            }
            output[self.inputs..].fill(0);
            if fine {
                rest[self.inputs..].fill(0);
            }
        }
    }
}

/// From sums back to f32, with bias and activation, added to a residual where there is one.
struct Restore<'s, 'd> {
    /// Of some outputs of all rows.
    sums: &'s [i32],
    /// Of the lower halves, where they are not empty: the others count for `base` times as much.
    rests: &'s [i32],
    base: i32,
    row_sums: usize,
    ranges: &'s [(f32, i32)],
    scales: &'s [f32],
    totals: &'s [i32],
    bias: &'s [f32],
    gelu: bool,
    into: Into<'s>,
    /// Where these outputs stand in a row.
    from: usize,
    stride: usize,
    output: &'d mut [f32],
}

impl SimdOp for Restore<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let ints = isa.i32();
        let floats = isa.f32();
        let width = floats.len();
        let count = self.scales.len();
        let whole = count / width * width;
        let gelu = Gelu::new(isa);
        for (index, (sums, &(row_scale, zero_point))) in self
            .sums
            .chunks_exact(self.row_sums)
            .zip(self.ranges)
            .enumerate()
        {
            let place = index * self.stride + self.from;
            let output = &mut self.output[place..place + count];
            let residual = match self.into {
                Into::SumOf(residual) => Some(&residual[place..place + count]),
                Into::Empty | Into::Sum => None,
            };
            let factor = floats.splat(row_scale);
            let fine = !self.rests.is_empty();
            let (high, low) = if fine {
                (zero_point / self.base, zero_point % self.base)
            } else {
                (zero_point, 0)
            };
            let rests = if fine {
                &self.rests[index * self.row_sums..][..self.row_sums]
            } else {
                sums
            };
            let (zero, low_zero) = (ints.splat(high), ints.splat(low));
            let base = floats.splat(self.base as f32);
            for place in (0..whole).step_by(width) {
                let totals = ints.load(&self.totals[place..]);
                let sum = ints.sub(ints.load(&sums[place..]), ints.mul(totals, zero));
                let mut sum = ints.to_float(sum);
                if fine {
                    let rest = ints.load(&rests[place..]);
                    let rest = ints.to_float(ints.sub(rest, ints.mul(totals, low_zero)));
                    sum = floats.mul_add(sum, base, rest);
                }
                let scale = floats.mul(floats.load(&self.scales[place..]), factor);
                let bias = floats.load(&self.bias[place..]);
                let mut value = floats.mul_add(sum, scale, bias);
                if self.gelu {
                    value = gelu.of(isa, value);
                }
                if let Some(residual) = residual {
                    value = floats.add(value, floats.load(&residual[place..]));
                } else if self.into == Into::Sum {
                    value = floats.add(value, floats.load(&output[place..]));
                }
                floats.store(value, &mut output[place..]);
            }
            for place in whole..count {
                let mut sum = (sums[place] - self.totals[place] * high) as f32;
                if fine {
                    let rest = rests[place] - self.totals[place] * low;
                    sum = sum * self.base as f32 + rest as f32;
                }
                let mut value = sum * self.scales[place] * row_scale + self.bias[place];
                if self.gelu {
                    value = Gelu::<I>::of_one(value);
                }
                if let Some(residual) = residual {
                    value += residual[place];
                } else if self.into == Into::Sum {
                    value += output[place];
                }
                output[place] = value;
            }
        }
    }
}

/// As a candle operation it takes `[rows, inputs]` and gives `[rows, outputs]`.
impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, inputs) = layout.shape().dims2()?;
        if inputs != self.weights.inputs() {
            bail!(
                "linear: rows of {} values are needed",
                self.weights.inputs()
            )
        }
        let mut output = Vec::new();
        self.forward_into(values(storage, layout)?, None, &mut output)?;
        let shape = (rows, self.weights.outputs());
        Ok((CpuStorage::F32(output), shape.into()))
    }
}

#[cfg(test)]
mod tests;
