//! Layer norm over the last dimension.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};

use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::{room, values, vector};

const EPSILON: f32 = 1e-5;

/// `(x - mean) / deviation * weight + bias`, for each row.
pub(crate) struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl LayerNorm {
    /// Reads `name.weight` and `name.bias`, both `[width]`.
    pub(crate) fn load(
        tensors: &Tensors<'_>,
        name: &str,
        width: usize,
    ) -> std::result::Result<Self, ModelError> {
        Ok(Self {
            weight: tensors.f32(&format!("{name}.weight"), &[width])?,
            bias: tensors.f32(&format!("{name}.bias"), &[width])?,
        })
    }

    fn forward(&self, input: &[f32]) -> Vec<f32> {
        let mut output = Vec::new();
        self.forward_into(input, &mut output);
        output
    }

    #[cfg(test)]
    pub(super) const fn new(weight: Vec<f32>, bias: Vec<f32>) -> Self {
        Self { weight, bias }
    }

    /// As a candle operation does it, but the result replaces what is in `output`.
    pub(crate) fn forward_into(&self, input: &[f32], output: &mut Vec<f32>) {
        room(output, input.len());
        AllRows {
            norm: self,
            input,
            output,
        }
        .dispatch();
    }

    /// One row.
    #[inline(always)]
    pub(super) fn row<I: Isa>(&self, isa: I, input: &[f32], output: &mut [f32]) {
        let ops = isa.f32();
        let count = self.weight.len();
        let (input, output) = (&input[..count], &mut output[..count]);
        let mean = vector::sum(isa, input) / count as f32;
        let variance = vector::squares(isa, input, mean) / count as f32;
        let scale = 1.0 / (variance + EPSILON).sqrt();
        let whole = count / ops.len() * ops.len();
        let (means, scales) = (ops.splat(mean), ops.splat(scale));
        for place in (0..whole).step_by(ops.len()) {
            let weight = ops.mul(ops.load(&self.weight[place..]), scales);
            let value = ops.sub(ops.load(&input[place..]), means);
            let bias = ops.load(&self.bias[place..]);
            ops.store(ops.mul_add(value, weight, bias), &mut output[place..]);
        }
        for place in whole..count {
            let value = (input[place] - mean) * scale;
            output[place] = value * self.weight[place] + self.bias[place];
        }
    }
}

struct AllRows<'a> {
    norm: &'a LayerNorm,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for AllRows<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let width = self.norm.weight.len();
        let rows = self.input.chunks_exact(width);
        for (input, output) in rows.zip(self.output.chunks_exact_mut(width)) {
            self.norm.row(isa, input, output);
        }
    }
}

impl CustomOp1 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        if layout.dims().last() != Some(&self.weight.len()) {
            bail!(
                "layer norm: rows of {} values are needed",
                self.weight.len()
            )
        }
        let output = self.forward(values(storage, layout)?);
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::numbers;

    #[test]
    fn is_the_plain_formula() {
        for width in [1, 7, 64, 384] {
            let norm = LayerNorm {
                weight: numbers(1, width),
                bias: numbers(2, width),
            };
            let input = numbers(3, 5 * width);
            let output = norm.forward(&input);
            for (row, found) in input.chunks_exact(width).zip(output.chunks_exact(width)) {
                let mean: f32 = row.iter().sum::<f32>() / width as f32;
                let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / width as f32;
                for index in 0..width {
                    let expected = (row[index] - mean) / (variance + EPSILON).sqrt()
                        * norm.weight[index]
                        + norm.bias[index];
                    assert!((found[index] - expected).abs() < 1e-4, "{width}, {index}");
                }
            }
        }
    }
}
