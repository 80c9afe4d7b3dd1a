//! The harness: makes calls with known truth, starts brokers and the product, and tells tests where things are.
//!
//! ```no_run
//! use sotto_tests::script::{Call, Script, Who};
//!
//! let call = Call { vlan: Some(100), ..Call::default() }
//!     .says_at(Who::Agent, 200, "Good morning, how can I help you?")
//!     .says(Who::Customer, 600, "My router is broken.")
//!     .holds(8_000, 5_000);
//! let made = sotto_tests::make(&Script::of(call)).expect("flite is installed");
//! assert_eq!(made.truth.calls[0].hold_ms, 5_000);
//! ```

pub mod broker;
pub mod carrier;
pub mod disk;
mod error;
pub mod frame;
pub mod g711;
pub mod g722;
mod maker;
pub mod pcap;
pub mod process;
pub mod proxy;
pub mod random;
mod rtp;
pub mod sabotage;
pub mod schema;
pub mod script;
mod sip;
pub mod site;
pub mod sound;
pub mod speech;
mod timeline;
pub mod traffic;
pub mod truth;
pub mod wire;

pub use error::Error;
pub use maker::{Made, make, make_file};
