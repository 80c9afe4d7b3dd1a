//! How what somebody said feels: MiniLM, fine-tuned by us (`train/sentiment.py`, `cards/sentiment.md`).
//!
//! It gives a mean and a spread: the human ratings that it was trained on scatter, more so where a sentence can be
//! taken in several ways, and the model learned how much.

use std::fmt;

use crate::bert::{Bert, Head, Parts};
use crate::error::ModelError;
use crate::gguf::Tensors;

/// The lowest and the highest score.
pub const RANGE: (f32, f32) = (-5.0, 5.0);

/// A loaded model.
pub struct Sentiment {
    bert: Bert,
    head: Head,
}

/// A turn's sentiment.
#[derive(Clone, Copy, PartialEq)]
pub struct Feeling {
    /// -5 (as bad as can be) to 5.
    pub score: f32,
    /// The truth (what many people would say on average) lies within this much of the score in 68 of 100 cases.
    pub spread: f32,
}

impl Sentiment {
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
        let bert = Bert::load(tensors, parts)?;
        let head = Head::load(tensors, bert.width(), 2)?;
        Ok(Self { bert, head })
    }

    /// The sentiment of a sentence or a turn of several.
    ///
    /// # Errors
    ///
    /// A product fails: a bug.
    pub fn feel(&self, text: &str) -> Result<Feeling, ModelError> {
        let mean = self.bert.encode(text)?.mean();
        let output = self.head.apply(&mean);
        // The spread was held within these bounds in training; beyond them it means nothing.
        Ok(Feeling {
            score: output[0].clamp(RANGE.0, RANGE.1),
            spread: output[1].clamp(-3.0, 2.0).exp(),
        })
    }
}

impl Feeling {
    /// The probability that the truth lies within so much of the score: how sure it is.
    #[must_use]
    pub fn confidence(&self, within: f32) -> f32 {
        error_function(within / self.spread / std::f32::consts::SQRT_2)
    }

    /// The probability that the truth has the score's sign.
    #[must_use]
    pub fn sign_confidence(&self) -> f32 {
        0.5 + 0.5 * error_function(self.score.abs() / self.spread / std::f32::consts::SQRT_2)
    }
}

/// Of a normal distribution; 7.1.26 of Abramowitz and Stegun, wrong by 1.5e-7 at most. `x` is not negative.
fn error_function(x: f32) -> f32 {
    const TERMS: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    1.0 - TERMS.iter().rev().fold(0.0, |sum, term| (sum + term) * t) * (-x * x).exp()
}

impl fmt::Debug for Sentiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentiment").finish_non_exhaustive()
    }
}

/// What somebody felt is private: nothing prints it.
impl fmt::Debug for Feeling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feeling")
    }
}

#[cfg(test)]
mod tests;
