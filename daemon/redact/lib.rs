//! The gate: the only crate that sees both sides of the privacy line.
//!
//! On one side are the private types, exact and full; on the other the report types, coarse and counted. [`gate()`] is the way
//! from one to the other. What comes out is [`Sealed`], and the spool takes nothing else. Nobody else can make one:
//!
//! ```compile_fail
//! use sotto_report::{Millis, Opening};
//! let forged = sotto_redact::Sealed(Opening { started: Millis::rounded(0) });
//! ```
//!
//! The twin, one line different, goes through the gate:
//!
//! ```
//! use sotto_report::{Millis, Opening};
//! let sealed = sotto_redact::opening(sotto_private::Wall::from_micros(0));
//! ```
//!
//! No public function here returns a private type; `README.md` is the contract in plain words.

mod consent;
mod gate;
mod propose;
mod pseudonym;
mod quantize;
mod sealed;

pub use consent::{agent, decided};
pub use propose::{LEAST_MEMBERS, Proposal, Proposer};
pub use pseudonym::Pseudonyms;
pub use gate::{Terms, gate, gauges, opening};
pub use sealed::Sealed;
