//! From what the encoder heard to tokens, one of each turn at a time.
//!
//! All turns of a batch go from one token to the next together: the weights, and the silence after the turns, are
//! then read once for all. A turn that has come to its end leaves, and what comes of the others does not depend
//! on who else was there.

use rten_simd::SimdOp;
use zeroize::Zeroize;

use super::tokens::{Language, Tokens};
use super::{Dimensions, Operations, Stage, align, guard};
use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::{
    Activation, AttentionRoom, Common, HEAD, LayerNorm, Linear, LogSum, Looks, MOST_TURNS, Memory,
    QueryAttention, room,
};

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
    /// For each layer the heads that look where the next token is spoken.
    aligned: Vec<Vec<usize>>,
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

/// A token, how likely it was among all, and the encoder's position where it begins.
#[derive(Clone, Copy)]
pub(super) struct Token {
    pub(super) id: u32,
    pub(super) log_probability: f32,
    pub(super) begin: u16,
}

impl Zeroize for Token {
    fn zeroize(&mut self) {
        self.id.zeroize();
        self.log_probability.zeroize();
        self.begin.zeroize();
    }
}

/// One decoding of a turn. Tokens are words, and are wiped.
pub(super) struct Decoded {
    pub(super) tokens: Vec<Token>,
    /// That of the end, where it came to one.
    pub(super) end: Option<f32>,
    /// The position where the last token ends.
    pub(super) finish: u16,
    /// For each position of the turn whether there is speech.
    pub(super) speech: Vec<bool>,
    pub(super) no_speech_probability: f32,
    /// The one it was decoded in, and how likely that one is among all that the model knows.
    pub(super) language: Option<(Language, f32)>,
    pub(super) ran_away: bool,
}

/// A turn for the decoder.
pub(super) struct Encoded {
    /// For each layer, keys and values of its positions.
    pub(super) memories: Vec<Memory>,
    pub(super) positions: usize,
    /// How many of the silence's positions follow, and how many of a window each of them stands for.
    pub(super) tail: (usize, f32),
    /// How many of its positions are the turn, not silence after it.
    pub(super) spoken: usize,
    /// For each of these whether there is speech.
    pub(super) speech: Vec<bool>,
    pub(super) seconds: f32,
    /// `None`: to be found out.
    pub(super) language: Option<Language>,
}

/// The positions of sound and of tokens, in all, whose room is kept from one batch to the next: eight turns of 5 s.
const KEPT_POSITIONS: usize = 3_000;

/// Room that decodings use one after the other. What they leave in it is wiped.
#[derive(Default)]
pub(super) struct Desk {
    free: Vec<Memory>,
    /// Where tokens looked, of turns that are done.
    free_looks: Vec<Vec<f32>>,
    looks: Vec<f32>,
    x: Vec<f32>,
    projected: Vec<f32>,
    attended: Vec<f32>,
    attention: AttentionRoom,
    /// Of the vocabulary.
    scores: Vec<f32>,
    /// The greatest of some scores each.
    greatest: Vec<f32>,
}

impl Desk {
    /// The smallest that is large enough; else the largest, which then grows.
    fn memory(&mut self, positions: usize, width: usize) -> Memory {
        let held = |place: &usize| self.free[*place].held();
        let fitting = (0..self.free.len()).filter(|place| held(place) >= positions * width);
        let place = fitting.min_by_key(held);
        let place = place.or_else(|| (0..self.free.len()).max_by_key(held));
        let mut memory = place.map_or_else(Memory::default, |place| self.free.swap_remove(place));
        memory.renew(positions, width);
        memory
    }

    /// Lets the largest go, until there are no more than so many values of keys in all: each of them may once have held the longest
    /// turn there is.
    fn keep(&mut self, most: usize) {
        let mut held: usize = self.free.iter().map(Memory::held).sum();
        while held > most {
            let largest = (0..self.free.len()).max_by_key(|place| self.free[*place].held());
            let Some(largest) = largest else { return };
            held -= self.free.swap_remove(largest).held();
        }
    }

    /// Takes back what is no longer needed.
    fn put_back(&mut self, memories: impl IntoIterator<Item = Memory>) {
        for mut memory in memories {
            memory.wipe();
            self.free.push(memory);
        }
    }

    fn take_back(&mut self, speaker: Speaker) {
        self.put_back(speaker.said);
        self.put_back(speaker.turn.memories);
        let mut looks = speaker.looks;
        looks.fill(0.0);
        looks.clear();
        self.free_looks.push(looks);
    }

    fn wipe(&mut self) {
        for buffer in [
            &mut self.looks,
            &mut self.x,
            &mut self.projected,
            &mut self.attended,
            &mut self.scores,
            &mut self.greatest,
        ] {
            buffer.fill(0.0);
        }
        self.attention.wipe();
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
        let layers: Vec<Layer> = (0..dimensions.decoder_layers)
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
            aligned: aligned(tensors, layers.len(), width / HEAD)?,
            layers,
            norm: LayerNorm::load(tensors, "decoder.norm", width)?,
        })
    }

    /// Of keys and values for so many positions.
    pub(super) fn key_operations(&self, positions: usize) -> Operations {
        let layers = self.layers.iter().map(|layer| layer.key_value.size()).sum::<usize>();
        Operations { eight_bits: 2 * (positions * layers) as u64, sixteen_bits: 0 }
    }

    /// Of so many steps of a turn, each of which looks at so many positions, and at those that were said before.
    pub(super) fn step_operations(&self, steps: usize, looked: usize) -> Operations {
        let layer = self.layers.first().map_or(0, |layer| {
            let all = [&layer.query_key_value, &layer.self_output, &layer.query, &layer.cross_output, &layer.expand, &layer.contract];
            all.map(Linear::size).iter().sum()
        });
        let seen = steps * looked + steps * (steps + 1) / 2;
        Operations {
            eight_bits: 2 * (steps * layer * self.layers.len()) as u64,
            sixteen_bits: 4 * (seen * self.width * self.layers.len()) as u64,
        }
    }

    /// Of so many choices among all tokens.
    pub(super) fn vocabulary_operations(&self, choices: usize) -> Operations {
        Operations { eight_bits: 2 * (choices * self.embedding.size()) as u64, sixteen_bits: 0 }
    }

    /// Keys and values of each layer for what the encoder gave, `[positions, width]`.
    pub(super) fn memories(
        &self,
        encoded: &[f32],
        desk: &mut Desk,
    ) -> Result<Vec<Memory>, ModelError> {
        let mut rows = std::mem::take(&mut desk.projected);
        let memories = self
            .layers
            .iter()
            .map(|layer| {
                layer.key_value.forward_into(encoded, None, &mut rows)?;
                let mut memory = desk.memory(encoded.len() / self.width, self.width);
                memory.write(0, &rows);
                Ok(memory)
            })
            .collect();
        rows.fill(0.0);
        desk.projected = rows;
        memories
    }

    /// Greedy decoding of at most [`MOST_TURNS`] turns, their positions followed by those of `silence`.
    pub(super) fn decode(
        &self,
        tokens: &Tokens,
        mut turns: Vec<Encoded>,
        silence: &[Memory],
        desk: &mut Desk,
        stage: &mut dyn FnMut(Stage),
    ) -> Result<Vec<Decoded>, ModelError> {
        let mut decoded: Vec<Decoded> = turns
            .iter_mut()
            .map(|turn| Decoded {
                tokens: Vec::with_capacity(self.most_positions),
                end: None,
                finish: 0,
                speech: std::mem::take(&mut turn.speech),
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
                    .map(|_| desk.memory(self.said_positions(turn.seconds, tokens), self.width))
                    .collect(),
                looks: desk.free_looks.pop().unwrap_or_default(),
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
            align::align(
                &speaker.looks,
                speaker.turn.positions,
                &mut decoded[speaker.index],
                speaker.turn.spoken,
            );
            desk.take_back(speaker);
        }
        desk.wipe();
        desk.keep(KEPT_POSITIONS * self.width * self.layers.len());
        result.map(|()| decoded)
    }

    /// Positions that the decoding of a turn may reach: then it has run away.
    fn said_positions(&self, seconds: f32, tokens: &Tokens) -> usize {
        (tokens.prompt_length() + guard::most_tokens(seconds) + 1).min(self.most_positions)
    }
}

/// The heads that look where the next token is spoken, as OpenAI found them out and the converter keeps them, pairs of layer
/// and head; where a model does not say, all of the upper half.
fn aligned(
    tensors: &Tensors<'_>,
    layers: usize,
    heads: usize,
) -> Result<Vec<Vec<usize>>, ModelError> {
    const KEY: &str = "whisper.alignment_heads";
    if tensors.metadata(KEY).is_none() {
        let all = |layer| {
            if layer >= layers / 2 {
                (0..heads).collect()
            } else {
                Vec::new()
            }
        };
        return Ok((0..layers).map(all).collect());
    }
    let mut aligned = vec![Vec::new(); layers];
    let pairs = tensors.u32s(KEY)?;
    for pair in pairs.chunks(2) {
        match *pair {
            [layer, head] if (layer as usize) < layers && (head as usize) < heads => {
                aligned[layer as usize].push(head as usize);
            }
            _ => {
                return Err(ModelError::Metadata {
                    key: KEY.to_owned(),
                    needed: "pairs of a layer and a head",
                });
            }
        }
    }
    Ok(aligned)
}

/// A turn whose decoding is under way.
struct Speaker {
    /// Which of the batch it is.
    index: usize,
    turn: Encoded,
    /// For each layer, keys and values of the tokens so far.
    said: Vec<Memory>,
    /// For each token after the prompt where it was looked for: a row of the turn's positions.
    looks: Vec<f32>,
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
            self.step(step, tokens.prompt_length(), speakers, &next)?;
            let prompting = step + 1 < tokens.prompt_length();
            if prompting && step > 0 {
                continue;
            }
            self.vocabulary()?;
            let rows = self.desk.scores.chunks_exact_mut(self.decoder.vocabulary);
            for (speaker, scores) in speakers.iter_mut().zip(rows) {
                let decoded = &mut decoded[speaker.index];
                let norm = LogSum {
                    scores,
                    part: PART,
                    greatest: &mut self.desk.greatest,
                }
                .dispatch();
                if step == 0 {
                    // Whether anybody speaks, and what language, is the first thing that the model was taught to say.
                    let probability = |token: u32| (scores[token as usize] - norm).exp();
                    decoded.no_speech_probability = probability(tokens.no_speech());
                    decoded.language = tokens.language(scores, speaker.turn.language);
                }
                if !prompting {
                    let first = decoded.tokens.is_empty();
                    let token = best(tokens, scores, norm, &self.desk.greatest, first);
                    say(tokens, token, decoded, speaker.turn.seconds);
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
    fn leave(&mut self, speakers: &mut Vec<Speaker>, decoded: &mut [Decoded]) {
        while let Some(place) = speakers.iter().position(|speaker| {
            let decoded = &decoded[speaker.index];
            decoded.end.is_some() || decoded.ran_away
        }) {
            // In order, since neighbours have tails of about one length.
            let speaker = speakers.remove(place);
            let turn = &speaker.turn;
            let decoded = &mut decoded[speaker.index];
            align::align(&speaker.looks, turn.positions, decoded, turn.spoken);
            self.desk.take_back(speaker);
        }
    }

    /// Takes one more token of each turn; what the last layer makes of it is then in `desk.x`.
    fn step(
        &mut self,
        step: usize,
        prompt: usize,
        speakers: &mut [Speaker],
        next: &[u32],
    ) -> Result<(), ModelError> {
        (self.stage)(Stage::Decoder);
        let (decoder, silence) = (self.decoder, self.silence);
        let Desk {
            x,
            projected,
            attended,
            attention: attention_room,
            looks,
            ..
        } = &mut *self.desk;
        decoder.begin(step, next, x)?;
        let (width, count) = (decoder.width, speakers.len().min(MOST_TURNS));
        let longest = speakers.iter().map(|speaker| speaker.turn.positions).max();
        let longest = longest.unwrap_or(0).max(1);
        room(looks, count * longest);
        looks.fill(0.0);
        for (index, layer) in decoder.layers.iter().enumerate() {
            let norm = &layer.self_norm;
            layer.query_key_value.forward_normed(norm, x, projected)?;
            for (speaker, row) in speakers.iter_mut().zip(projected.chunks_exact(3 * width)) {
                speaker.said[index].write(step, &row[width..]);
            }
            let mut own = [(&silence[index], 0); MOST_TURNS];
            for (own, speaker) in own.iter_mut().zip(&*speakers) {
                *own = (&speaker.said[index], step + 1);
            }
            let attention = QueryAttention {
                own: &own[..count],
                common: None,
            };
            attention.forward(projected, 3 * width, attention_room, attended, None);
            layer.self_output.add_to(attended, x)?;

            let norm = &layer.cross_norm;
            layer.query.forward_normed(norm, x, projected)?;
            let mut parts = [(0, 1.0); MOST_TURNS];
            for ((own, part), speaker) in own.iter_mut().zip(&mut parts).zip(&*speakers) {
                *own = (&speaker.turn.memories[index], speaker.turn.positions);
                *part = speaker.turn.tail;
            }
            let attention = QueryAttention {
                own: &own[..count],
                common: Some(Common {
                    memory: &silence[index],
                    parts: &parts[..count],
                }),
            };
            let looks = Looks {
                heads: &decoder.aligned[index],
                rows: &mut *looks,
                stride: longest,
            };
            attention.forward(projected, width, attention_room, attended, Some(looks));
            layer.cross_output.add_to(attended, x)?;

            let norm = &layer.feed_forward_norm;
            layer.expand.forward_normed(norm, x, projected)?;
            layer.contract.add_to(projected, x)?;
        }
        if step + 1 >= prompt {
            for (speaker, looks) in speakers.iter_mut().zip(looks.chunks_exact(longest)) {
                speaker
                    .looks
                    .extend_from_slice(&looks[..speaker.turn.positions]);
            }
        }
        Ok(())
    }

    /// For each turn, how fit each token of the vocabulary is to follow: `desk.scores`.
    fn vocabulary(&mut self) -> Result<(), ModelError> {
        (self.stage)(Stage::Vocabulary);
        let desk = &mut *self.desk;
        let Decoder {
            norm, embedding, ..
        } = self.decoder;
        Ok(embedding.forward_normed(norm, &desk.x, &mut desk.scores)?)
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
fn say(tokens: &Tokens, token: Token, decoded: &mut Decoded, seconds: f32) {
    if token.id == tokens.end() {
        decoded.end = Some(token.log_probability);
        return;
    }
    decoded.tokens.push(token);
    decoded.ran_away = guard::runs_away(&decoded.tokens, seconds);
}

/// Scores that are searched as one: to look for a place is slower than to look for a value.
const PART: usize = 512;

/// The best token that is allowed, with its probability among all, the forbidden ones too: where the
/// model would rather say that there is music, a word is not certain. `norm` is the logarithm of all together,
/// `greatest` has the greatest score of each [`PART`].
fn best(tokens: &Tokens, scores: &mut [f32], norm: f32, greatest: &[f32], first: bool) -> Token {
    tokens.forbid(scores, first);
    let mut found: Option<(usize, f32)> = None;
    for (index, (part, &most)) in scores.chunks(PART).zip(greatest).enumerate() {
        if found.is_some_and(|(_, score)| most <= score) {
            continue;
        }
        for (place, &score) in part.iter().enumerate() {
            if found.is_none_or(|(_, best)| score > best) {
                found = Some((index * PART + place, score));
            }
        }
    }
    let (id, score) = found.unwrap_or((0, f32::NEG_INFINITY));
    Token {
        id: u32::try_from(id).unwrap_or_else(|_| tokens.end()),
        log_probability: score - norm,
        begin: 0,
    }
}
