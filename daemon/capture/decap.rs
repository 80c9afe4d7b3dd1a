//! From a frame to a UDP payload: Ethernet, 802.1Q, Linux cooked capture, IPv4, IPv6, UDP.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, LaxIpSlice, UdpSlice};
use sotto_private::{Datagram, Wall};

use crate::Captured;

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

/// What became of the frames, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames, or blocks of sound, read.
    pub frames: u64,
    /// Passed on.
    pub delivered: u64,
    /// Passed on, though the capture kept only the first part of them (a snapshot length).
    pub cut_short: u64,
    /// Dropped: TCP.
    pub tcp: u64,
    /// Dropped: another protocol over IP.
    pub other_ip: u64,
    /// Dropped: neither IPv4 nor IPv6 (ARP, spanning tree, and so on).
    pub not_ip: u64,
    /// Dropped: a piece of a fragmented IP packet.
    pub fragments: u64,
    /// Dropped: the headers contradict each other or are cut.
    pub malformed: u64,
    /// Dropped: from a link whose frames are not read here.
    pub unsupported_link: u64,
    /// Dropped by the kernel because this process was late (live only).
    pub kernel_drops: u64,
    /// Not looked at: the box's own transmissions seen a second time (live only).
    pub outgoing: u64,
}

/// Takes frames apart and counts what is not UDP.
#[derive(Debug, Default)]
pub struct Decap {
    /// The counts so far.
    pub counters: Counters,
}

impl Decap {
    /// What one frame holds, if there is a datagram or a segment in it (or it completes one); otherwise the reason is counted.
    ///
    /// `at` is when it arrived and `number` its number in the capture, from 1. No bytes make it panic.
    pub fn frame(&mut self, link: Link, frame: &[u8], at: Wall, number: u64) -> Option<Captured> {
        self.datagram(link, frame, at, number).map(Captured::Datagram)
    }

    /// The UDP payload in one frame, if there is one; otherwise the reason is counted.
    fn datagram(&mut self, link: Link, frame: &[u8], at: Wall, number: u64) -> Option<Datagram> {
        self.counters.frames += 1;
        match udp(link, frame) {
            Ok(found) => {
                self.counters.delivered += 1;
                self.counters.cut_short += u64::from(found.cut_short);
                Some(Datagram::new(at, number, found.source, found.destination, found.payload.to_vec()))
            }
            Err(refusal) => {
                *match refusal {
                    Refusal::Tcp => &mut self.counters.tcp,
                    Refusal::OtherIp => &mut self.counters.other_ip,
                    Refusal::NotIp => &mut self.counters.not_ip,
                    Refusal::Fragment => &mut self.counters.fragments,
                    Refusal::Malformed => &mut self.counters.malformed,
                } += 1;
                None
            }
        }
    }

    /// Counts a frame of a link that is not read here.
    pub(crate) const fn unsupported(&mut self) {
        self.counters.frames += 1;
        self.counters.unsupported_link += 1;
    }
}

enum Refusal {
    Tcp,
    OtherIp,
    NotIp,
    Fragment,
    Malformed,
}

struct Udp<'a> {
    source: SocketAddr,
    destination: SocketAddr,
    payload: &'a [u8],
    cut_short: bool,
}

fn udp(link: Link, frame: &[u8]) -> Result<Udp<'_>, Refusal> {
    match link {
        Link::Ethernet => ether(u16_at(frame, 12)?, rest(frame, 14)?),
        Link::Sll => ether(u16_at(frame, 14)?, rest(frame, 16)?),
        Link::Sll2 => ether(u16_at(frame, 0)?, rest(frame, 20)?),
        Link::Ip => ip(frame),
        // The family's number differs from system to system; IP's own version field does not.
        Link::Loopback => ip(rest(frame, 4)?),
    }
}

/// Steps over any number of VLAN tags (802.1Q, 802.1ad and the older double tag).
fn ether(mut ether_type: u16, mut payload: &[u8]) -> Result<Udp<'_>, Refusal> {
    while matches!(ether_type, 0x8100 | 0x88a8 | 0x9100) {
        ether_type = u16_at(payload, 2)?;
        payload = rest(payload, 4)?;
    }
    match ether_type {
        0x0800 | 0x86dd => ip(payload),
        _ => Err(Refusal::NotIp),
    }
}

fn ip(packet: &[u8]) -> Result<Udp<'_>, Refusal> {
    if !matches!(packet.first().map(|byte| byte >> 4), Some(4 | 6)) {
        return Err(Refusal::NotIp);
    }
    let (slice, stopped) = LaxIpSlice::from_slice(packet).map_err(|_| Refusal::Malformed)?;
    let inner = slice.payload();
    if inner.fragmented {
        return Err(Refusal::Fragment);
    }
    if stopped.is_some() {
        return Err(Refusal::Malformed);
    }
    match inner.ip_number {
        IpNumber::UDP => {}
        IpNumber::TCP => return Err(Refusal::Tcp),
        _ => return Err(Refusal::OtherIp),
    }
    let (source, destination) = addresses(&slice);
    let udp = UdpSlice::from_slice_lax(inner.payload).map_err(|_| Refusal::Malformed)?;
    let payload = udp.payload();
    Ok(Udp {
        source: SocketAddr::new(source, udp.source_port()),
        destination: SocketAddr::new(destination, udp.destination_port()),
        payload,
        cut_short: usize::from(udp.length()) > payload.len() + 8,
    })
}

/// Both addresses; an IPv4 address in IPv6 clothes (RFC 4291 section 2.5.5.2) is written as the IPv4 address that it is.
fn addresses(slice: &LaxIpSlice<'_>) -> (IpAddr, IpAddr) {
    (slice.source_addr().to_canonical(), slice.destination_addr().to_canonical())
}

fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, Refusal> {
    match bytes.get(offset..offset + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(Refusal::Malformed),
    }
}

fn rest(bytes: &[u8], offset: usize) -> Result<&[u8], Refusal> {
    bytes.get(offset..).ok_or(Refusal::Malformed)
}

#[cfg(test)]
mod tests;
