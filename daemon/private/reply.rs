//! What is said back to a recording client.

use std::net::SocketAddr;

use crate::Private;

/// What a message travels over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// One message a datagram.
    Udp,
    /// Messages in a stream.
    Tcp,
}

/// Signalling on its way back to the client that asked (RFC 7866): the one thing that flows against the stream, and it ends at the
/// client. Never sound.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The own address that it was asked at.
    pub source: SocketAddr,
    /// To whom it goes.
    pub destination: SocketAddr,
    /// Over TCP: on the connection between the two addresses.
    pub transport: Transport,
    payload: Private<Vec<u8>>,
}

impl Reply {
    /// Takes the message into custody.
    #[must_use]
    pub const fn new(source: SocketAddr, destination: SocketAddr, transport: Transport, payload: Vec<u8>) -> Self {
        Self { source, destination, transport, payload: Private::new(payload) }
    }

    /// The message's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload.expose()
    }
}
