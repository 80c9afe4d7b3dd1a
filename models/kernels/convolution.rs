//! A convolution over time of three taps, with GELU, as one matrix product.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use rten_gemm::{BiasVector, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_simd::SimdUnaryOp;
use rten_tensor::NdTensorView;
use rten_vecmath::Gelu;

use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::{values, with_products};

const TAPS: usize = 3;

/// Takes `[frames, inputs]`, gives `[frames / stride, outputs]`; silent frames stand before and after.
pub(crate) struct Convolution {
    inputs: usize,
    stride: usize,
    weights: PackedBMatrix<f32>,
    bias: Vec<f32>,
}

impl Convolution {
    /// Reads `name.weight` (`[outputs, 3, inputs]`) and `name.bias`.
    pub(crate) fn load(
        tensors: &Tensors<'_>,
        name: &str,
        inputs: usize,
        outputs: usize,
        stride: usize,
    ) -> std::result::Result<Self, ModelError> {
        let weights = tensors.f32(&format!("{name}.weight"), &[outputs, TAPS, inputs])?;
        let bias = tensors.f32(&format!("{name}.bias"), &[outputs])?;
        Ok(Self::new(inputs, stride, &weights, bias))
    }

    pub(crate) fn new(inputs: usize, stride: usize, weights: &[f32], bias: Vec<f32>) -> Self {
        let view = NdTensorView::<f32, 2>::from_data([bias.len(), TAPS * inputs], weights);
        Self {
            inputs,
            stride,
            weights: with_products(|products| products.f32.prepack_b(view.transposed())),
            bias,
        }
    }

    fn forward(&self, input: &[f32]) -> Result<Vec<f32>> {
        let frames = input.len() / self.inputs / self.stride;
        let outputs = self.bias.len();
        let mut padded = vec![0.0; input.len() + 2 * self.inputs];
        padded[self.inputs..self.inputs + input.len()].copy_from_slice(input);
        let mut output = vec![0.0; frames * outputs];
        if frames == 0 {
            return Ok(output);
        }
        // Three neighbouring frames lie side by side already: each row of this matrix is a window on them.
        let windows = NdTensorView::<f32, 2>::from_slice_with_strides(
            [frames, TAPS * self.inputs],
            &padded,
            [self.stride * self.inputs, 1],
        )
        .map_err(candle_core::Error::wrap)?;
        with_products(|products| {
            products.f32.gemm(
                &mut output,
                GemmInputA::Unpacked(windows),
                GemmInputB::Packed(&self.weights),
                GemmOptions {
                    bias: Some(BiasVector::Row(&self.bias)),
                    ..GemmOptions::default()
                },
            )
        })
        .map_err(candle_core::Error::wrap)?;
        Gelu {}.map_mut(&mut output);
        padded.fill(0.0);
        Ok(output)
    }
}

impl CustomOp1 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (frames, inputs) = layout.shape().dims2()?;
        if inputs != self.inputs || !frames.is_multiple_of(self.stride) {
            bail!(
                "convolution: whole strides of {} values are needed",
                self.inputs
            )
        }
        let output = self.forward(values(storage, layout)?)?;
        let shape = (frames / self.stride, self.bias.len());
        Ok((CpuStorage::F32(output), shape.into()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::kernels::testing::numbers;

    #[test]
    fn is_candles_convolution() {
        for (frames, inputs, outputs, stride) in [
            (2, 1, 1, 1),
            (10, 5, 7, 1),
            (12, 16, 8, 2),
            (200, 80, 24, 1),
        ] {
            let weights = numbers(1, outputs * TAPS * inputs);
            let bias = numbers(2, outputs);
            let input = numbers(3, frames * inputs);
            let found = Convolution::new(inputs, stride, &weights, bias.clone())
                .forward(&input)
                .unwrap();

            let device = Device::Cpu;
            let weights = Tensor::from_vec(weights, (outputs, TAPS, inputs), &device).unwrap();
            let weights = weights.transpose(1, 2).unwrap().contiguous().unwrap();
            let input = Tensor::from_vec(input, (1, frames, inputs), &device).unwrap();
            let input = input.transpose(1, 2).unwrap().contiguous().unwrap();
            let expected = input
                .conv1d(&weights, 1, stride, 1, 1)
                .unwrap()
                .broadcast_add(&Tensor::from_vec(bias, (1, outputs, 1), &device).unwrap())
                .unwrap()
                .gelu_erf()
                .unwrap()
                .transpose(1, 2)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-3, "{found} for {expected}");
            }
        }
    }
}
