//! Bytes and sound.

use std::net::SocketAddr;

use crate::{Call, Private, Side, Wall};

/// One UDP payload as it was on the wire.
#[derive(Debug)]
pub struct Datagram {
    /// When it arrived.
    pub at: Wall,
    /// Its number in the capture, from 1; the place to look when an error names it.
    pub number: u64,
    /// The sender.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    payload: Private<Vec<u8>>,
}

impl Datagram {
    /// Takes the payload into custody.
    #[must_use]
    pub const fn new(at: Wall, number: u64, source: SocketAddr, destination: SocketAddr, payload: Vec<u8>) -> Self {
        Self { at, number, source, destination, payload: Private::new(payload) }
    }

    /// The payload's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload.expose()
    }
}

/// A stretch of linear sound from a source that is no packet network: a wav file, a sound card.
#[derive(Debug)]
pub struct Pcm {
    /// When its first sample was heard.
    pub at: Wall,
    /// Its number in the capture, from 1.
    pub number: u64,
    /// 0 is the left channel (agent), 1 the right (customer).
    pub channel: u8,
    /// Samples a second.
    pub rate: u32,
    samples: Private<Vec<i16>>,
}

impl Pcm {
    /// Takes the samples into custody.
    #[must_use]
    pub const fn new(at: Wall, number: u64, channel: u8, rate: u32, samples: Vec<i16>) -> Self {
        Self { at, number, channel, rate, samples: Private::new(samples) }
    }

    /// The samples, mono, full scale is 32768.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        self.samples.expose()
    }
}

/// How a piece of [`Audio`] is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// G.711 mu-law, 8 kHz (RFC 3551 section 4.5.14).
    Pcmu,
    /// G.711 A-law, 8 kHz (RFC 3551 section 4.5.14).
    Pcma,
    /// Linear, 16 bit, little endian, mono.
    Linear {
        /// Samples a second.
        rate: u32,
    },
}

impl Encoding {
    /// How long `bytes` of payload last, microseconds.
    #[must_use]
    pub const fn micros(self, bytes: usize) -> i64 {
        match self {
            Self::Pcmu | Self::Pcma => bytes as i64 * 125,
            Self::Linear { rate } => (bytes as i64 / 2) * 1_000_000 / if rate == 0 { 1 } else { rate as i64 },
        }
    }
}

/// One packet's worth of encoded sound, of one leg, in order: `dialog` has reordered and deduplicated.
#[derive(Debug)]
pub struct Audio {
    /// The call.
    pub call: Call,
    /// Whose sound it is: the side that sent it.
    pub side: Side,
    /// Number in the capture of the packet that carried it.
    pub number: u64,
    /// Where its first sample lies on the wall clock, by media time: the arrival of the stream's first packet plus the RTP
    /// time stamp's advance since. A gap between the end of one `Audio` and the start of the next is lost or was never sent.
    pub start: Wall,
    /// How the payload is encoded.
    pub encoding: Encoding,
    payload: Private<Vec<u8>>,
}

impl Audio {
    /// Takes the payload into custody.
    #[must_use]
    pub const fn new(call: Call, side: Side, number: u64, start: Wall, encoding: Encoding, payload: Vec<u8>) -> Self {
        Self { call, side, number, start, encoding, payload: Private::new(payload) }
    }

    /// The encoded bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload.expose()
    }

    /// Where the sound ends on the wall clock.
    #[must_use]
    pub fn end(&self) -> Wall {
        self.start.plus(self.encoding.micros(self.payload.expose().len()))
    }
}
