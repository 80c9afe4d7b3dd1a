//! The same packets, carried otherwise: signalling over TCP, all of it through a tunnel, or as a Homer agent sends it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::frame::{self, DSCP_MEDIA, Path};
use crate::pcap::Packet;

/// What carries a capture's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// SIP over TCP (RFC 3261 section 18), each message in three segments of which the last two come in the wrong order.
    SipOverTcp,
    /// GRE (RFC 2784).
    Gre,
    /// ERSPAN type II, as a switch mirrors to a box elsewhere.
    Erspan,
    /// IP in IP (RFC 2003).
    IpInIp,
    /// VXLAN (RFC 7348).
    Vxlan,
    /// GENEVE (RFC 8926).
    Geneve,
    /// HEP3, a message in a datagram.
    Hep,
    /// HEP3 over TCP, messages cut anyhow.
    HepOverTcp,
}

impl Carrier {
    /// All of them.
    pub const ALL: [Self; 8] = [Self::SipOverTcp, Self::Gre, Self::Erspan, Self::IpInIp, Self::Vxlan, Self::Geneve, Self::Hep, Self::HepOverTcp];

    /// The packets of the call maker, IPv4, carried so.
    ///
    /// # Panics
    /// A frame is of another make, or IPv6.
    #[must_use]
    pub fn carry(self, packets: &[Packet]) -> Vec<Packet> {
        let each = |wrap: &dyn Fn(&Packet) -> Vec<u8>| packets.iter().map(|packet| Packet { at_us: packet.at_us, frame: wrap(packet) }).collect();
        match self {
            Self::SipOverTcp => sip_over_tcp(packets),
            Self::Gre => each(&|packet| over_ip(47, &[&[0, 0, 0x08, 0], inside(packet)].concat())),
            Self::Erspan => each(&|packet| {
                let sequence = (packet.at_us as u32).to_be_bytes();
                // GRE with a sequence number; version 1, VLAN 0, session 7, port 1.
                over_ip(47, &[&[0x10, 0, 0x88, 0xbe], sequence.as_slice(), &[0x10, 0, 0, 7, 0, 0, 0, 1], &packet.frame].concat())
            }),
            Self::IpInIp => each(&|packet| over_ip(4, inside(packet))),
            Self::Vxlan => each(&|packet| over_udp(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], packet.frame.as_slice()].concat())),
            Self::Geneve => each(&|packet| over_udp(6081, &[&[0, 0, 0x65, 0x58, 0, 0, 7, 0], packet.frame.as_slice()].concat())),
            Self::Hep => each(&|packet| over_udp(9060, &hep(packet))),
            Self::HepOverTcp => hep_over_tcp(packets),
        }
    }
}

/// From where tunnels lead to where.
const ENDS: [[u8; 4]; 2] = [[10, 9, 0, 1], [10, 9, 0, 2]];

/// The IP packet in a frame.
fn inside(packet: &Packet) -> &[u8] {
    &packet.frame[if packet.path().vlan.is_some() { 18 } else { 14 }..]
}

/// An IPv4 packet between the tunnel's ends. Checksums of IP and TCP are left 0, as a capture on the sending host has them.
fn over_ip(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4(protocol, ENDS, payload)
}

fn ipv4(protocol: u8, ends: [[u8; 4]; 2], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0x08, 0, 0x45, 0];
    frame.extend((20 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend(ends.as_flattened());
    frame.extend(payload);
    frame
}

fn over_udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let [source, destination] = [(ENDS[0], 40_000), (ENDS[1], port)].map(SocketAddr::from);
    frame::build(&Path { source, destination, vlan: None, dscp: DSCP_MEDIA }, 0, payload)
}

/// One direction of a TCP connection.
struct Stream {
    ends: [SocketAddr; 2],
    sequence: u32,
}

impl Stream {
    const SYN: u8 = 2;
    const ACK: u8 = 16;

    /// Near the wrap, which it passes.
    fn new(ends: [SocketAddr; 2]) -> Self {
        Self { ends, sequence: u32::MAX - 1_000 }
    }

    fn segment(&mut self, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut tcp: Vec<u8> = self.ends.iter().flat_map(|end| end.port().to_be_bytes()).collect();
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend([0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(payload);
        self.sequence = self.sequence.wrapping_add(payload.len() as u32 + u32::from(flags & Self::SYN != 0));
        ipv4(6, self.ends.map(octets), &tcp)
    }
}

fn octets(address: SocketAddr) -> [u8; 4] {
    match address.ip() {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => panic!("it is carried over IPv4"),
    }
}

fn sip_over_tcp(packets: &[Packet]) -> Vec<Packet> {
    let mut streams: HashMap<[SocketAddr; 2], Stream> = HashMap::new();
    let mut carried = Vec::new();
    for packet in packets {
        if !packet.is_signalling() {
            carried.push(packet.clone());
            continue;
        }
        let path = packet.path();
        let mut send = |frame| carried.push(Packet { at_us: packet.at_us, frame });
        let stream = streams.entry([path.source, path.destination]).or_insert_with(|| {
            let mut stream = Stream::new([path.source, path.destination]);
            send(stream.segment(Stream::SYN, &[]));
            stream
        });
        let third = packet.payload().len() / 3;
        let pieces = [&packet.payload()[..third], &packet.payload()[third..2 * third], &packet.payload()[2 * third..]];
        let [first, second, last] = pieces.map(|piece| stream.segment(Stream::ACK, piece));
        [first, last, second].into_iter().for_each(send);
    }
    carried
}

/// A packet as a Homer agent tells of it (HEP3).
fn hep(packet: &Packet) -> Vec<u8> {
    const SIP: u8 = 1;
    const RTP: u8 = 4;
    let path = packet.path();
    let chunks: [(u16, &[u8]); 11] = [
        (1, &[2]),
        (2, &[17]),
        (3, &octets(path.source)),
        (4, &octets(path.destination)),
        (7, &path.source.port().to_be_bytes()),
        (8, &path.destination.port().to_be_bytes()),
        (9, &(packet.at_us.div_euclid(1_000_000) as u32).to_be_bytes()),
        (10, &(packet.at_us.rem_euclid(1_000_000) as u32).to_be_bytes()),
        (11, &[if packet.is_signalling() { SIP } else { RTP }]),
        (12, &7_u32.to_be_bytes()),
        (15, packet.payload()),
    ];
    let mut message = b"HEP3\0\0".to_vec();
    for (kind, value) in chunks {
        message.extend([0, 0]);
        message.extend(kind.to_be_bytes());
        message.extend((6 + value.len() as u16).to_be_bytes());
        message.extend(value);
    }
    let length = (message.len() as u16).to_be_bytes();
    message[4..6].copy_from_slice(&length);
    message
}

/// Each segment ends somewhere inside a message, whose rest begins the next one.
fn hep_over_tcp(packets: &[Packet]) -> Vec<Packet> {
    let mut stream = Stream::new([(ENDS[0], 40_000), (ENDS[1], 9_060)].map(SocketAddr::from));
    let first = packets.first().map_or(0, |packet| packet.at_us);
    let mut carried = vec![Packet { at_us: first, frame: stream.segment(Stream::SYN, &[]) }];
    let (mut rest, mut last) = (Vec::new(), first);
    for (number, packet) in packets.iter().enumerate() {
        let message = hep(packet);
        let (now, later) = message.split_at((number * 37) % message.len());
        rest.extend(now);
        carried.push(Packet { at_us: packet.at_us, frame: stream.segment(Stream::ACK, &rest) });
        (rest, last) = (later.to_vec(), packet.at_us);
    }
    carried.push(Packet { at_us: last, frame: stream.segment(Stream::ACK, &rest) });
    carried
}
