//! The uplink: publishes what the spool holds, and nothing else.
//!
//! [`courier`] decides, without a socket, a clock or a database; [`render()`] writes the messages; [`run()`] joins both with the spool and a
//! connection by MQTT 5. It publishes, and subscribes to nothing that could command it: where the site has a collector it hears what that one
//! has, which can end the keeping of what was sent and nothing else; and it hears what the broker keeps as its own birth, by which it knows another
//! box of its name where the broker does not say so (MQTT 5, 3.14.2.1, 0x8E; mosquitto 2.0.11 closes the old connection without a word).
//!
//! It cannot name what is private, nor make what the gate alone makes:
//!
//! ```compile_fail,E0432
//! use sotto_private::Words;
//! ```
//!
//! ```compile_fail,E0432
//! use sotto_redact::Sealed;
//! ```
//!
//! ```
//! use sotto_report::Score;
//! ```

mod address;
mod contract;
pub mod courier;
mod desk;
mod egress;
mod event;
mod mqtt;
mod random;
mod render;
mod run;
mod tls;
mod topic;
mod trial;
mod withdrawing;

pub use address::{Broker, BrokerError, Credentials};
pub use contract::{asyncapi, contract_fingerprint};
pub use event::{Answer, Event, Loss};
pub use mqtt::options;
pub use render::{Notice, has_names, parse_ack, render, render_ack, render_charter, render_entry, render_notice, render_withdrawn};
pub use run::{Config, Told, UplinkError, run, schema_fingerprint};
pub use tls::{Identity, Roots, Tls, TlsError};
pub use topic::{About, Message};
pub use trial::{TlsFault, Trial, ends_of, try_broker};
