//! RTP (RFC 3550): from datagrams of one leg to sound in order on the wall clock.

mod fingerprint;
mod leg;
mod packet;
mod received;
mod rtcp;
mod source;
mod srtp;
mod timeline;

pub(crate) use fingerprint::fingerprint;
pub(crate) use leg::{Leg, Sink, Trust};
pub(crate) use packet::{Header, Kind, kind};
pub(crate) use rtcp::reports;
pub(crate) use srtp::{Key, Opened, Session};
