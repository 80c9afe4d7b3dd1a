//! The reference collector: subscribes to the scores of any number of boxes, keeps each once, and says so to its box when it is on the disk.
//!
//! ```text
//! broker ──▶ message ──▶ store (one transaction for what came together) ──▶ ack to each box, PUBACK to the broker
//! ```
//!
//! [`message`] reads what came, [`store`] keeps it, [`run()`] joins both with a session that the broker keeps while the collector is away.
//! Nothing is acknowledged before it is durable. A box that is not acknowledged sends again; a score that comes twice is kept once.

mod config;
pub mod message;
mod run;
pub mod store;

pub use config::{Config, ConfigError};
pub use run::{Event, RunError, run};
