//! A layer `x · Wᵀ + b`: weights i8 with one scale for each output, activations u8 with a scale and a zero
//! point for each row, sums in i32.

use std::mem::MaybeUninit;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, bail};
use rten_simd::ops::{BitOps, FloatOps, NarrowSaturate, NumOps, ToFloat};
use rten_simd::{Isa, SimdOp, SimdUnaryOp, SliceWriter};
use rten_vecmath::{ExtendInit, Gelu, MinMax};

use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::product::{Instructions, Matrix};
use crate::kernels::{Scratch, values, with_scratch};

/// Rows that are quantized, multiplied and turned back at once: their sums stay in the cache.
const ROWS: usize = 32;

/// What follows the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Nothing.
    None,
    /// The exact GELU, by the error function.
    Gelu,
}

/// The layer. As a candle operation of one operand it takes `[rows, inputs]` and gives `[rows, outputs]`; of
/// two, it adds what it gives to the second.
pub(crate) struct Linear {
    weights: Matrix,
    /// One for each output.
    scales: Vec<f32>,
    /// For each output the sum of its weights: what a row's zero point, times this, is too much.
    totals: Vec<i32>,
    bias: Vec<f32>,
    activation: Activation,
    instructions: Instructions,
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
        let mut rows = Vec::with_capacity(inputs * outputs);
        let mut scales = Vec::with_capacity(outputs);
        tensors.for_each_row(weight, outputs, inputs, |_, row| {
            scales.push(quantize_weights(row, &mut rows));
        })?;
        Ok(Self::from_parts(inputs, &rows, scales, bias, activation))
    }

    pub(crate) fn from_parts(
        inputs: usize,
        rows: &[i8],
        scales: Vec<f32>,
        bias: Vec<f32>,
        activation: Activation,
    ) -> Self {
        let totals = rows
            .chunks_exact(inputs.max(1))
            .map(|row| row.iter().map(|&weight| i32::from(weight)).sum())
            .collect();
        Self {
            weights: Matrix::new(inputs, bias.len(), rows),
            scales,
            totals,
            bias,
            activation,
            instructions: Instructions::chosen(),
        }
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

    /// `input` is any number of rows; a residual has as many, of `outputs` values.
    fn forward(&self, input: &[f32], residual: Option<&[f32]>) -> Result<Vec<f32>> {
        let mut output = Vec::new();
        self.forward_into(input, residual, &mut output)?;
        Ok(output)
    }

    /// As a candle operation does it, but the result replaces what is in `output`.
    pub(crate) fn forward_into(
        &self,
        input: &[f32],
        residual: Option<&[f32]>,
        output: &mut Vec<f32>,
    ) -> Result<()> {
        let (inputs, outputs) = (self.weights.inputs(), self.weights.outputs());
        if !input.len().is_multiple_of(inputs) {
            bail!("linear: rows of {inputs} values are needed")
        }
        let rows = input.len() / inputs;
        if residual.is_some_and(|residual| residual.len() != rows * outputs) {
            bail!("linear: a residual of the output's shape is needed")
        }
        output.clear();
        output.reserve(rows * outputs);
        with_scratch(|scratch| {
            for (index, block) in input.chunks(ROWS * inputs).enumerate() {
                self.quantize(block, scratch);
                let needed = scratch.ranges.len() * self.weights.row_sums();
                if scratch.sums.len() < needed {
                    scratch.sums.resize(needed, 0);
                }
                let sums = &mut scratch.sums[..needed];
                self.weights
                    .multiply(self.instructions, &scratch.quantized, sums);
                let residual = residual.map(|all| &all[index * ROWS * outputs..]);
                self.restore(sums, &scratch.ranges, residual, output);
            }
            scratch.quantized.fill(0);
        });
        Ok(())
    }

    fn quantize(&self, block: &[f32], scratch: &mut Scratch) {
        let (inputs, row_bytes) = (self.weights.inputs(), self.weights.row_bytes());
        scratch.quantized.clear();
        scratch.ranges.clear();
        for row in block.chunks_exact(inputs) {
            let (scale, zero_point) = range(row, self.instructions.levels());
            scratch.quantized.reserve(row_bytes);
            scratch.quantized.extend_init(|room| {
                Quantize {
                    row,
                    scale: 1.0 / scale,
                    zero_point,
                    output: &mut room[..inputs],
                }
                .dispatch()
            });
            scratch.ranges.push((scale, zero_point));
            scratch
                .quantized
                .resize(scratch.ranges.len() * row_bytes, 0);
        }
    }

    fn restore(
        &self,
        sums: &[i32],
        ranges: &[(f32, u8)],
        residual: Option<&[f32]>,
        output: &mut Vec<f32>,
    ) {
        let outputs = self.weights.outputs();
        let rows = sums.chunks_exact(self.weights.row_sums());
        for (index, (sums, &(scale, zero_point))) in rows.zip(ranges).enumerate() {
            output.extend_init(|room| {
                Restore {
                    sums: &sums[..outputs],
                    scales: &self.scales,
                    totals: &self.totals,
                    bias: &self.bias,
                    row_scale: scale,
                    zero_point: i32::from(zero_point),
                    gelu: self.activation == Activation::Gelu,
                    residual: residual.map(|residual| &residual[index * outputs..]),
                    output: &mut room[..outputs],
                }
                .dispatch()
            });
        }
    }

    fn rows(&self, layout: &Layout) -> Result<usize> {
        let (rows, inputs) = layout.shape().dims2()?;
        if inputs != self.weights.inputs() {
            bail!(
                "linear: rows of {} values are needed",
                self.weights.inputs()
            )
        }
        Ok(rows)
    }
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> Result<(CpuStorage, candle_core::Shape)> {
        let rows = self.rows(layout)?;
        let output = self.forward(values(storage, layout)?, None)?;
        Ok((
            CpuStorage::F32(output),
            (rows, self.weights.outputs()).into(),
        ))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear with residual"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, candle_core::Shape)> {
        let rows = self.rows(layout)?;
        let residual = values(residual, residual_layout)?;
        let output = self.forward(values(storage, layout)?, Some(residual))?;
        Ok((
            CpuStorage::F32(output),
            (rows, self.weights.outputs()).into(),
        ))
    }
}

/// Appends a row of weights as i8 from -127 to 127, and gives their scale.
fn quantize_weights(row: &[f32], to: &mut Vec<i8>) -> f32 {
    let largest = row
        .iter()
        .fold(0.0f32, |most, weight| most.max(weight.abs()));
    let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
    to.extend(
        row.iter()
            .map(|weight| (weight / scale).round().clamp(-127.0, 127.0) as i8),
    );
    scale
}

/// The scale and the zero point that spread a row's values, zero among them, over 0 to `levels`.
fn range(row: &[f32], levels: f32) -> (f32, u8) {
    let (low, high) = MinMax::new(row).dispatch();
    let (low, high) = (low.min(0.0), high.max(0.0));
    let scale = ((high - low) / levels).max(f32::MIN_POSITIVE);
    (
        scale,
        (-low / scale).round_ties_even().clamp(0.0, levels) as u8,
    )
}

/// `x * scale + zero_point` in whole numbers, ties to even.
struct Quantize<'s, 'd> {
    row: &'s [f32],
    scale: f32,
    zero_point: u8,
    output: &'d mut [MaybeUninit<u8>],
}

impl<'d> SimdOp for Quantize<'_, 'd> {
    type Output = &'d mut [u8];

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> Self::Output {
        let floats = isa.f32();
        let ints = isa.i32();
        let shorts = isa.i16();
        let bytes = isa.u8();
        let width = floats.len();
        let scale = floats.splat(self.scale);
        let zero_point = ints.splat(i32::from(self.zero_point));
        let mut writer = SliceWriter::new(self.output);
        // Four vectors of f32 become one of bytes. No closure: one would be a call for each.
        let mut whole = self.row.chunks_exact(4 * width);
        for values in &mut whole {
            let mut quads = [ints.zero(); 4];
            for (index, quad) in quads.iter_mut().enumerate() {
                let value = floats.mul(floats.load(&values[index * width..]), scale);
                *quad = ints.add(floats.to_int_round(value), zero_point);
            }
            let low = ints.narrow_saturate(quads[0], quads[1]);
            let high = ints.narrow_saturate(quads[2], quads[3]);
            writer.write_vec(bytes, shorts.narrow_saturate(low, high));
        }
        for value in whole.remainder() {
            let value = (value * self.scale).round_ties_even() + f32::from(self.zero_point);
            writer.write_scalar(value as u8);
        }
        writer.into_mut_slice()
    }
}

/// From sums back to f32, with bias and activation, added to a residual where there is one.
struct Restore<'s, 'd> {
    sums: &'s [i32],
    scales: &'s [f32],
    totals: &'s [i32],
    bias: &'s [f32],
    row_scale: f32,
    zero_point: i32,
    gelu: bool,
    residual: Option<&'s [f32]>,
    output: &'d mut [MaybeUninit<f32>],
}

impl<'d> SimdOp for Restore<'_, 'd> {
    type Output = &'d mut [f32];

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> Self::Output {
        let ints = isa.i32();
        let floats = isa.f32();
        let width = floats.len();
        let row_scale = floats.splat(self.row_scale);
        let mut writer = SliceWriter::new(self.output);
        let zero_point = ints.splat(self.zero_point);
        let whole = self.sums.len() / width * width;
        for place in (0..whole).step_by(width) {
            let too_much = ints.mul(ints.load(&self.totals[place..]), zero_point);
            let sum = ints.sub(ints.load(&self.sums[place..]), too_much);
            let scale = floats.mul(floats.load(&self.scales[place..]), row_scale);
            let bias = floats.load(&self.bias[place..]);
            let value = floats.mul_add(ints.to_float(sum), scale, bias);
            let value = if self.gelu {
                Gelu {}.eval(isa, value)
            } else {
                value
            };
            let value = match self.residual {
                Some(residual) => floats.add(value, floats.load(&residual[place..])),
                None => value,
            };
            writer.write_vec(floats, value);
        }
        for place in whole..self.sums.len() {
            let sum = self.sums[place] - self.totals[place] * self.zero_point;
            let value = sum as f32 * self.scales[place] * self.row_scale + self.bias[place];
            let value = if self.gelu {
                Gelu {}.scalar_eval(value)
            } else {
                value
            };
            writer.write_scalar(value + self.residual.map_or(0.0, |residual| residual[place]));
        }
        writer.into_mut_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::numbers;

    fn layer(inputs: usize, outputs: usize, activation: Activation) -> (Linear, Vec<f32>) {
        let weights = numbers(7, inputs * outputs);
        let mut rows = Vec::new();
        let scales = weights
            .chunks_exact(inputs)
            .map(|row| quantize_weights(row, &mut rows))
            .collect();
        let bias = numbers(8, outputs);
        let linear = Linear::from_parts(inputs, &rows, scales, bias, activation);
        (linear, weights)
    }

    fn plain(linear: &Linear, weights: &[f32], input: &[f32]) -> Vec<f32> {
        let mut output = Vec::new();
        for row in input.chunks_exact(linear.weights.inputs()) {
            for (weights, bias) in weights
                .chunks_exact(linear.weights.inputs())
                .zip(&linear.bias)
            {
                let sum: f32 = weights.iter().zip(row).map(|(w, x)| w * x).sum();
                output.push(sum + bias);
            }
        }
        output
    }

    /// Rounding to 8 bits on both sides, and no more than that: the error of a sum of random
    /// products is known in size.
    #[test]
    fn is_the_plain_product_but_for_rounding() {
        for (rows, inputs, outputs) in [
            (1, 1, 1),
            (1, 384, 51),
            (3, 64, 33),
            (65, 96, 40),
            (200, 33, 17),
        ] {
            let (linear, weights) = layer(inputs, outputs, Activation::None);
            let input = numbers(9, rows * inputs);
            let found = linear.forward(&input, None).unwrap();
            let expected = plain(&linear, &weights, &input);
            assert_eq!(found.len(), expected.len());
            // Rounding is evenly spread over a step: of activations 2 / levels, of weights 2 / 254. Times the other side's
            // root mean square and the root of the count, four standard deviations and the two sides' independence.
            let step = |levels: f32| 2.0 / levels / 12f32.sqrt() / 3f32.sqrt();
            let deviation = step(linear.instructions.levels()).hypot(step(254.0));
            let allowed = 0.01 + 4.0 * deviation * (inputs as f32).sqrt();
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert!(
                    (found - expected).abs() < allowed,
                    "{rows} x {inputs} x {outputs}, {index}: {found} for {expected}"
                );
            }
        }
    }

    #[test]
    fn gelu_follows_the_product() {
        for outputs in [5, 48] {
            let (linear, weights) = layer(64, outputs, Activation::Gelu);
            let input = numbers(3, 4 * 64);
            let found = linear.forward(&input, None).unwrap();
            for (found, expected) in found.iter().zip(plain(&linear, &weights, &input)) {
                // tanh's approximation of GELU is within 0.001 of the exact one.
                let cubed = expected.powi(3);
                let gelu =
                    0.5 * expected * (1.0 + (0.797_884_6 * (expected + 0.044_715 * cubed)).tanh());
                assert!((found - gelu).abs() < 0.1, "{found} for {gelu}");
            }
        }
    }

    #[test]
    fn a_residual_is_added() {
        for (rows, outputs) in [(1, 5), (3, 48), (70, 33)] {
            let (linear, _) = layer(64, outputs, Activation::None);
            let input = numbers(3, rows * 64);
            let residual = numbers(4, rows * outputs);
            let alone = linear.forward(&input, None).unwrap();
            let found = linear.forward(&input, Some(&residual)).unwrap();
            for ((found, alone), residual) in found.iter().zip(&alone).zip(&residual) {
                assert_eq!(*found, alone + residual);
            }
            assert!(linear.forward(&input, Some(&residual[1..])).is_err());
        }
    }

    #[test]
    fn nothing_and_zero_are_no_trouble() {
        let (linear, _) = layer(32, 8, Activation::None);
        assert!(linear.forward(&[], None).unwrap().is_empty());
        assert_eq!(linear.forward(&[0.0; 32], None).unwrap(), linear.bias);
        assert!(linear.forward(&[0.0; 31], None).is_err());
    }

    #[test]
    fn a_row_of_weights_comes_back() {
        let (linear, weights) = layer(32, 8, Activation::None);
        let mut row = Vec::new();
        assert!(linear.append_row(3, &mut row));
        assert_eq!(row.len(), 32);
        for (found, expected) in row.iter().zip(&weights[3 * 32..]) {
            assert!((found - expected).abs() < 0.005);
        }
        assert!(!linear.append_row(8, &mut row));
    }
}
