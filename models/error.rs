//! What can be wrong with a model, said with its place and without any content.

use std::fmt;

/// A model that cannot be loaded or run.
///
/// Names of tensors and metadata keys are the model's own vocabulary, never speech.
#[derive(Debug)]
pub enum ModelError {
    /// The bytes do not follow their format.
    Format {
        /// Byte offset from the start of the file.
        offset: usize,
        /// Which rule is broken.
        what: &'static str,
    },
    /// A tensor that the model needs is absent.
    MissingTensor {
        /// Its name in the GGUF file.
        name: String,
    },
    /// A tensor has another shape than the model needs.
    Shape {
        /// Its name in the GGUF file.
        name: String,
        /// Rows first.
        expected: Vec<usize>,
        /// Rows first.
        found: Vec<usize>,
    },
    /// A metadata key is absent, or of another type than the model needs.
    Metadata {
        /// The GGUF key.
        key: String,
        /// What is needed there.
        needed: &'static str,
    },
    /// The caller broke a documented limit (too many samples, an empty turn).
    Input(&'static str),
    /// A tensor operation failed: a bug of this crate, or memory ran out.
    Compute(String),
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format { offset, what } => write!(f, "byte {offset}: {what}"),
            Self::MissingTensor { name } => write!(f, "tensor {name}: absent"),
            Self::Shape {
                name,
                expected,
                found,
            } => write!(
                f,
                "tensor {name}: shape {found:?}, needed {expected:?} (rows first)"
            ),
            Self::Metadata { key, needed } => write!(f, "metadata {key}: needed {needed}"),
            Self::Input(what) => write!(f, "input: {what}"),
            Self::Compute(what) => write!(f, "computing: {what}"),
        }
    }
}

impl std::error::Error for ModelError {}

impl From<candle_core::Error> for ModelError {
    fn from(error: candle_core::Error) -> Self {
        Self::Compute(error.to_string())
    }
}
