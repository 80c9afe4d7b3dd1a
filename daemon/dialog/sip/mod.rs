//! SIP as a listener needs it (RFC 3261): who calls whom, in which dialog, with which body.

mod address;
mod message;

pub(crate) use address::{Address, party};
pub(crate) use message::{Message, Start, looks_like_sip, parse};
pub use message::{SipError, SipFault};
