//! From what the encoder heard to tokens, one of each turn at a time.
//!
//! All turns of a batch go from one token to the next together: the weights, and the silence after the turns, are
//! then read once for all. A turn that has come to its end leaves, and what comes of the others does not depend
//! on who else was there.

use candle_core::Tensor;
use rten_simd::SimdOp;
use rten_vecmath::{MaxNum, SumExpSub};
use zeroize::Zeroize;

use super::tokens::{Language, Tokens};
use super::{Dimensions, Stage, guard};
use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::{Activation, LayerNorm, Linear, Memory, QueryAttention};

pub(super) struct Decoder {
    width: usize,
    vocabulary: usize,
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
    /// The one it was decoded in, and how likely that one is among all that the model knows.
    pub(super) language: Option<(Language, f32)>,
    pub(super) ran_away: bool,
}

/// A turn for the decoder.
pub(super) struct Encoded {
    /// For each layer, keys and values of its positions.
    pub(super) memories: Vec<Memory>,
    /// A multiple of the kernels' block, or the whole window.
    pub(super) positions: usize,
    pub(super) seconds: f32,
    /// `None`: to be found out.
    pub(super) language: Option<Language>,
}

/// Room that decodings use one after the other. What they leave in it is wiped.
#[derive(Default)]
pub(super) struct Desk {
    free: Vec<Memory>,
    x: Vec<f32>,
    sum: Vec<f32>,
    normed: Vec<f32>,
    projected: Vec<f32>,
    attended: Vec<f32>,
    /// Of attention.
    weights: Vec<f32>,
    /// Of the vocabulary.
    scores: Vec<f32>,
}

impl Desk {
    fn memory(&mut self, positions: usize, width: usize) -> Memory {
        let mut memory = self.free.pop().unwrap_or_default();
        memory.renew(positions, width);
        memory
    }

    /// Takes back what is no longer needed.
    fn put_back(&mut self, memories: impl IntoIterator<Item = Memory>) {
        for mut memory in memories {
            memory.wipe();
            self.free.push(memory);
        }
    }

    fn wipe(&mut self) {
        for buffer in [
            &mut self.x,
            &mut self.sum,
            &mut self.normed,
            &mut self.projected,
            &mut self.attended,
            &mut self.weights,
            &mut self.scores,
        ] {
            buffer.fill(0.0);
        }
    }
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
                let linear = |name: &str, inputs, outputs, activation| {
                    let name = format!("decoder.{layer}.{name}");
                    Linear::load(tensors, &name, inputs, outputs, activation)
                };
                let plain =
                    |name: &str, inputs, outputs| linear(name, inputs, outputs, Activation::None);
                Ok(Layer {
                    self_norm: norm("self_attention")?,
                    query_key_value: plain("self_attention.query_key_value", width, 3 * width)?,
                    self_output: plain("self_attention.output", width, width)?,
                    cross_norm: norm("cross_attention")?,
                    query: plain("cross_attention.query", width, width)?,
                    key_value: plain("cross_attention.key_value", width, 2 * width)?,
                    cross_output: plain("cross_attention.output", width, width)?,
                    feed_forward_norm: norm("feed_forward")?,
                    expand: linear("feed_forward.expand", width, feed_forward, Activation::Gelu)?,
                    contract: plain("feed_forward.contract", feed_forward, width)?,
                })
            })
            .collect::<Result<_, ModelError>>()?;
        Ok(Self {
            width,
            vocabulary,
            most_positions: decoder_positions / 2,
            embedding: Linear::load_matrix(tensors, "decoder.embedding", width, vocabulary)?,
            positions: tensors.f32("decoder.positions", &[decoder_positions, width])?,
            layers,
            norm: LayerNorm::load(tensors, "decoder.norm", width)?,
        })
    }

    /// Keys and values of each layer for what the encoder gave, `[positions, width]`.
    pub(super) fn memories(
        &self,
        encoded: &Tensor,
        desk: &mut Desk,
    ) -> Result<Vec<Memory>, ModelError> {
        let positions = encoded.dim(0)?;
        let encoded = encoded.flatten_all()?.to_vec1::<f32>()?;
        let mut rows = std::mem::take(&mut desk.projected);
        let memories = self
            .layers
            .iter()
            .map(|layer| {
                layer.key_value.forward_into(&encoded, None, &mut rows)?;
                let mut memory = desk.memory(positions, self.width);
                memory.write(0, &rows);
                Ok(memory)
            })
            .collect();
        rows.zeroize();
        desk.projected = rows;
        memories
    }

    /// Greedy decoding of each turn, the positions after its own being those of `silence`.
    pub(super) fn decode(
        &self,
        tokens: &Tokens,
        turns: Vec<Encoded>,
        silence: &[Memory],
        desk: &mut Desk,
        stage: &mut dyn FnMut(Stage),
    ) -> Result<Vec<Decoded>, ModelError> {
        let mut decoded: Vec<Decoded> = turns
            .iter()
            .map(|_| Decoded {
                tokens: Vec::with_capacity(self.most_positions),
                end: None,
                no_speech_probability: 0.0,
                language: None,
                ran_away: false,
            })
            .collect();
        let mut speakers: Vec<Speaker> = turns
            .into_iter()
            .enumerate()
            .map(|(index, turn)| Speaker {
                index,
                said: (0..self.layers.len())
                    .map(|_| desk.memory(self.most_positions, self.width))
                    .collect(),
                turn,
            })
            .collect();
        // As the attention needs them.
        speakers.sort_by_key(|speaker| speaker.turn.positions);
        let mut batch = Batch {
            decoder: self,
            silence,
            desk,
            stage,
        };
        let result = batch.run(tokens, &mut speakers, &mut decoded);
        for speaker in speakers {
            desk.put_back(speaker.said);
            desk.put_back(speaker.turn.memories);
        }
        desk.wipe();
        result.map(|()| decoded)
    }
}

/// A turn whose decoding is under way.
struct Speaker {
    /// Which of the batch it is.
    index: usize,
    turn: Encoded,
    /// For each layer, keys and values of the tokens so far.
    said: Vec<Memory>,
}

/// Decodings that go from token to token together.
struct Batch<'a> {
    decoder: &'a Decoder,
    silence: &'a [Memory],
    desk: &'a mut Desk,
    stage: &'a mut dyn FnMut(Stage),
}

impl Batch<'_> {
    fn run(
        &mut self,
        tokens: &Tokens,
        speakers: &mut Vec<Speaker>,
        decoded: &mut [Decoded],
    ) -> Result<(), ModelError> {
        let mut next = Vec::with_capacity(speakers.len());
        for step in 0..self.decoder.most_positions {
            next.clear();
            for speaker in &*speakers {
                let decoded = &decoded[speaker.index];
                let token = match decoded.tokens.last() {
                    Some(token) => Some(token.id),
                    None => tokens.prompt(step, decoded.language.map(|(language, _)| language)),
                };
                next.push(token.unwrap_or_else(|| tokens.end()));
            }
            self.step(step, speakers, &next)?;
            let prompting = step + 1 < tokens.prompt_length();
            if prompting && step > 0 {
                continue;
            }
            self.vocabulary()?;
            let rows = self.desk.scores.chunks_exact_mut(self.decoder.vocabulary);
            for (speaker, scores) in speakers.iter_mut().zip(rows) {
                let decoded = &mut decoded[speaker.index];
                if step == 0 {
                    // Whether anybody speaks, and what language, is the first thing that the model was taught to say.
                    let norm = norm(scores);
                    let probability = |token: u32| (scores[token as usize] - norm).exp();
                    decoded.no_speech_probability = probability(tokens.no_speech());
                    decoded.language = tokens.language(scores, speaker.turn.language);
                }
                if !prompting {
                    say(tokens, scores, decoded, speaker.turn.seconds);
                }
            }
            self.leave(speakers, decoded);
            if speakers.is_empty() {
                return Ok(());
            }
        }
        for speaker in speakers {
            decoded[speaker.index].ran_away = true;
        }
        Ok(())
    }

    /// Turns that are done give their room back.
    fn leave(&mut self, speakers: &mut Vec<Speaker>, decoded: &[Decoded]) {
        let done = |speaker: &mut Speaker| {
            let decoded = &decoded[speaker.index];
            decoded.end.is_some() || decoded.ran_away
        };
        for speaker in speakers.extract_if(.., done) {
            self.desk.put_back(speaker.said);
            self.desk.put_back(speaker.turn.memories);
        }
    }

    /// Takes one more token of each turn; what the last layer makes of it is then in `desk.x`.
    fn step(
        &mut self,
        step: usize,
        speakers: &mut [Speaker],
        next: &[u32],
    ) -> Result<(), ModelError> {
        (self.stage)(Stage::Decoder);
        let (decoder, silence) = (self.decoder, self.silence);
        let Desk {
            x,
            sum,
            normed,
            projected,
            attended,
            weights,
            ..
        } = &mut *self.desk;
        decoder.begin(step, next, x)?;
        let width = decoder.width;
        for (index, layer) in decoder.layers.iter().enumerate() {
            layer.self_norm.forward_into(x, normed);
            layer
                .query_key_value
                .forward_into(normed, None, projected)?;
            for (speaker, row) in speakers.iter_mut().zip(projected.chunks_exact(3 * width)) {
                speaker.said[index].write(step, &row[width..]);
            }
            let own: Vec<(&Memory, usize)> = speakers
                .iter()
                .map(|speaker| (&speaker.said[index], step + 1))
                .collect();
            let attention = QueryAttention {
                own: &own,
                common: None,
            };
            attention.forward(projected, 3 * width, weights, attended);
            layer.self_output.forward_into(attended, Some(x), sum)?;
            std::mem::swap(x, sum);

            layer.cross_norm.forward_into(x, normed);
            layer.query.forward_into(normed, None, projected)?;
            let own: Vec<(&Memory, usize)> = speakers
                .iter()
                .map(|speaker| (&speaker.turn.memories[index], speaker.turn.positions))
                .collect();
            let attention = QueryAttention {
                own: &own,
                common: Some(&silence[index]),
            };
            attention.forward(projected, width, weights, attended);
            layer.cross_output.forward_into(attended, Some(x), sum)?;
            std::mem::swap(x, sum);

            layer.feed_forward_norm.forward_into(x, normed);
            layer.expand.forward_into(normed, None, projected)?;
            layer.contract.forward_into(projected, Some(x), sum)?;
            std::mem::swap(x, sum);
        }
        Ok(())
    }

    /// For each turn, how fit each token of the vocabulary is to follow: `desk.scores`.
    fn vocabulary(&mut self) -> Result<(), ModelError> {
        (self.stage)(Stage::Vocabulary);
        let desk = &mut *self.desk;
        self.decoder.norm.forward_into(&desk.x, &mut desk.normed);
        let embedding = &self.decoder.embedding;
        Ok(embedding.forward_into(&desk.normed, None, &mut desk.scores)?)
    }
}

impl Decoder {
    /// What the first layer gets for these tokens, all at one place of their turns.
    fn begin(&self, step: usize, next: &[u32], x: &mut Vec<f32>) -> Result<(), ModelError> {
        let width = self.width;
        let place = self.positions.get(step * width..(step + 1) * width);
        x.clear();
        for &token in next {
            let start = x.len();
            let (true, Some(place)) = (self.embedding.append_row(token as usize, x), place) else {
                return Err(ModelError::Compute(
                    "a token outside of the model".to_owned(),
                ));
            };
            for (value, place) in x[start..].iter_mut().zip(place) {
                *value += place;
            }
        }
        Ok(())
    }
}

/// Adds the best token to what was decoded, or ends it.
fn say(tokens: &Tokens, scores: &mut [f32], decoded: &mut Decoded, seconds: f32) {
    let token = best(tokens, scores, decoded.tokens.is_empty());
    if token.id == tokens.end() {
        decoded.end = Some(token.log_probability);
        return;
    }
    decoded.tokens.push(token);
    decoded.ran_away = guard::runs_away(&decoded.tokens, seconds);
}

/// The natural logarithm of the sum of all exponentials of unnormalized log probabilities.
fn norm(scores: &[f32]) -> f32 {
    let highest = MaxNum::new(scores).dispatch();
    highest + SumExpSub::new(scores, highest).dispatch().ln()
}

/// The best token that is allowed, with its probability among all, the forbidden ones too: where the
/// model would rather say that there is music, a word is not certain.
fn best(tokens: &Tokens, scores: &mut [f32], first: bool) -> Token {
    // Found in parts: to look for a place is slower than to look for a value.
    const PART: usize = 512;
    let norm = norm(scores);
    tokens.forbid(scores, first);
    let mut highest = f32::NEG_INFINITY;
    let mut found = None;
    for (index, part) in scores.chunks(PART).enumerate() {
        let score = MaxNum::new(part).dispatch();
        if score > highest {
            highest = score;
            found = Some((index * PART, part));
        }
    }
    let id = found.and_then(|(start, part)| {
        let place = part.iter().position(|&score| score == highest)?;
        u32::try_from(start + place).ok()
    });
    Token {
        id: id.unwrap_or_else(|| tokens.end()),
        log_probability: highest - norm,
    }
}
