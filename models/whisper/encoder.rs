//! From a spectrogram to what the decoder looks at.

use super::{Dimensions, Operations, WINDOW};
use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::{Activation, Convolution, LayerNorm, Linear, SelfAttention};

pub(super) struct Encoder {
    convolutions: [Convolution; 2],
    width: usize,
    /// `[1500, width]`
    positions: Vec<f32>,
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

/// Positions that pass the feed-forward layers at once.
const TOGETHER: usize = 96;

/// Room that encodings use one after the other. What they leave in it is wiped.
#[derive(Default)]
pub(super) struct Room {
    padded: Vec<f32>,
    frames: Vec<f32>,
    x: Vec<f32>,
    projected: Vec<f32>,
    attended: Vec<f32>,
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
            width,
            positions,
            layers,
            norm: LayerNorm::load(tensors, "encoder.norm", width)?,
        })
    }

    /// Of so many positions.
    pub(super) fn operations(&self, positions: usize, mel_bins: usize) -> Operations {
        let (width, layers) = (self.width, self.layers.len());
        let layer = self.layers.first().map_or(0, |layer| {
            [&layer.query_key_value, &layer.output, &layer.expand, &layer.contract].map(Linear::size).iter().sum()
        });
        // The convolutions' activations are two numbers each.
        let convolutions = 2 * (2 * 3 * mel_bins * width + 3 * width * width);
        Operations {
            eight_bits: 2 * (positions * (layer * layers + convolutions)) as u64,
            sixteen_bits: 4 * (positions * positions * width * layers) as u64,
        }
    }

    /// From `[2 * positions, mel bins]` to `[positions, width]`, which replaces what is in `output`.
    pub(super) fn forward(
        &self,
        mel: &[f32],
        room: &mut Room,
        output: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let [first, second] = &self.convolutions;
        let Room {
            padded,
            frames,
            x,
            projected,
            attended,
        } = room;
        first.forward_into(mel, padded, frames)?;
        second.forward_into(frames, padded, x)?;
        for (value, position) in x.iter_mut().zip(&self.positions) {
            *value += position;
        }
        let positions = x.len() / self.width;
        for layer in &self.layers {
            let norm = &layer.attention_norm;
            layer.query_key_value.forward_normed(norm, x, projected)?;
            SelfAttention::forward_into(projected, positions, self.width, attended);
            layer.output.add_to(attended, x)?;
            let norm = &layer.feed_forward_norm;
            // Some rows at a time: what lies between the two is four times as wide, and need not leave the cache.
            for x in x.chunks_mut(TOGETHER * self.width) {
                layer.expand.forward_normed(norm, x, projected)?;
                layer.contract.add_to(projected, x)?;
            }
        }
        self.norm.forward_into(x, output);
        for buffer in [frames, x, projected, attended] {
            buffer.fill(0.0);
        }
        Ok(())
    }
}
