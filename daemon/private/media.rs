//! Bytes and sound.

use std::net::SocketAddr;

use zeroize::Zeroize;

use crate::{Call, Private, Side, Wall, opus};

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

    /// The payload's bytes, to be decrypted in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        self.payload.expose_mut()
    }

    /// A part of the payload, in its own memory; the rest is wiped. Empty where there is no such part.
    #[must_use]
    pub fn into_part(mut self, part: std::ops::Range<usize>) -> Vec<u8> {
        let mut bytes = std::mem::take(self.payload.expose_mut());
        let length = part.len();
        if part.start > part.end || part.end > bytes.len() {
            bytes.zeroize();
            return Vec::new();
        }
        bytes.copy_within(part, 0);
        bytes[length..].fill(0);
        bytes.truncate(length);
        bytes
    }

    /// The payload's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload.expose()
    }
}

/// Before the memory is wiped its items are let go: zeroize takes them one by one, and spare room in one sweep, six times as fast.
impl Drop for Datagram {
    fn drop(&mut self) {
        self.payload.expose_mut().clear();
    }
}

/// A piece of a TCP stream as it was on the wire, before anything was put in order (RFC 9293 section 3.1).
#[derive(Debug)]
pub struct Segment {
    /// When it arrived.
    pub at: Wall,
    /// Its number in the capture, from 1.
    pub number: u64,
    /// The sender.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// The sequence number of its first byte (of SYN, where it is set).
    pub sequence: u32,
    /// The control bits that open and close a stream.
    pub flags: SegmentFlags,
    payload: Private<Vec<u8>>,
}

/// The control bits of a [`Segment`] that open and close a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentFlags {
    /// The stream begins; its first byte has the next sequence number.
    pub syn: bool,
    /// The sender has no more to say.
    pub fin: bool,
    /// The stream is over, whatever was said.
    pub rst: bool,
}

impl Segment {
    /// Takes the payload into custody.
    #[must_use]
    pub const fn new(
        at: Wall,
        number: u64,
        source: SocketAddr,
        destination: SocketAddr,
        sequence: u32,
        flags: SegmentFlags,
        payload: Vec<u8>,
    ) -> Self {
        Self { at, number, source, destination, sequence, flags, payload: Private::new(payload) }
    }

    /// The payload's bytes; none in a segment that only opens, closes or acknowledges.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload.expose()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.payload.expose_mut().clear();
    }
}

/// A stretch of linear sound from a source that is no packet network: a wav file, a sound card.
#[derive(Debug)]
pub struct Pcm {
    /// When its first sample was heard.
    pub at: Wall,
    /// Its number in the capture, from 1.
    pub number: u64,
    /// 0 is the left channel (agent), 1 the right (customer), [`Pcm::BOTH`] one that holds both.
    pub channel: u8,
    /// Samples a second.
    pub rate: u32,
    samples: Private<Vec<i16>>,
}

impl Pcm {
    /// The channel of a line that has but one: both parties are in it.
    pub const BOTH: u8 = 2;

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

impl Drop for Pcm {
    fn drop(&mut self) {
        self.samples.expose_mut().clear();
    }
}

/// How a piece of [`Audio`] is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// G.711 mu-law, 8 kHz (RFC 3551 section 4.5.14).
    Pcmu,
    /// G.711 A-law, 8 kHz (RFC 3551 section 4.5.14).
    Pcma,
    /// G.722 at 64 kbit/s: 16 kHz sound, 8 kHz RTP clock (RFC 3551 section 4.5.2).
    G722,
    /// Opus: 48 kHz RTP clock, its length told by its first bytes (RFC 7587, RFC 6716 section 3.1).
    Opus,
    /// Linear, 16 bit, big endian, channels interleaved (RFC 3551 section 4.5.11).
    L16 {
        /// Samples a second, which is the RTP clock too.
        rate: u32,
        /// Channels, at least 1.
        channels: u8,
    },
    /// Linear, 16 bit, little endian, mono, from a source without RTP.
    Linear {
        /// Samples a second.
        rate: u32,
    },
}

impl Encoding {
    /// The rate of its RTP time stamps, a second.
    #[must_use]
    pub const fn clock(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Opus => 48_000,
            Self::L16 { rate, .. } | Self::Linear { rate } => {
                if rate == 0 {
                    1
                } else {
                    rate
                }
            }
        }
    }

    /// How long a payload lasts, microseconds. 0 for one that is damaged.
    #[must_use]
    pub fn micros(self, payload: &[u8]) -> i64 {
        let bytes = payload.len();
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => bytes as i64 * 125,
            Self::Opus => opus::micros(payload),
            Self::L16 { rate, channels } => {
                let samples = bytes as i64 / 2 / i64::from(channels.max(1));
                samples * 1_000_000 / if rate == 0 { 1 } else { i64::from(rate) }
            }
            Self::Linear { rate } => (bytes as i64 / 2) * 1_000_000 / if rate == 0 { 1 } else { i64::from(rate) },
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
    /// Packets that never came, right before this one, by their sequence numbers. 0: a gap in time before it was never sent.
    pub missing: u32,
    payload: Private<Vec<u8>>,
}

impl Audio {
    /// Takes the payload into custody.
    #[must_use]
    pub const fn new(call: Call, side: Side, number: u64, start: Wall, encoding: Encoding, payload: Vec<u8>) -> Self {
        Self { call, side, number, start, encoding, missing: 0, payload: Private::new(payload) }
    }

    /// The encoded bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload.expose()
    }

    /// Where the sound ends on the wall clock.
    #[must_use]
    pub fn end(&self) -> Wall {
        self.start.plus(self.encoding.micros(self.payload.expose()))
    }
}

impl Drop for Audio {
    fn drop(&mut self) {
        self.payload.expose_mut().clear();
    }
}
