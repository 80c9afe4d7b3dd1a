//! Audio in, findings out: consent, decoding, who talks when, what was said, numbers.
//!
//! No IO, no threads, no clock. The caller hands in what `dialog` says, in order, and takes out [`Output`]s:
//!
//! Speech is looked for in all legs at once, whenever the caller says so ([`Measure::look`]).
//!
//! - [`Output::Opened`]: a call began; its row must be durable before anything of it is counted.
//! - [`Output::Turn`]: speech that wants to be words. The caller gives the [`Job`] to a [`Recogniser`], on whatever thread, or
//!   sheds it where there is no time, and brings the [`Answer`] back with [`Measure::answer`].
//! - [`Output::Findings`]: a call is over and all its turns are back.
//!
//! Which turns are recognised when, and what is left out under load, is [`schedule`]'s to say; [`Measure::shed_to`] is told.
//!
//! **Consent gates decoding.** Until the charter's rules say yes, encoded audio is dropped as it comes, and nothing can be
//! decoded later because nothing was kept. [`Counters::frames_decoded`] shows it.

mod blank;
mod calls;
mod categories;
mod conceal;
mod decode;
mod digest;
mod evaluate;
mod hearing;
mod language;
mod leg;
mod metrics;
mod quality;
mod read;
mod resolution;
pub mod schedule;
mod sentiment;
mod sound;
mod terms;
mod topics;
mod trial;
mod turns;
mod words;

pub use calls::{Counters, Depth, Measure, Output, agents};
pub use decode::decode_stream;
pub use digest::decoded_digest;
pub use evaluate::confidence_of;
pub use language::{VERIFIED, is_verified};
pub use read::Readers;
pub use terms::Edition;
pub use trial::{Near, Trial};
pub use sotto_private::Level;
pub use words::{Answer, Job, Recogniser};
