//! The encoder of BERT (<https://arxiv.org/abs/1810.04805>), for turns in words: what each word piece means where it
//! stands.
//!
//! Three models of ours are this encoder with other weights: MiniLM, which the meaning of a turn comes from
//! ([`crate::embed`]), the same fine-tuned for sentiment ([`crate::sentiment`]), and Rampart ([`crate::pii`]). They
//! are small (6 layers of 384 values), and a turn is some 20 pieces long: the products are [`kernels`](crate::kernels)',
//! the attention plain code.

mod attention;
mod tokens;

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroize;

use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::{Activation, LayerNorm, Linear};
pub(crate) use tokens::Piece;
use tokens::Vocabulary;

/// The most pieces that are looked at together, the marks at both ends among them: the positions that BERT has.
pub(crate) const MOST_PIECES: usize = 512;
/// A layer norm forgets how large its input is, but for an epsilon that is made for larger ones than an embedding
/// (BERT has 1e-12 where the kernel has 1e-5). Times this, the embedding is large.
const LOUDER: f32 = 64.0;

/// An encoder with its vocabulary. What a model adds to it is read from the same file.
pub(crate) struct Bert {
    vocabulary: Vocabulary,
    width: usize,
    heads: usize,
    words: Arc<Words>,
    /// `[positions, width]`, the embedding of a text's first (and only) sentence in it, times [`LOUDER`].
    positions: Vec<f32>,
    norm: LayerNorm,
    layers: Vec<Arc<Layer>>,
}

/// Parts of encoders, by the hash of their weights. Of two of our models one was made of the other, by training its last
/// layers anew: what they have in common, most of both, is in memory once.
#[derive(Default)]
pub(crate) struct Parts {
    words: Known<Words>,
    layers: Known<Layer>,
}

type Known<T> = Vec<([u8; 32], Arc<T>)>;

/// A text in pieces, and what the encoder makes of each. It stems from spoken words: wiped when dropped.
pub(crate) struct Encoded {
    /// One for each row but the first and the last, which are the marks of the text's ends.
    pub(crate) pieces: Vec<Piece>,
    /// `[pieces + 2, width]`
    pub(crate) rows: Vec<f32>,
    pub(crate) width: usize,
}

/// The embedding of the vocabulary, 8 bits a value and a scale a row.
struct Words {
    values: Vec<i8>,
    scales: Vec<f32>,
}

struct Layer {
    query_key_value: Linear,
    output: Linear,
    attention_norm: LayerNorm,
    expand: Linear,
    contract: Linear,
    feed_forward_norm: LayerNorm,
}

impl Bert {
    /// Reads the weights.
    ///
    /// # Errors
    ///
    /// A tensor or key is absent, of another shape, or makes no BERT.
    pub(crate) fn load(tensors: &Tensors<'_>, parts: &mut Parts) -> Result<Self, ModelError> {
        if tensors.text("general.architecture")? != "bert" {
            return Err(wrong("general.architecture", "bert"));
        }
        let vocabulary = Vocabulary::load(tensors)?;
        let width = within(tensors, "bert.embedding_length", 1024, "1 to 1024")?;
        let inner = within(tensors, "bert.feed_forward_length", 4096, "1 to 4096")?;
        let count = within(tensors, "bert.block_count", 24, "1 to 24")?;
        let heads = within(tensors, "bert.attention.head_count", 64, "1 to 64")?;
        if !width.is_multiple_of(heads * attention::LANES) {
            return Err(wrong("bert.attention.head_count", "heads of whole eights"));
        }
        let layers = (0..count)
            .map(|index| {
                let digest = tensors.sha256(&format!("layer.{index}."));
                known(&mut parts.layers, digest, || Layer::load(tensors, index, width, inner))
            })
            .collect::<Result<_, _>>()?;
        let digest = tensors.sha256("embedding.words");
        let words = known(&mut parts.words, digest, || Words::load(tensors, vocabulary.len(), width))?;
        let mut positions = tensors.f32("embedding.positions", &[MOST_PIECES, width])?;
        positions.iter_mut().for_each(|value| *value *= LOUDER);
        Ok(Self {
            words,
            vocabulary,
            width,
            heads,
            positions,
            norm: LayerNorm::load(tensors, "embedding.norm", width)?,
            layers,
        })
    }

    /// What the encoder makes of a text. Of one that is longer than [`MOST_PIECES`] the rest is left out.
    ///
    /// # Errors
    ///
    /// A product fails: a bug.
    pub(crate) fn encode(&self, text: &str) -> Result<Encoded, ModelError> {
        let mut pieces = self.pieces(text);
        pieces.truncate(MOST_PIECES - 2);
        self.encode_pieces(pieces)
    }

    /// A text in pieces, as many as it has.
    pub(crate) fn pieces(&self, text: &str) -> Vec<Piece> {
        self.vocabulary.pieces(text)
    }

    /// What the encoder makes of pieces, at most two less than [`MOST_PIECES`].
    ///
    /// # Errors
    ///
    /// Too many, or a product fails: a bug.
    pub(crate) fn encode_pieces(&self, pieces: Vec<Piece>) -> Result<Encoded, ModelError> {
        let width = self.width;
        let count = pieces.len() + 2;
        if count > MOST_PIECES {
            return Err(ModelError::Input("more pieces than the model has positions"));
        }
        let marks = self.vocabulary.marks();
        let ids = std::iter::once(marks.0)
            .chain(pieces.iter().map(|piece| piece.id))
            .chain(std::iter::once(marks.1));
        let mut sum = self.positions[..count * width].to_vec();
        for (id, row) in ids.zip(sum.chunks_exact_mut(width)) {
            self.words.add(id as usize, row);
        }
        let mut rows = Vec::new();
        self.norm.forward_into(&sum, &mut rows);
        let (mut room, mut more) = (Vec::new(), Vec::new());
        for layer in &self.layers {
            layer.query_key_value.forward_into(&rows, None, &mut room)?;
            attention::attend(&room, self.heads, width, &mut more);
            layer.output.forward_into(&more, Some(&rows), &mut sum)?;
            layer.attention_norm.forward_into(&sum, &mut rows);
            layer.expand.forward_into(&rows, None, &mut room)?;
            layer.contract.forward_into(&room, Some(&rows), &mut sum)?;
            layer.feed_forward_norm.forward_into(&sum, &mut rows);
        }
        for mut used in [sum, room, more] {
            used.zeroize();
        }
        Ok(Encoded { pieces, rows, width })
    }

    /// Values that a piece's row has.
    pub(crate) fn width(&self) -> usize {
        self.width
    }
}

/// The part with this hash, made where it is not known yet.
fn known<T>(parts: &mut Known<T>, digest: [u8; 32], make: impl FnOnce() -> Result<T, ModelError>) -> Result<Arc<T>, ModelError> {
    if let Some((_, part)) = parts.iter().find(|(known, _)| *known == digest) {
        return Ok(Arc::clone(part));
    }
    let part = Arc::new(make()?);
    parts.push((digest, Arc::clone(&part)));
    Ok(part)
}

impl Encoded {
    /// The mean of all rows, the marks' among them.
    pub(crate) fn mean(&self) -> Vec<f32> {
        let mut mean = vec![0.0; self.width];
        let share = self.width as f32 / self.rows.len() as f32;
        for row in self.rows.chunks_exact(self.width) {
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += share * value);
        }
        mean
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        self.rows.zeroize();
        self.pieces.iter_mut().for_each(|piece| piece.id.zeroize());
    }
}

impl fmt::Debug for Bert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bert").finish_non_exhaustive()
    }
}

impl Words {
    fn load(tensors: &Tensors<'_>, count: usize, width: usize) -> Result<Self, ModelError> {
        let mut words = Self {
            values: Vec::with_capacity(count * width),
            scales: Vec::with_capacity(count),
        };
        tensors.for_each_row("embedding.words", count, width, |_, row| {
            let most = row.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
            let scale = most / 127.0;
            words.values.extend(row.iter().map(|value| (value / scale).round() as i8));
            words.scales.push(scale * LOUDER);
        })?;
        Ok(words)
    }

    fn add(&self, id: usize, to: &mut [f32]) {
        let row = &self.values[id * to.len()..];
        to.iter_mut().zip(row).for_each(|(to, &value)| *to += f32::from(value) * self.scales[id]);
    }
}

impl Layer {
    fn load(tensors: &Tensors<'_>, index: usize, width: usize, inner: usize) -> Result<Self, ModelError> {
        let linear = |name: &str, inputs, outputs, activation| {
            Linear::load(tensors, &format!("layer.{index}.{name}"), inputs, outputs, activation)
        };
        let norm = |name: &str| LayerNorm::load(tensors, &format!("layer.{index}.{name}"), width);
        Ok(Self {
            query_key_value: linear("query_key_value", width, 3 * width, Activation::None)?,
            output: linear("output", width, width, Activation::None)?,
            attention_norm: norm("attention_norm")?,
            expand: linear("expand", width, inner, Activation::Gelu)?,
            contract: linear("contract", inner, width, Activation::None)?,
            feed_forward_norm: norm("feed_forward_norm")?,
        })
    }
}

/// A small layer in f32 on top of the encoder.
pub(crate) struct Head {
    /// `[outputs, inputs]`
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Head {
    /// Reads `head.weight` and `head.bias`.
    ///
    /// # Errors
    ///
    /// Absent, or of another shape.
    pub(crate) fn load(tensors: &Tensors<'_>, inputs: usize, outputs: usize) -> Result<Self, ModelError> {
        Ok(Self {
            weight: tensors.f32("head.weight", &[outputs, inputs])?,
            bias: tensors.f32("head.bias", &[outputs])?,
        })
    }

    pub(crate) fn apply(&self, row: &[f32]) -> Vec<f32> {
        let rows = self.weight.chunks_exact(row.len());
        let product = |weights: &[f32]| weights.iter().zip(row).map(|(weight, value)| weight * value).sum::<f32>();
        rows.zip(&self.bias).map(|(weights, bias)| product(weights) + bias).collect()
    }
}

fn within(tensors: &Tensors<'_>, key: &str, most: u32, needed: &'static str) -> Result<usize, ModelError> {
    let value = tensors.u32(key)?;
    if value == 0 || value > most { Err(wrong(key, needed)) } else { Ok(value as usize) }
}

pub(crate) fn wrong(key: &str, needed: &'static str) -> ModelError {
    ModelError::Metadata {
        key: key.to_owned(),
        needed,
    }
}

#[cfg(test)]
pub(crate) mod tests;
