//! Samples in, outputs out: the models that hear, and the packs that carry their weights.
//!
//! Sans-IO but for [`pack`]'s reading of files: no clock, no thread of its own, no log. [`rates`] measures the
//! arithmetic with a clock that it is given.

mod bert;
pub mod embed;
pub mod error;
pub mod gguf;
mod kernels;
pub mod mel;
pub mod pack;
pub mod pii;
pub mod resample;
pub mod sentiment;
pub mod store;
pub mod trial;
pub mod vad;
pub mod whisper;

pub use error::ModelError;
pub use kernels::rates;
pub use pack::{Pack, PackError};
