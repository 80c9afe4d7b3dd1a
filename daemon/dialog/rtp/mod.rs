//! RTP (RFC 3550): from datagrams of one leg to sound in order on the wall clock.

mod leg;
mod packet;
mod source;
mod timeline;

pub(crate) use leg::{Leg, Sink};
pub(crate) use packet::{Header, Kind, kind};
