//! What this site agreed to: which numbers are computed, of whom, why, on what basis, for how long, and who sees them.
//!
//! The charter is a text that people sign. [`Charter::parse`] turns it into types, and refuses with the line, the rule and the source of
//! law what contradicts itself or is laxer than its profile; what it does not name is not computed. [`Standing`] of a call is decided by
//! [`Consenting`], a state machine fed by what is heard of the call; [`approval`] holds the signatures, [`diff`] what another charter
//! would change, [`notice`] what people are told. This crate reads no file and no clock. `README.md` has the table of law.

mod agreement;
pub mod approval;
mod consent;
pub mod diff;
mod error;
mod forbidden;
mod glob;
mod law;
pub mod notice;
mod parse;
mod people;
mod profile;
mod register;
mod site;
pub mod thresholds;

pub use agreement::{Category, Charter, Date, Group, Heard, Keys, Nearness, Purpose, day_of};
pub use consent::{AgentBasis, Between, ConsentRule, Consenting, CustomerBasis, Decision, News, Standing, Why};
pub use error::CharterError;
pub use glob::Glob;
pub use people::{Agreement, Audience, Controller, Evidence, Exclude, Language, Output, Retention, Step};
pub use profile::{Profile, RULES, Requirement, Rule};
pub use register::{AgentStanding, Mark, Marker, Register};
pub use site::{AgentRule, LineRule, NameError, Names, Parties, Site};
