//! From a frame to what was sent in it: a UDP payload or a piece of a TCP stream.
//!
//! A frame goes down through its layers, each in its own file: the link with its tags and labels ([`link`]), IP with its extension
//! headers ([`ip`]) and fragments ([`fragments`]), tunnels, which lead back to IP or Ethernet ([`tunnels`]), at most [`DEPTH`] of them,
//! and what a Homer agent sends ([`hep`], over TCP [`agents`]), each where the site trusts it ([`trust`]). At the bottom, what a mirror port
//! delivered twice is dropped ([`duplicates`]).
//! Checksums are not verified: a capture on the sending host has them before the network card filled them in.

mod agents;
mod duplicates;
mod fragments;
mod hep;
mod ip;
mod link;
mod transport;
mod trust;
mod tunnels;

pub use link::Link;
pub use trust::{Trust, Tunnel};

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use sotto_private::{Datagram, Private, Segment, Wall};

use crate::Captured;
use agents::Agents;
use duplicates::Duplicates;
use fragments::Fragments;
use ip::Packet;

/// Tunnels in one another that are followed.
const DEPTH: u8 = 4;

/// What became of the frames. Each is counted in `delivered` or in one of the fields that say "Dropped" or "Kept", and in no two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames, or blocks of sound, read.
    pub frames: u64,
    /// Passed on.
    pub delivered: u64,
    /// Of those passed on: pieces of TCP streams.
    pub segments: u64,
    /// Of those passed on: out of a tunnel (GRE, ERSPAN, VXLAN, GENEVE, IP in IP).
    pub tunnelled: u64,
    /// Of those passed on: out of Homer encapsulation (HEP3).
    pub hep: u64,
    /// Of those passed on: put together from fragments.
    pub reassembled: u64,
    /// Of those passed on: the capture kept only the first part of them (a snapshot length).
    pub cut_short: u64,
    /// Kept: a piece of a fragmented IP packet that did not complete it.
    pub fragments: u64,
    /// Kept: a piece of what a Homer agent sends over TCP that did not complete a message.
    pub hep_pieces: u64,
    /// Dropped: seen already within 100 ms, as a mirror of two ports shows it.
    pub duplicates: u64,
    /// Dropped: a TCP segment that only acknowledges.
    pub acknowledgements: u64,
    /// Dropped: another protocol over IP.
    pub other_ip: u64,
    /// Dropped: neither IPv4 nor IPv6 (ARP, spanning tree, and so on).
    pub not_ip: u64,
    /// Dropped: what a Homer agent sent beside SIP, RTP and RTCP (logs, statistics, compressed payloads).
    pub other_hep: u64,
    /// Dropped: more tunnels in one another than are followed.
    pub too_deep: u64,
    /// Dropped: in a tunnel, or from a Homer agent, that the site does not trust.
    pub untrusted: u64,
    /// Dropped: the headers contradict each other or are cut.
    pub malformed: u64,
    /// Dropped: from a link whose frames are not read here.
    pub unsupported_link: u64,
    /// Fragmented packets given up: pieces were missing for 30 s.
    pub fragments_timed_out: u64,
    /// Fragmented packets given up, the oldest first: too many at once, too many bytes, or too many pieces.
    pub fragments_at_cap: u64,
    /// Fragmented packets given up: their pieces overlap or contradict each other (RFC 5722).
    pub fragments_overlapping: u64,
    /// Dropped by the kernel because this process was late (live only).
    pub kernel_drops: u64,
    /// How often a sound card lost some of what it heard because this process was late (live only).
    pub overruns: u64,
    /// Frames that passed the kernel's filter, those that it dropped among them (live only).
    pub kernel_packets: u64,
    /// How often the kernel had no block free (live only).
    pub kernel_freezes: u64,
    /// Blocks of the ring that contradict themselves; what is left of such a block is not read (live only).
    pub torn_blocks: u64,
    /// Frames that several were joined into on their way; joined datagrams are told apart again, and each is a frame (live only).
    pub super_frames: u64,
    /// Not looked at: the box's own transmissions seen a second time (live only).
    pub outgoing: u64,
    /// Turned away: from an address that is not on a recording server's list, or one connection too many.
    pub not_allowed: u64,
}

/// Takes frames apart.
///
/// It remembers fragments, Homer agents' streams and what was seen in the last 100 ms, so the frames of one capture go through one of these. Its
/// memory is bounded whatever comes: 256 KiB of hashes, fragments up to 4 MiB, streams up to 8 MiB.
#[derive(Debug, Default)]
pub struct Decap {
    /// The counts so far.
    pub counters: Counters,
    trust: Trust,
    fragments: Fragments,
    agents: Agents,
    /// Further messages that the last frame completed.
    more: VecDeque<(Private<Vec<u8>>, Arrival)>,
    duplicates: Duplicates,
}

/// When a frame arrived, and how far down it has been followed.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: Wall,
    number: u64,
    depth: u8,
}

impl Arrival {
    const fn deeper(self) -> Result<Self, Refusal> {
        if self.depth == DEPTH { Err(Refusal::TooDeep) } else { Ok(Self { depth: self.depth + 1, ..self }) }
    }
}

/// Why a frame goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Fragment,
    Duplicate,
    Acknowledgement,
    OtherIp,
    NotIp,
    OtherHep,
    HepPiece,
    TooDeep,
    Untrusted,
    Malformed,
}

impl Decap {
    /// One that follows what the site trusts.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self { trust, ..Self::default() }
    }

    /// What one frame holds or completes: a [`Captured::Datagram`] or a [`Captured::Segment`]. Otherwise the reason is counted. Where one frame
    /// completes several messages of a Homer agent's, the others are taken out with [`Decap::more`].
    ///
    /// `at` is when it arrived and `number` its number in the capture, from 1; what was put together has those of the frame that
    /// completed it. Out of Homer encapsulation, the time is the agent's where that lies within 10 s of `at`.
    /// No bytes make it panic.
    pub fn frame(&mut self, link: Link, frame: &[u8], at: Wall, number: u64) -> Option<Captured> {
        self.more.clear();
        let arrival = Arrival { at, number, depth: 0 };
        let result = link::network(link, frame).and_then(|packet| self.packet(packet, arrival));
        self.count(result)
    }

    /// What else the last frame completed, each counted as a frame of its own; `None` where there is no more.
    pub fn more(&mut self) -> Option<Captured> {
        while let Some((message, arrival)) = self.more.pop_front() {
            let result = self.hep(message.expose(), arrival);
            if let Some(captured) = self.count(result) {
                return Some(captured);
            }
        }
        None
    }

    fn count(&mut self, result: Result<Captured, Refusal>) -> Option<Captured> {
        self.counters.frames += 1;
        match result {
            Ok(captured) => {
                self.counters.delivered += 1;
                Some(captured)
            }
            Err(refusal) => {
                *match refusal {
                    Refusal::Fragment => &mut self.counters.fragments,
                    Refusal::Duplicate => &mut self.counters.duplicates,
                    Refusal::Acknowledgement => &mut self.counters.acknowledgements,
                    Refusal::OtherIp => &mut self.counters.other_ip,
                    Refusal::NotIp => &mut self.counters.not_ip,
                    Refusal::OtherHep => &mut self.counters.other_hep,
                    Refusal::HepPiece => &mut self.counters.hep_pieces,
                    Refusal::TooDeep => &mut self.counters.too_deep,
                    Refusal::Untrusted => &mut self.counters.untrusted,
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

    fn packet(&mut self, bytes: &[u8], arrival: Arrival) -> Result<Captured, Refusal> {
        let packet = ip::packet(bytes)?;
        if packet.fragment.is_some() { self.fragment(&packet, arrival) } else { self.payload(&packet, arrival) }
    }

    /// Keeps a piece; the one that completes a packet goes on as that packet.
    fn fragment(&mut self, packet: &Packet<'_>, arrival: Arrival) -> Result<Captured, Refusal> {
        if packet.is_cut {
            return Err(Refusal::Malformed);
        }
        // A mirror's second copy of the last piece would wait for the others in vain.
        if self.duplicates.is_repeat(packet, packet.payload, 0, arrival.at) {
            return Err(Refusal::Duplicate);
        }
        let whole = self.fragments.add(packet, arrival.at, &mut self.counters)?;
        let packet = packet.reassembled(whole.protocol, whole.bytes.expose())?;
        let captured = self.payload(&packet, arrival)?;
        self.counters.reassembled += 1;
        Ok(captured)
    }

    fn payload(&mut self, packet: &Packet<'_>, arrival: Arrival) -> Result<Captured, Refusal> {
        match packet.protocol {
            ip::UDP => self.udp(packet, arrival),
            ip::TCP => self.tcp(packet, arrival),
            // RFC 2003 and RFC 2473; the packet's own first byte says which version it is.
            ip::IPV4 | ip::IPV6 => self.tunnel(Tunnel::IpInIp, packet.source, packet.payload, arrival),
            ip::GRE => self.tunnel(Tunnel::Gre, packet.source, tunnels::gre(packet.payload)?, arrival),
            _ => Err(Refusal::OtherIp),
        }
    }

    fn tunnel(&mut self, tunnel: Tunnel, sender: IpAddr, inner: &[u8], arrival: Arrival) -> Result<Captured, Refusal> {
        if !self.trust.covers(tunnel, sender) {
            return Err(Refusal::Untrusted);
        }
        let captured = self.packet(inner, arrival.deeper()?)?;
        // Counted where the outermost one ends.
        self.counters.tunnelled += u64::from(arrival.depth == 0);
        Ok(captured)
    }

    fn udp(&mut self, packet: &Packet<'_>, arrival: Arrival) -> Result<Captured, Refusal> {
        let udp = transport::udp(packet)?;
        if let Some((tunnel, inner)) = tunnels::over_udp(udp.destination, udp.payload) {
            return self.tunnel(tunnel, packet.source, inner?, arrival);
        }
        if self.trust.is_hep(udp.destination) && udp.payload.starts_with(&hep::MAGIC) {
            return if self.trust.covers(Tunnel::Hep, packet.source) { self.hep(udp.payload, arrival) } else { Err(Refusal::Untrusted) };
        }
        if self.duplicates.is_repeat(packet, udp.payload, udp.identity, arrival.at) {
            return Err(Refusal::Duplicate);
        }
        self.counters.cut_short += u64::from(udp.is_cut);
        let source = SocketAddr::new(packet.source.to_canonical(), udp.source);
        let destination = SocketAddr::new(packet.destination.to_canonical(), udp.destination);
        Ok(Captured::Datagram(Datagram::new(arrival.at, arrival.number, source, destination, udp.payload.to_vec())))
    }

    fn tcp(&mut self, packet: &Packet<'_>, arrival: Arrival) -> Result<Captured, Refusal> {
        let tcp = transport::tcp(packet)?;
        let flags = tcp.flags;
        if tcp.payload.is_empty() && !(flags.syn || flags.fin || flags.rst) {
            return Err(Refusal::Acknowledgement);
        }
        if self.duplicates.is_repeat(packet, tcp.payload, tcp.identity, arrival.at) {
            return Err(Refusal::Duplicate);
        }
        let source = SocketAddr::new(packet.source.to_canonical(), tcp.source);
        let destination = SocketAddr::new(packet.destination.to_canonical(), tcp.destination);
        if self.trust.is_hep(tcp.destination) {
            if !self.trust.covers(Tunnel::Hep, packet.source) {
                return Err(Refusal::Untrusted);
            }
            let mut messages = self.agents.segment((source, destination), &tcp).into_iter();
            let first = messages.next().ok_or(Refusal::HepPiece)?;
            self.more.extend(messages.map(|message| (message, arrival)));
            return self.hep(first.expose(), arrival);
        }
        self.counters.cut_short += u64::from(packet.is_cut);
        self.counters.segments += 1;
        let payload = tcp.payload.to_vec();
        Ok(Captured::Segment(Segment::new(arrival.at, arrival.number, source, destination, tcp.sequence, flags, payload)))
    }

    /// Whatever carried it, what a Homer agent sends is a whole message: a datagram.
    fn hep(&mut self, message: &[u8], arrival: Arrival) -> Result<Captured, Refusal> {
        let hep = hep::message(message)?;
        let packet = hep.packet();
        // Two agents, one at each end, tell of the same packet.
        if self.duplicates.is_repeat(&packet, hep.payload, hep.identity(), arrival.at) {
            return Err(Refusal::Duplicate);
        }
        self.counters.hep += 1;
        let at = hep.plausible_at(arrival.at);
        Ok(Captured::Datagram(Datagram::new(at, arrival.number, hep.source, hep.destination, hep.payload.to_vec())))
    }
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
