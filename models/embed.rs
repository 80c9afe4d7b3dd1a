//! What a sentence means, as a direction: all-MiniLM-L6-v2 (<https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2>).

use std::fmt;

use zeroize::Zeroize;

use crate::bert::{Bert, Parts};
use crate::error::ModelError;
use crate::gguf::Tensors;

/// A loaded model.
#[derive(Debug)]
pub struct Embedder {
    bert: Bert,
}

/// A sentence's meaning: a vector of length one. It stems from spoken words: nothing prints it, and it is wiped when
/// dropped.
#[derive(Clone, PartialEq)]
pub struct Meaning(Vec<f32>);

impl Embedder {
    /// Reads the weights.
    ///
    /// # Errors
    ///
    /// A tensor or key is absent, of another shape, or makes no BERT.
    pub fn load(tensors: &Tensors<'_>) -> Result<Self, ModelError> {
        Self::load_with(tensors, &mut Parts::default())
    }

    /// As [`Self::load`], with what other models have in common with it.
    pub(crate) fn load_with(tensors: &Tensors<'_>, parts: &mut Parts) -> Result<Self, ModelError> {
        Ok(Self {
            bert: Bert::load(tensors, parts)?,
        })
    }

    /// The meaning of a sentence: the mean of what the encoder makes of its pieces.
    ///
    /// # Errors
    ///
    /// A product fails: a bug.
    pub fn embed(&self, text: &str) -> Result<Meaning, ModelError> {
        let mut mean = self.bert.encode(text)?.mean();
        let length = mean.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        mean.iter_mut().for_each(|value| *value /= length);
        Ok(Meaning(mean))
    }
}

impl Meaning {
    /// The cosine of the angle between two meanings, -1 to 1: above 0.5 they are mostly about the same.
    #[must_use]
    pub fn likeness(&self, other: &Self) -> f32 {
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum()
    }

    /// The vector.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

impl fmt::Debug for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meaning")
    }
}

impl Drop for Meaning {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests;
