//! A convolution over time of three taps, with GELU, as one product of matrices.

use candle_core::{Result, bail};

use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::{Activation, Linear, Rows, room};

const TAPS: usize = 3;

/// Takes `[frames, inputs]`, gives `[frames / stride, outputs]`; silent frames stand before and after.
pub(crate) struct Convolution {
    inputs: usize,
    stride: usize,
    product: Linear,
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
        Self {
            inputs,
            stride,
            // What is lost of a spectrogram here costs words: 7.45 % of them wrong, 7.20 % so.
            product: Linear::from_rows(TAPS * inputs, weights, bias, Activation::Gelu).fine(),
        }
    }

    /// The result replaces what is in `output`; `padded` is room.
    pub(crate) fn forward_into(
        &self,
        input: &[f32],
        padded: &mut Vec<f32>,
        output: &mut Vec<f32>,
    ) -> Result<()> {
        let inputs = self.inputs;
        if !input.len().is_multiple_of(inputs * self.stride) {
            bail!("convolution: whole strides of {inputs} values are needed")
        }
        room(padded, input.len() + 2 * inputs);
        padded[..inputs].fill(0.0);
        padded[inputs..inputs + input.len()].copy_from_slice(input);
        padded[inputs + input.len()..].fill(0.0);
        // Three neighbouring frames lie side by side already: each row of the product is a window on them.
        let windows = Rows::new(padded, self.stride * inputs);
        let count = input.len() / inputs / self.stride;
        self.product.forward_windows(windows, count, output)?;
        padded.fill(0.0);
        Ok(())
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
            let (mut padded, mut found) = (vec![f32::NAN; 7], Vec::new());
            Convolution::new(inputs, stride, &weights, bias.clone())
                .forward_into(&input, &mut padded, &mut found)
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
            // But for the rounding of the weights, to a hundredth of the results' size.
            let size: f32 = expected.iter().map(|value| value * value).sum();
            let off: f32 = found
                .iter()
                .zip(&expected)
                .map(|(a, b)| (a - b).powi(2))
                .sum();
            assert!(
                off < 4e-4 * size + 1e-4,
                "{frames}, {inputs}: {off} of {size}"
            );
        }
    }
}
