//! From a packet's two addresses to the leg that it belongs to.
//!
//! A party's session description names where it wants to receive. A packet *to* that address is the other party's sound; a packet
//! *from* it is the party's own (phones send from where they receive, RFC 4961). Either is enough: with a media relay or behind NAT
//! only one of the two addresses of a path was ever named.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use foldhash::fast::RandomState;
use sotto_private::{Side, Wall};

/// A side of a call receives at an address; or, of a packet: this is that side's sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) slot: usize,
    pub(crate) side: Side,
}

/// Claims to one address that are kept.
const CLAIMS: usize = 8;

/// All addresses of all open calls, and a memory of the paths between them.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    addresses: HashMap<SocketAddr, Vec<Claim>>,
    /// Looked into for each packet. The hash is keyed anew in each run, nothing of it shows outside, and the table is bounded.
    flows: HashMap<Path, Flow, RandomState>,
    /// Addresses of calls that ended lately: a sender goes on for a moment.
    retired: HashMap<SocketAddr, Wall>,
    /// Counts every change after which a known path may lead elsewhere.
    version: u64,
}

/// Whose sound a packet is, and whether that side named the address that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) claim: Claim,
    pub(crate) is_named: bool,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    version: u64,
    sound: Option<Bound>,
}

impl Claims {
    /// A call names an address. Where too many do, one that is not answered goes, else the oldest: an INVITE alone takes no
    /// running call's place.
    pub(crate) fn add(&mut self, address: SocketAddr, claim: Claim, is_answered: impl Fn(usize) -> bool) {
        let claims = self.addresses.entry(address).or_default();
        if claims.len() == CLAIMS {
            let spare = claims.iter().position(|known| !is_answered(known.slot)).unwrap_or(0);
            claims.remove(spare);
        }
        claims.push(claim);
        self.version += 1;
    }

    pub(crate) fn remove(&mut self, address: SocketAddr, claim: Claim) {
        if let Some(claims) = self.addresses.get_mut(&address) {
            claims.retain(|other| *other != claim);
            if claims.is_empty() {
                self.addresses.remove(&address);
            }
            self.version += 1;
        }
    }

    /// An address of a call that has ended.
    pub(crate) fn retire(&mut self, address: SocketAddr, at: Wall, most: usize) {
        if self.retired.len() < most.saturating_mul(2) {
            self.retired.insert(address, at);
        }
    }

    /// Whether a packet at an address may be the last of a call that has ended.
    pub(crate) fn is_tail(&self, source: SocketAddr, destination: SocketAddr, at: Wall, for_micros: i64) -> bool {
        let is_recent = |address| self.retired.get(&address).is_some_and(|ended| at.since(*ended) < for_micros);
        !self.retired.is_empty() && (is_recent(source) || is_recent(destination))
    }

    /// Time passes.
    pub(crate) fn forget(&mut self, now: Wall, after_micros: i64) {
        self.retired.retain(|_, ended| now.since(*ended) < after_micros);
    }

    /// Whether no address is claimed.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// A call was answered, which gives its claims more weight.
    pub(crate) const fn reconsider(&mut self) {
        self.version += 1;
    }

    /// Whose sound a packet is, if another on its path was looked for since the last change.
    pub(crate) fn known(&self, source: SocketAddr, destination: SocketAddr) -> Option<Bound> {
        self.flows.get(&Path::new(source, destination)).filter(|flow| flow.version == self.version)?.sound
    }

    /// Whose sound a packet is.
    pub(crate) fn sound(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        most: usize,
        is_answered: impl Fn(usize) -> bool,
    ) -> Option<Bound> {
        let key = Path::new(source, destination);
        if let Some(flow) = self.flows.get(&key)
            && flow.version == self.version
        {
            return flow.sound;
        }
        let sound = self.find(source, destination, is_answered);
        if self.flows.len() >= most {
            self.flows.clear();
        }
        self.flows.insert(key, Flow { version: self.version, sound });
        sound
    }

    /// Of several calls at an address: the one that named both ends, else one that is answered, else the newest. An INVITE alone
    /// cannot take a running call's sound away.
    fn find(&self, source: SocketAddr, destination: SocketAddr, is_answered: impl Fn(usize) -> bool) -> Option<Bound> {
        let at = |address| self.addresses.get(address).map(Vec::as_slice).unwrap_or_default();
        let (to, from) = (at(&destination), at(&source));
        let sounds = from.iter().copied().chain(to.iter().map(|claim| Claim { slot: claim.slot, side: claim.side.other() }));
        let best = sounds.enumerate().max_by_key(|(order, sound)| (is_answered(sound.slot), is_both(from, to, *sound), *order));
        best.map(|(_, claim)| Bound { claim, is_named: from.contains(&claim) })
    }
}

fn is_both(from: &[Claim], to: &[Claim], sound: Claim) -> bool {
    let receiver = Claim { slot: sound.slot, side: sound.side.other() };
    from.contains(&sound) && to.contains(&receiver)
}

/// Two addresses; an IPv4 address is the same however it is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Path {
    source: [u64; 2],
    destination: [u64; 2],
    ports: u32,
}

impl Path {
    fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        let bits = |address: SocketAddr| {
            let bits = match address.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
                IpAddr::V6(ip) => ip.to_bits(),
            };
            [(bits >> 64) as u64, bits as u64]
        };
        let ports = u32::from(source.port()) << 16 | u32::from(destination.port());
        Self { source: bits(source), destination: bits(destination), ports }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn either_end_is_enough_and_the_later_call_has_the_address() {
        let (phone, relay, other) = (address("192.0.2.1:4000"), address("192.0.2.9:5000"), address("203.0.113.5:1024"));
        let mut claims = Claims::default();
        let find = |claims: &mut Claims, from, to| claims.sound(from, to, 100, |_| true).map(|bound| bound.claim);
        assert_eq!(find(&mut claims, phone, relay), None);
        claims.add(phone, Claim { slot: 0, side: Side::Calling }, |_| true);
        claims.add(relay, Claim { slot: 0, side: Side::Called }, |_| true);
        let calling = Some(Claim { slot: 0, side: Side::Calling });
        let called = Some(Claim { slot: 0, side: Side::Called });
        assert_eq!(find(&mut claims, phone, relay), calling);
        assert_eq!(find(&mut claims, relay, phone), called);
        assert_eq!(find(&mut claims, other, relay), calling, "the caller behind NAT");
        assert_eq!(find(&mut claims, relay, other), called);
        assert_eq!(find(&mut claims, other, address("203.0.113.5:9")), None);

        claims.add(phone, Claim { slot: 1, side: Side::Calling }, |_| true);
        assert_eq!(find(&mut claims, other, phone), Some(Claim { slot: 1, side: Side::Called }), "the newest");
        assert_eq!(find(&mut claims, relay, phone), called, "but for the path that only the older one named");
        let ringing = claims.find(other, phone, |slot| slot == 0).map(|bound| bound.claim);
        assert_eq!(ringing, called, "an answered call goes before one that rings");
        claims.remove(phone, Claim { slot: 0, side: Side::Calling });
        claims.remove(relay, Claim { slot: 0, side: Side::Called });
        assert_eq!(find(&mut claims, relay, phone), Some(Claim { slot: 1, side: Side::Called }));
    }

    #[test]
    fn a_path_is_known_from_its_first_packet_until_something_changes() {
        let (phone, relay) = (address("192.0.2.1:4000"), address("192.0.2.9:5000"));
        let mut claims = Claims::default();
        claims.add(phone, Claim { slot: 3, side: Side::Calling }, |_| true);
        assert_eq!(claims.known(phone, relay), None);
        let bound = claims.sound(phone, relay, 100, |_| true);
        assert!(bound.is_some());
        assert_eq!(claims.known(phone, relay), bound);
        assert_eq!(claims.known(address("[::ffff:192.0.2.1]:4000"), relay), bound, "an address is the same however it is written");
        assert_eq!(claims.known(relay, phone), None, "the way back is another path");
        claims.add(relay, Claim { slot: 4, side: Side::Called }, |_| true);
        assert_eq!(claims.known(phone, relay), None);
    }
}
