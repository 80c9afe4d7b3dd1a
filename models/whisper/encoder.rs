//! From a spectrogram to what the decoder looks at.

use candle_core::{Device, Tensor};

use super::{Dimensions, WINDOW};
use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::{Activation, Add, Convolution, LayerNorm, Linear, SelfAttention};

pub(super) struct Encoder {
    convolutions: [Convolution; 2],
    /// `[1500, width]`
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
}

struct Layer {
    attention_norm: LayerNorm,
    query_key_value: Linear,
    output: Linear,
    feed_forward_norm: LayerNorm,
    expand: Linear,
    contract: Linear,
}

impl Encoder {
    pub(super) fn load(tensors: &Tensors<'_>, dimensions: &Dimensions) -> Result<Self, ModelError> {
        let &Dimensions {
            mel_bins,
            width,
            feed_forward,
            ..
        } = dimensions;
        let convolutions = [
            Convolution::load(tensors, "encoder.convolution.0", mel_bins, width, 1)?,
            Convolution::load(tensors, "encoder.convolution.1", width, width, 2)?,
        ];
        let positions = tensors.f32("encoder.positions", &[WINDOW, width])?;
        let layers = (0..dimensions.encoder_layers)
            .map(|layer| {
                let norm = |name: &str| {
                    LayerNorm::load(tensors, &format!("encoder.{layer}.{name}.norm"), width)
                };
                let linear = |name: &str, inputs, outputs, activation| {
                    let name = format!("encoder.{layer}.{name}");
                    Linear::load(tensors, &name, inputs, outputs, activation)
                };
                Ok(Layer {
                    attention_norm: norm("self_attention")?,
                    query_key_value: linear(
                        "self_attention.query_key_value",
                        width,
                        3 * width,
                        Activation::None,
                    )?,
                    output: linear("self_attention.output", width, width, Activation::None)?,
                    feed_forward_norm: norm("feed_forward")?,
                    expand: linear("feed_forward.expand", width, feed_forward, Activation::Gelu)?,
                    contract: linear(
                        "feed_forward.contract",
                        feed_forward,
                        width,
                        Activation::None,
                    )?,
                })
            })
            .collect::<Result<_, ModelError>>()?;
        Ok(Self {
            convolutions,
            positions: Tensor::from_vec(positions, (WINDOW, width), &Device::Cpu)?,
            layers,
            norm: LayerNorm::load(tensors, "encoder.norm", width)?,
        })
    }

    /// From `[2 * positions, mel bins]` to `[positions, width]`.
    pub(super) fn forward(&self, mel: &Tensor) -> Result<Tensor, ModelError> {
        let [first, second] = &self.convolutions;
        let x = mel.apply_op1_no_bwd(first)?.apply_op1_no_bwd(second)?;
        let positions = self.positions.narrow(0, 0, x.dim(0)?)?;
        let mut x = x.apply_op2_no_bwd(&positions, &Add)?;
        for layer in &self.layers {
            x = x
                .apply_op1_no_bwd(&layer.attention_norm)?
                .apply_op1_no_bwd(&layer.query_key_value)?
                .apply_op1_no_bwd(&SelfAttention)?
                .apply_op2_no_bwd(&x, &layer.output)?;
            x = x
                .apply_op1_no_bwd(&layer.feed_forward_norm)?
                .apply_op1_no_bwd(&layer.expand)?
                .apply_op2_no_bwd(&x, &layer.contract)?;
        }
        Ok(x.apply_op1_no_bwd(&self.norm)?)
    }
}
