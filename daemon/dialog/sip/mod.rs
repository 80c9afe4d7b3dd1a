//! SIP as a listener needs it (RFC 3261): who calls whom, in which dialog, with which body.

mod address;
mod message;

pub use address::Address;
pub(crate) use address::party;
pub(crate) use message::{MESSAGE, looks_like_sip, parameter, parse_on_stream, status};
pub use message::{Message, SipError, SipFault, Start, parse};
