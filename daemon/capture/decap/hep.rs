//! Homer encapsulation, version 3 (HEP3, also called EEP): what an agent on a proxy or PBX heard, with the addresses and times it had there.
//! <https://github.com/sipcapture/HEP>.
//!
//! Whoever sends such a message says where it came from, so it is believed on its own ports alone ([`super::trust`]): a caller chooses what is
//! in the datagrams to a media port. Over UDP a datagram is a message; over TCP they follow each other ([`super::agents`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sotto_private::Wall;

use super::Refusal;
use super::ip::{self, Packet};

pub(super) const MAGIC: [u8; 4] = *b"HEP3";
/// Bytes before the first chunk: those four, and the length of all.
pub(super) const HEADER: usize = 6;
/// An agent's time that is further off than this is a wrong clock's, microseconds.
const PLAUSIBLE: u64 = 10_000_000;

/// Payload types.
const SIP: u8 = 1;
const RTP: u8 = 4;
const RTCP: u8 = 5;

/// How long the message is that begins so; `None` where none does.
pub(super) fn length(header: &[u8; HEADER]) -> Option<usize> {
    header.starts_with(&MAGIC).then(|| usize::from(u16::from_be_bytes([header[4], header[5]])))
}

/// Whether these bytes are chunks from end to end.
pub(super) fn is_sound(bytes: &[u8]) -> bool {
    let mut chunks = bytes.get(HEADER..).unwrap_or_default();
    while !chunks.is_empty() {
        let Ok((_, _, behind)) = chunk(chunks) else { return false };
        chunks = behind;
    }
    true
}

/// One message: a packet that the agent heard.
pub(super) struct Hep<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) payload: &'a [u8],
    transport: u8,
    at: Option<Wall>,
}

/// Reads a message. Chunks of other vendors and those that nobody here needs are stepped over; of a chunk that comes twice, the last counts.
pub(super) fn message(bytes: &[u8]) -> Result<Hep<'_>, Refusal> {
    let length = bytes.first_chunk().and_then(length).ok_or(Refusal::Malformed)?;
    let mut chunks = bytes.get(HEADER..length).ok_or(Refusal::Malformed)?;

    let (mut addresses, mut ports, mut transport, mut kind) = ([None::<IpAddr>; 2], [None; 2], None, None);
    let (mut seconds, mut micros, mut payload) = (None, 0, None);
    while !chunks.is_empty() {
        let (chunk, value, behind) = chunk(chunks)?;
        chunks = behind;
        match chunk {
            0x0002 => transport = Some(u8::from_be_bytes(fixed(value)?)),
            0x0003 => addresses[0] = Some(Ipv4Addr::from(fixed::<4>(value)?).into()),
            0x0004 => addresses[1] = Some(Ipv4Addr::from(fixed::<4>(value)?).into()),
            0x0005 => addresses[0] = Some(Ipv6Addr::from(fixed::<16>(value)?).to_canonical()),
            0x0006 => addresses[1] = Some(Ipv6Addr::from(fixed::<16>(value)?).to_canonical()),
            0x0007 => ports[0] = Some(u16::from_be_bytes(fixed(value)?)),
            0x0008 => ports[1] = Some(u16::from_be_bytes(fixed(value)?)),
            0x0009 => seconds = Some(u32::from_be_bytes(fixed(value)?)),
            0x000a => micros = u32::from_be_bytes(fixed(value)?),
            0x000b => kind = Some(u8::from_be_bytes(fixed(value)?)),
            0x000f => payload = Some(value),
            _ => {}
        }
    }
    let (Some(kind), Some(payload)) = (kind, payload) else { return Err(Refusal::OtherHep) };
    let transport = transport.unwrap_or(ip::UDP);
    // SIP is handed on as whole messages, whatever brought them. Anything else over a stream would be a piece without its place.
    if !(kind == SIP || transport == ip::UDP && matches!(kind, RTP | RTCP)) {
        return Err(Refusal::OtherHep);
    }
    let ([Some(source), Some(destination)], [Some(from), Some(to)]) = (addresses, ports) else { return Err(Refusal::Malformed) };
    Ok(Hep {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
        payload,
        transport,
        at: seconds.map(|seconds| Wall::from_micros(i64::from(seconds) * 1_000_000 + i64::from(micros))),
    })
}

/// One chunk: its type (that of another vendor is none of these), its value, and what follows.
fn chunk(bytes: &[u8]) -> Result<(u16, &[u8], &[u8]), Refusal> {
    let (header, _) = bytes.split_first_chunk::<6>().ok_or(Refusal::Malformed)?;
    let vendor = u16::from_be_bytes([header[0], header[1]]);
    let kind = if vendor == 0 { u16::from_be_bytes([header[2], header[3]]) } else { 0 };
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let value = bytes.get(header.len()..length).ok_or(Refusal::Malformed)?;
    Ok((kind, value, bytes.get(length..).unwrap_or_default()))
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], Refusal> {
    value.try_into().map_err(|_| Refusal::Malformed)
}

impl Hep<'_> {
    /// The packet that the agent heard, as far as it told.
    pub(super) const fn packet(&self) -> Packet<'_> {
        Packet {
            source: self.source.ip(),
            destination: self.destination.ip(),
            identification: 0,
            protocol: self.transport,
            payload: self.payload,
            is_cut: false,
            fragment: None,
        }
    }

    /// Both ports.
    pub(super) fn identity(&self) -> u128 {
        u128::from(self.source.port()) << 16 | u128::from(self.destination.port())
    }

    /// The agent's time, where it can be believed; else when its message arrived.
    pub(super) fn plausible_at(&self, arrived: Wall) -> Wall {
        self.at.filter(|at| at.since(arrived).unsigned_abs() <= PLAUSIBLE).unwrap_or(arrived)
    }
}
