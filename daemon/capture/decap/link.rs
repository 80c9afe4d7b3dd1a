//! The link: Ethernet and its kin, down to the IP packet. Tags (IEEE 802.1Q, 802.1ad) and labels (RFC 3032) are stepped over.

use super::{Refusal, rest, u16_at};

/// What a frame starts with. The numbers are those of <https://www.tcpdump.org/linktypes.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Ethernet (1).
    Ethernet,
    /// Linux cooked capture (113): 16 bytes, the protocol last.
    Sll,
    /// Linux cooked capture, version 2 (276): 20 bytes, the protocol first.
    Sll2,
    /// IPv4 or IPv6 from the first byte on (101, 228, 229; 12 and 14 in old files).
    Ip,
    /// BSD loopback (0, 108): 4 bytes of address family, then IP.
    Loopback,
}

impl Link {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ethernet, Self::Sll, Self::Sll2, Self::Ip, Self::Loopback];

    /// By its number in a capture file; `None` where this crate does not read such frames.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Ethernet),
            113 => Some(Self::Sll),
            276 => Some(Self::Sll2),
            12 | 14 | 101 | 228 | 229 => Some(Self::Ip),
            0 | 108 => Some(Self::Loopback),
            _ => None,
        }
    }
}

/// The IP packet in a frame.
pub(super) fn network(link: Link, frame: &[u8]) -> Result<&[u8], Refusal> {
    match link {
        Link::Ethernet => ethernet(frame),
        Link::Sll => ether(u16_at(frame, 14)?, rest(frame, 16)?),
        Link::Sll2 => ether(u16_at(frame, 0)?, rest(frame, 20)?),
        Link::Ip => is_ip(frame),
        // The family's number differs from system to system; IP's own version field does not.
        Link::Loopback => is_ip(rest(frame, 4)?),
    }
}

/// The IP packet in an Ethernet frame, with any number of tags.
pub(super) fn ethernet(frame: &[u8]) -> Result<&[u8], Refusal> {
    ether(u16_at(frame, 12)?, rest(frame, 14)?)
}

/// The IP packet behind an EtherType.
pub(super) fn ether(mut ether_type: u16, mut payload: &[u8]) -> Result<&[u8], Refusal> {
    // Each round consumes bytes.
    loop {
        match ether_type {
            0x0800 | 0x86dd => return is_ip(payload),
            // 802.1Q, 802.1ad and the older double tag.
            0x8100 | 0x88a8 | 0x9100 => {
                ether_type = u16_at(payload, 2)?;
                payload = rest(payload, 4)?;
            }
            // MPLS: labels of 4 bytes, up to the one that says it is the last.
            0x8847 | 0x8848 => {
                while !is_last_label(payload)? {
                    payload = rest(payload, 4)?;
                }
                payload = rest(payload, 4)?;
                // Nothing says what follows. A first nibble of 0 is a pseudowire's control word (RFC 4385), and Ethernet after it.
                if payload.first().is_none_or(|first| first >> 4 != 0) {
                    return is_ip(payload);
                }
                ether_type = u16_at(payload, 16)?;
                payload = rest(payload, 18)?;
            }
            _ => return Err(Refusal::NotIp),
        }
    }
}

fn is_last_label(label: &[u8]) -> Result<bool, Refusal> {
    label.get(2).map(|byte| byte & 1 == 1).ok_or(Refusal::Malformed)
}

fn is_ip(packet: &[u8]) -> Result<&[u8], Refusal> {
    match packet.first().map(|first| first >> 4) {
        Some(4 | 6) => Ok(packet),
        Some(_) => Err(Refusal::NotIp),
        None => Err(Refusal::Malformed),
    }
}
