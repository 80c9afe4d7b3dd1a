//! Tunnels: what they carry is an IP packet again, straight or in an Ethernet frame.
//!
//! Whoever can send a tunnel's packets past the mirror can send in another's name, as whoever can forge an address can: a site says whose it trusts
//! ([`super::trust`]), and what is heard of a call is held to its own addresses and numbers further on.

use super::link::{ether, ethernet};
use super::{Refusal, Tunnel, rest, u16_at};

/// VXLAN's own port (RFC 7348 section 8), and the one that Linux had before.
const VXLAN: [u16; 2] = [4789, 8472];
/// GENEVE's port (RFC 8926 section 3.3).
const GENEVE: u16 = 6081;

/// Transparent Ethernet bridging.
const BRIDGED: u16 = 0x6558;
/// ERSPAN types I and II.
const ERSPAN: u16 = 0x88be;
/// ERSPAN type III.
const ERSPAN_III: u16 = 0x22eb;

/// The IP packet in GRE (RFC 2784), with checksum, key and sequence number (RFC 2890), and in ERSPAN over it (draft-foschiano-erspan).
pub(super) fn gre(bytes: &[u8]) -> Result<&[u8], Refusal> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    let flags = u16_at(bytes, 0)?;
    // RFC 1701's routing was never used, and version 1 is PPTP's (RFC 2637), whose PPP is compressed and encrypted.
    if flags & (ROUTING | 7) != 0 {
        return Err(Refusal::OtherIp);
    }
    let options = [CHECKSUM, KEY, SEQUENCE].into_iter().filter(|option| flags & option != 0).count();
    let protocol = u16_at(bytes, 2)?;
    let payload = rest(bytes, 4 + options * 4)?;
    match protocol {
        BRIDGED => ethernet(payload),
        // Type I has neither a sequence number nor a header of its own.
        ERSPAN if flags & SEQUENCE == 0 => ethernet(payload),
        ERSPAN if u16_at(payload, 0)? >> 12 == 1 => ethernet(rest(payload, 8)?),
        ERSPAN_III if u16_at(payload, 0)? >> 12 == 2 => {
            let tail = u16_at(payload, 10)?;
            // The last bit announces 8 more bytes; 5 bits say what follows: Ethernet or IP.
            let inner = rest(payload, if tail & 1 == 0 { 12 } else { 20 })?;
            match tail >> 10 & 0x1f {
                0 => ethernet(inner),
                2 => Ok(inner),
                _ => Err(Refusal::NotIp),
            }
        }
        ERSPAN | ERSPAN_III => Err(Refusal::Malformed),
        _ => ether(protocol, payload),
    }
}

/// The IP packet in VXLAN or GENEVE; `None` where a datagram is neither. A call's own media may go to these ports as well: RTP and SIP
/// begin with other bytes.
pub(super) fn over_udp(port: u16, payload: &[u8]) -> Option<(Tunnel, Result<&[u8], Refusal>)> {
    if VXLAN.contains(&port) {
        return Some((Tunnel::Vxlan, ethernet(vxlan(payload)?)));
    }
    if port == GENEVE {
        return Some((Tunnel::Geneve, geneve(payload)?));
    }
    None
}

/// The frame in VXLAN (RFC 7348 section 5): the flag that says that the network's number is there, and none that nobody defined;
/// the topmost is that of group policies.
fn vxlan(payload: &[u8]) -> Option<&[u8]> {
    let (header, frame) = payload.split_first_chunk::<8>()?;
    (header[0] & 0x7f == 0x08 && header[7] == 0).then_some(frame)
}

/// The packet in GENEVE (RFC 8926 section 3.4).
fn geneve(payload: &[u8]) -> Option<Result<&[u8], Refusal>> {
    let (header, behind) = payload.split_first_chunk::<8>()?;
    let protocol = u16::from_be_bytes([header[2], header[3]]);
    // Version 0, reserved bits 0, and a protocol that is known: anything else is somebody's datagram.
    if header[0] >> 6 != 0 || header[1] & 0x3f != 0 || header[7] != 0 || !matches!(protocol, BRIDGED | 0x0800 | 0x86dd) {
        return None;
    }
    let inner = rest(behind, usize::from(header[0] & 0x3f) * 4);
    Some(inner.and_then(|inner| if protocol == BRIDGED { ethernet(inner) } else { ether(protocol, inner) }))
}
