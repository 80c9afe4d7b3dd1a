//! What this site agreed to: which numbers are computed, of whom, why, on what basis, for how long.
//!
//! The charter is a text that people sign. [`Charter::parse`] turns it into types, and refuses with the line and the rule what
//! contradicts itself or the law's profile; what it does not name is not computed. This crate reads no file and no clock.

mod agreement;
mod consent;
mod error;
mod glob;
mod parse;
mod site;
pub mod thresholds;

pub use agreement::{Category, Charter, Date, Group, Heard, Keys, Profile, Purpose, day_of};
pub use consent::{AgentBasis, ConsentRule, CustomerBasis, Decision};
pub use error::CharterError;
pub use glob::Glob;
pub use site::{AgentRule, LineRule, NameError, Names, Parties, Site};
