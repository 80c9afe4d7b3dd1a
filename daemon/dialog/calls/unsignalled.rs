//! Calls of which there is no signalling: it was encrypted, passed elsewhere, or passed before this began.
//!
//! Two addresses that exchange sound in a payload type that needs no negotiation (RFC 3551 table 4), in the order of its numbers, for
//! a second and fifty packets, are a call. Until then the packets are kept, so that it is heard from where it was first seen. Nobody
//! knows who calls whom: the parties have no name. It ends when it has been silent for as long as any call may be. Should its
//! signalling be seen later, the call that names its addresses has the sound from then on, and this one ends where its own was last.
//!
//! Anybody can send packets: so the table has a fixed number of places. Who has shown the least goes first.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use sotto_private::{CallEvent, Datagram, Origin, Party, Side, Wall};

use super::Calls;
use super::call::CallState;
use crate::Output;
use crate::limits::Limits;
use crate::rtp::Header;
use crate::sdp::{Coding, Direction, Endpoint, static_coding};

/// Both directions of a path share a bucket of so many places.
const PLACES: usize = 8;
/// What shows somebody talking: packets, and microseconds.
const PROOF: (u32, i64) = (50, 1_000_000);
/// Packets of one source that are kept until then.
const KEPT: usize = 128;
/// A step forward by more is another talker.
const STEP: u16 = 16;
/// A source that was silent for longer begins anew, microseconds.
const PAUSE: i64 = 1_000_000;

type Flow = (SocketAddr, SocketAddr);

/// A source that may become a call.
struct Prospect {
    flow: Flow,
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    packets: u32,
    since: Wall,
    last: Wall,
    kept: VecDeque<(Datagram, Header)>,
}

/// A source that has become one.
pub(super) struct Proven {
    pub(super) flow: Flow,
    pub(super) packets: Vec<(Datagram, Header)>,
}

/// All sources that no call named, as far as they are remembered.
#[derive(Default)]
pub(super) struct Prospects {
    buckets: Vec<Vec<Prospect>>,
    hasher: RandomState,
    /// Packets kept of all of them.
    kept: usize,
}

impl Prospects {
    /// Takes in a packet: what is proven by it.
    pub(super) fn push(&mut self, datagram: Datagram, header: Header, limits: &Limits) -> Option<Proven> {
        if !is_telling(&header) {
            return None;
        }
        let flow = (datagram.source, datagram.destination);
        let (at, sequence) = (datagram.at, header.sequence);
        let bucket = self.bucket(flow, limits);
        let places = self.buckets.get_mut(bucket)?;
        let mut dropped = 0;
        let known = places.iter().position(|place| place.flow == flow && place.ssrc == header.ssrc);
        let place = match known {
            Some(place) => place,
            None => {
                if places.len() >= PLACES {
                    let least = places.iter().enumerate().min_by_key(|(_, place)| (at.since(place.last) <= PAUSE, place.packets, place.last));
                    if let Some(order) = least.map(|(order, _)| order) {
                        dropped += places.swap_remove(order).kept.len();
                    }
                }
                let (ssrc, payload_type) = (header.ssrc, header.payload_type);
                let sequence = sequence.wrapping_sub(1);
                places.push(Prospect { flow, ssrc, payload_type, sequence, packets: 0, since: at, last: at, kept: VecDeque::new() });
                places.len() - 1
            }
        };
        let prospect = places.get_mut(place)?;
        let step = sequence.wrapping_sub(prospect.sequence);
        let goes_on = (1..=STEP).contains(&step) && header.payload_type == prospect.payload_type && at.since(prospect.last) <= PAUSE;
        if !goes_on {
            if step == 0 || step > u16::MAX - STEP {
                // A copy, or one that was overtaken: it says nothing against the others.
                self.kept = self.kept.saturating_sub(dropped);
                return None;
            }
            dropped += prospect.kept.len();
            prospect.kept.clear();
            (prospect.packets, prospect.since, prospect.payload_type) = (0, at, header.payload_type);
        }
        (prospect.sequence, prospect.last) = (sequence, at);
        prospect.packets += 1;
        if self.kept.saturating_sub(dropped) >= limits.prospect_packets || prospect.kept.len() >= KEPT {
            // Its own oldest goes, else this one.
            if prospect.kept.pop_front().is_none() {
                self.kept = self.kept.saturating_sub(dropped);
                return None;
            }
            dropped += 1;
        }
        prospect.kept.push_back((datagram, header));
        self.kept = (self.kept + 1).saturating_sub(dropped);
        let (packets, micros) = PROOF;
        let is_proven = prospect.packets >= packets && at.since(prospect.since) >= micros;
        is_proven.then(|| Proven { flow, packets: self.take(flow) })
    }

    /// What was kept of the source that has shown most between two addresses.
    pub(super) fn take(&mut self, flow: Flow) -> Vec<(Datagram, Header)> {
        let bucket = self.buckets.len().checked_sub(1).map_or(0, |mask| self.hash(flow) as usize & mask);
        let Some(places) = self.buckets.get_mut(bucket) else { return Vec::new() };
        let of_flow = places.iter().enumerate().filter(|(_, place)| place.flow == flow);
        let most = of_flow.max_by_key(|(_, place)| place.packets).map(|(order, _)| order);
        let kept: Vec<_> = most.map(|order| places.swap_remove(order).kept.into()).unwrap_or_default();
        self.kept = self.kept.saturating_sub(kept.len());
        kept
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.buckets.clear();
        self.kept = 0;
    }

    fn bucket(&mut self, flow: Flow, limits: &Limits) -> usize {
        if self.buckets.is_empty() {
            let buckets = (limits.prospects / PLACES).max(1).next_power_of_two();
            self.buckets.resize_with(buckets, Vec::new);
        }
        self.hash(flow) as usize & (self.buckets.len() - 1)
    }

    fn hash(&self, (source, destination): Flow) -> u64 {
        self.hasher.hash_one(if source < destination { (source, destination) } else { (destination, source) })
    }
}

/// Sound that needs no negotiation: G.711 and G.722, in whole tens of milliseconds.
fn is_telling(header: &Header) -> bool {
    let bytes = header.payload.len();
    matches!(header.payload_type, 0 | 8 | 9) && !header.is_padded && bytes.is_multiple_of(80) && (80..=1_600).contains(&bytes)
}

impl Calls {
    /// Opens a call that was running already, of which nothing but the sound is known.
    pub(super) fn open_sound_alone(&mut self, at: Wall, calling: SocketAddr, called: SocketAddr) -> usize {
        let name = |address: SocketAddr| address.to_string();
        let key = self.hash([name(calling).as_bytes(), name(called).as_bytes()]);
        let slot = self.open(key, |id| CallState::new(id, key, 0, at));
        self.sound_alone += 1;
        let Some(call) = self.slots.get_mut(slot).and_then(Option::as_deref_mut) else { return slot };
        call.is_sound_alone = true;
        call.answered = Some(at);
        for (side, address) in Side::BOTH.into_iter().zip([calling, called]) {
            call.sides[side.index()].media = vec![Endpoint::heard_at(address)];
        }
        let id = call.id;
        let (origin, continues) = (Origin::SoundAlone, None);
        self.out.push_back(Output::Event(CallEvent::Offered { call: id, at, calling: Party::unnamed(), called: Party::unnamed(), origin, continues }));
        self.out.push_back(Output::Event(CallEvent::Answered { call: id, at, called: None }));
        slot
    }
}

impl Endpoint {
    fn heard_at(address: SocketAddr) -> Self {
        let payloads: Vec<(u8, Coding)> = [0, 8, 9].map(|number| (number, static_coding(number))).to_vec();
        Self { address: Some(address), payloads, direction: Direction::SendRecv, secured: false, keyed: false, keys: Vec::new(), rtcp: None }
    }
}
