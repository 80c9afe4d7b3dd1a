//! Layer norm over the last dimension.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use rten_simd::SimdOp;
use rten_vecmath::{ExtendInit, Normalize, NormalizeOptions, Sum, SumSquareSub};

use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::values;

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

    /// As a candle operation does it, but the result replaces what is in `output`.
    pub(crate) fn forward_into(&self, input: &[f32], output: &mut Vec<f32>) {
        let width = self.weight.len();
        output.clear();
        output.reserve(input.len());
        for row in input.chunks_exact(width) {
            let mean = Sum::new(row).dispatch() / width as f32;
            let variance = SumSquareSub::new(row, mean).dispatch() / width as f32;
            output.extend_init(|room| {
                let options = NormalizeOptions {
                    pre_scale_bias: mean,
                    scale: 1.0 / (variance + EPSILON).sqrt(),
                    element_scale: Some(&self.weight),
                    element_bias: Some(&self.bias),
                    ..NormalizeOptions::default()
                };
                Normalize::new(row, &mut room[..width], options).dispatch()
            });
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
