//! From what the encoder heard to tokens, one at a time.

use candle_core::{Device, Tensor};
use rten_simd::SimdOp;
use rten_vecmath::{MaxNum, SumExpSub};
use zeroize::Zeroize;

use super::tokens::Tokens;
use super::{Dimensions, WINDOW, guard};
use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::{Activation, LayerNorm, Linear, Memory, QueryAttention, Shape};

pub(super) struct Decoder {
    width: usize,
    /// Token and position that the longest decoding reaches.
    most_positions: usize,
    /// `[vocabulary, width]`: what a token starts as, and what the last layer is compared with.
    embedding: Linear,
    /// `[positions, width]`
    positions: Vec<f32>,
    layers: Vec<Layer>,
    norm: LayerNorm,
}

struct Layer {
    self_norm: LayerNorm,
    query_key_value: Linear,
    self_output: Linear,
    cross_norm: LayerNorm,
    query: Linear,
    /// Made of all positions of the encoder at once.
    key_value: Linear,
    cross_output: Linear,
    feed_forward_norm: LayerNorm,
    expand: Linear,
    contract: Linear,
}

/// A token and how likely it was among all.
#[derive(Clone, Copy)]
pub(super) struct Token {
    pub(super) id: u32,
    pub(super) log_probability: f32,
}

impl Zeroize for Token {
    fn zeroize(&mut self) {
        self.id.zeroize();
        self.log_probability.zeroize();
    }
}

/// One decoding of a turn. Tokens are words, and are wiped.
pub(super) struct Decoded {
    pub(super) tokens: Vec<Token>,
    /// That of the end, where it came to one.
    pub(super) end: Option<f32>,
    pub(super) no_speech_probability: f32,
    pub(super) ran_away: bool,
}

impl Decoded {
    pub(super) fn average_log_probability(&self) -> f32 {
        let all = self.tokens.iter().map(|token| token.log_probability);
        let count = self.tokens.len() + usize::from(self.end.is_some());
        all.chain(self.end).sum::<f32>() / count.max(1) as f32
    }
}

impl Drop for Decoded {
    fn drop(&mut self) {
        self.tokens.zeroize();
    }
}

impl Decoder {
    pub(super) fn load(tensors: &Tensors<'_>, dimensions: &Dimensions) -> Result<Self, ModelError> {
        let &Dimensions {
            width,
            feed_forward,
            decoder_positions,
            vocabulary,
            ..
        } = dimensions;
        let layers = (0..dimensions.decoder_layers)
            .map(|layer| {
                let norm = |name: &str| {
                    LayerNorm::load(tensors, &format!("decoder.{layer}.{name}.norm"), width)
                };
                let linear = |name: &str, inputs, outputs, shape, activation| {
                    let name = format!("decoder.{layer}.{name}");
                    Linear::load(tensors, &name, inputs, outputs, shape, activation)
                };
                let vector = |name: &str, inputs, outputs| {
                    linear(name, inputs, outputs, Shape::Vector, Activation::None)
                };
                Ok(Layer {
                    self_norm: norm("self_attention")?,
                    query_key_value: vector("self_attention.query_key_value", width, 3 * width)?,
                    self_output: vector("self_attention.output", width, width)?,
                    cross_norm: norm("cross_attention")?,
                    query: vector("cross_attention.query", width, width)?,
                    key_value: linear(
                        "cross_attention.key_value",
                        width,
                        2 * width,
                        Shape::Matrix,
                        Activation::None,
                    )?,
                    cross_output: vector("cross_attention.output", width, width)?,
                    feed_forward_norm: norm("feed_forward")?,
                    expand: linear(
                        "feed_forward.expand",
                        width,
                        feed_forward,
                        Shape::Vector,
                        Activation::Gelu,
                    )?,
                    contract: vector("feed_forward.contract", feed_forward, width)?,
                })
            })
            .collect::<Result<_, ModelError>>()?;
        Ok(Self {
            width,
            most_positions: decoder_positions / 2,
            embedding: Linear::load_matrix(
                tensors,
                "decoder.embedding",
                width,
                vocabulary,
                Shape::Vector,
            )?,
            positions: tensors.f32("decoder.positions", &[decoder_positions, width])?,
            layers,
            norm: LayerNorm::load(tensors, "decoder.norm", width)?,
        })
    }

    /// Keys and values of each layer for what the encoder gave, `[positions, width]`.
    pub(super) fn memories(&self, encoded: &Tensor) -> Result<Vec<Memory>, ModelError> {
        let positions = encoded.dim(0)?;
        self.layers
            .iter()
            .map(|layer| {
                let rows = encoded.apply_op1_no_bwd(&layer.key_value)?;
                let mut memory = Memory::new(positions, self.width);
                memory.write(0, &rows.flatten_all()?.to_vec1::<f32>()?);
                Ok(memory)
            })
            .collect()
    }

    /// Greedy decoding of a turn of so many seconds, whose first `positions` positions are in `turn`
    /// and the others in `silence`.
    pub(super) fn decode(
        &self,
        tokens: &Tokens,
        turn: &[Memory],
        silence: &[Memory],
        positions: usize,
        seconds: f32,
    ) -> Result<Decoded, ModelError> {
        let mut state = State {
            decoder: self,
            said: (0..self.layers.len())
                .map(|_| Memory::new(self.most_positions, self.width))
                .collect(),
            turn,
            silence,
            positions,
            step: 0,
        };
        let mut decoded = Decoded {
            tokens: Vec::with_capacity(self.most_positions),
            end: None,
            no_speech_probability: 0.0,
            ran_away: false,
        };
        let mut scores = Scores(Vec::new());
        for (index, &token) in tokens.prompt().iter().enumerate() {
            scores = state.next(token)?;
            if index == 0 {
                // Whether anybody speaks is the first thing that the model was taught to say.
                decoded.no_speech_probability = scores.log_probability(tokens.no_speech()).exp();
            }
        }
        loop {
            let token = scores.best(tokens, decoded.tokens.is_empty());
            if token.id == tokens.end() {
                decoded.end = Some(token.log_probability);
                return Ok(decoded);
            }
            decoded.tokens.push(token);
            if guard::runs_away(&decoded.tokens, seconds) || state.step + 1 >= self.most_positions {
                decoded.ran_away = true;
                return Ok(decoded);
            }
            scores = state.next(token.id)?;
        }
    }
}

/// A decoding under way.
struct State<'a> {
    decoder: &'a Decoder,
    /// For each layer, keys and values of the tokens so far.
    said: Vec<Memory>,
    turn: &'a [Memory],
    silence: &'a [Memory],
    positions: usize,
    /// Tokens so far.
    step: usize,
}

impl State<'_> {
    /// Takes one more token and says how fit each of the vocabulary is to follow.
    fn next(&mut self, token: u32) -> Result<Scores, ModelError> {
        let decoder = self.decoder;
        let width = decoder.width;
        let place = decoder
            .positions
            .get(self.step * width..(self.step + 1) * width);
        let (Some(mut start), Some(place)) = (decoder.embedding.row(token as usize), place) else {
            return Err(ModelError::Compute(
                "a token outside of the model".to_owned(),
            ));
        };
        for (value, place) in start.iter_mut().zip(place) {
            *value += place;
        }
        let mut x = Tensor::from_vec(start, (1, width), &Device::Cpu)?;
        for (index, layer) in decoder.layers.iter().enumerate() {
            let all = x
                .apply_op1_no_bwd(&layer.self_norm)?
                .apply_op1_no_bwd(&layer.query_key_value)?;
            let key_value = all
                .narrow(1, width, 2 * width)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            self.said[index].write(self.step, &key_value);
            let attended = all.narrow(1, 0, width)?.apply_op1_no_bwd(&QueryAttention {
                memories: &[(&self.said[index], 0..self.step + 1)],
            })?;
            x = attended.apply_op2_no_bwd(&x, &layer.self_output)?;

            let query = x
                .apply_op1_no_bwd(&layer.cross_norm)?
                .apply_op1_no_bwd(&layer.query)?;
            let all = [
                (&self.turn[index], 0..self.positions),
                (&self.silence[index], self.positions..WINDOW),
            ];
            // A whole window leaves no place for silence.
            let memories = if self.positions < WINDOW {
                &all[..]
            } else {
                &all[..1]
            };
            let attended = query.apply_op1_no_bwd(&QueryAttention { memories })?;
            x = attended.apply_op2_no_bwd(&x, &layer.cross_output)?;

            x = x
                .apply_op1_no_bwd(&layer.feed_forward_norm)?
                .apply_op1_no_bwd(&layer.expand)?
                .apply_op2_no_bwd(&x, &layer.contract)?;
        }
        self.step += 1;
        let scores = x
            .apply_op1_no_bwd(&decoder.norm)?
            .apply_op1_no_bwd(&decoder.embedding)?;
        Ok(Scores(scores.flatten_all()?.to_vec1()?))
    }
}

/// For each token of the vocabulary, an unnormalized log probability.
struct Scores(Vec<f32>);

impl Scores {
    /// The natural logarithm of the sum of all exponentials.
    fn norm(&self) -> f32 {
        let highest = MaxNum::new(&self.0).dispatch();
        highest + SumExpSub::new(&self.0, highest).dispatch().ln()
    }

    fn log_probability(&self, token: u32) -> f32 {
        self.0
            .get(token as usize)
            .map_or(f32::NEG_INFINITY, |score| score - self.norm())
    }

    /// The best token that is allowed, with its probability among all, the forbidden ones too: where the
    /// model would rather say that there is music, a word is not certain.
    fn best(&mut self, tokens: &Tokens, first: bool) -> Token {
        let norm = self.norm();
        tokens.forbid(&mut self.0, first);
        let highest = MaxNum::new(&self.0).dispatch();
        let id = self.0.iter().position(|&score| score == highest);
        Token {
            id: id
                .and_then(|id| u32::try_from(id).ok())
                .unwrap_or_else(|| tokens.end()),
            log_probability: highest - norm,
        }
    }
}
