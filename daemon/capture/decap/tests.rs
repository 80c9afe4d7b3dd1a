//! Frames are written here byte by byte, as the standards draw them.

mod duplicates;
mod fragments;
mod hep;
mod hostile;
mod layers;
mod real;
mod trust;

use std::net::{IpAddr, Ipv6Addr};

use super::*;

/// What a frame came to: payload, source, destination, and for a segment its sequence number.
#[derive(Debug, PartialEq)]
struct Seen {
    payload: Vec<u8>,
    source: SocketAddr,
    destination: SocketAddr,
    at: Wall,
    sequence: Option<u32>,
}

impl From<Captured> for Seen {
    fn from(captured: Captured) -> Self {
        match captured {
            Captured::Datagram(it) => {
                Self { payload: it.payload().to_vec(), source: it.source, destination: it.destination, at: it.at, sequence: None }
            }
            Captured::Segment(it) => {
                let payload = it.payload().to_vec();
                Self { payload, source: it.source, destination: it.destination, at: it.at, sequence: Some(it.sequence) }
            }
            Captured::Pcm(_) | Captured::Line(_) => panic!("a frame holds no sound card's block"),
        }
    }
}

/// One frame through a fresh [`Decap`].
fn once(link: Link, frame: &[u8]) -> (Option<Seen>, Counters) {
    let mut decap = Decap::default();
    let seen = decap.frame(link, frame, Wall::from_micros(5), 7).map(Seen::from);
    assert!(adds_up(&decap.counters), "{:?}", decap.counters);
    (seen, decap.counters)
}

/// Each frame is counted in exactly one place.
fn adds_up(c: &Counters) -> bool {
    let dropped = c.duplicates + c.acknowledgements + c.other_ip + c.not_ip + c.other_hep + c.too_deep + c.untrusted + c.malformed + c.unsupported_link;
    c.frames == c.delivered + c.fragments + c.hep_pieces + dropped && c.segments + c.hep <= c.delivered
}

/// An IPv4 packet from 192.0.2.1 to 192.0.2.2. `position` is the flags and offset field.
fn ipv4(identification: u16, position: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend(identification.to_be_bytes());
    packet.extend(position.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend(payload);
    packet
}

/// An IPv6 packet from 2001:db8::1 to 2001:db8::2.
fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    for address in ["2001:db8::1", "2001:db8::2"] {
        packet.extend(address.parse::<Ipv6Addr>().unwrap().octets());
    }
    packet.extend(payload);
    packet
}

/// UDP from port 5060 to `port`.
fn udp_to(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x13, 0xc4];
    datagram.extend(port.to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// UDP from port 5060 to port 5062.
fn udp(payload: &[u8]) -> Vec<u8> {
    udp_to(5062, payload)
}

/// TCP from port 5060 to port 5062, with 4 bytes of options.
fn tcp(sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0x13, 0xc4, 0x13, 0xc6];
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 9, 0x60, flags, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    segment.extend(payload);
    segment
}

fn ethernet(tags: &[u16], ether_type: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 100]);
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(packet);
    frame
}

fn address(text: &str, port: u16) -> SocketAddr {
    SocketAddr::new(text.parse::<IpAddr>().unwrap(), port)
}

/// SplitMix64: random numbers that are the same everywhere.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit.max(1) as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.bits() as u8).collect()
    }
}
