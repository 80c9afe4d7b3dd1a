//! Fragmented packets put together again (RFC 791 section 3.2, RFC 8200 section 4.5).
//!
//! Pieces that overlap make the whole packet void (RFC 5722; IPv4's are treated alike, since what a receiver makes of them
//! cannot be known), the late ones too; an exact copy is no overlap. Everything is bounded: packets, pieces of each, bytes, age.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use sotto_private::{Private, Wall};

use super::ip::Packet;
use super::{Counters, Refusal};

/// Packets in pieces at once; the oldest makes room.
pub(super) const PACKETS: usize = 1_024;
/// Pieces of one packet; 64 KiB over Ethernet come in 45.
const PIECES: usize = 64;
/// Bytes kept, each piece's [`OVERHEAD`] included.
pub(super) const BYTES: usize = 4 << 20;
/// What a piece takes beside its bytes.
const OVERHEAD: usize = 128;
/// The time that a packet has, microseconds: between the 15 s of RFC 791 and the 60 s of RFC 8200; SIP's own patience ends at 32 s.
const AGE: i64 = 30_000_000;
/// The largest packet, behind IPv4's header or IPv6's.
const LARGEST: u32 = 65_535;

/// All packets that wait for more.
#[derive(Default)]
pub(super) struct Fragments {
    waiting: HashMap<Key, Waiting>,
    /// By arrival of the first piece.
    order: BTreeMap<u64, Key>,
    arrivals: u64,
    bytes: usize,
}

/// IPv6 knows a packet by its addresses and identification alone; its protocol is 0 here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
    protocol: u8,
}

struct Waiting {
    arrival: u64,
    first: Wall,
    /// In order, without overlap.
    pieces: Vec<Piece>,
    /// What the first piece says that the whole is.
    protocol: Option<u8>,
    /// Known from the last piece.
    total: Option<u32>,
    /// Of all pieces.
    received: u32,
    /// Given up and counted; kept so that its late pieces do not begin it anew.
    is_void: bool,
}

struct Piece {
    offset: u32,
    bytes: Private<Vec<u8>>,
}

/// A whole packet's payload.
pub(super) struct Whole {
    pub(super) protocol: u8,
    pub(super) bytes: Private<Vec<u8>>,
}

enum Placed {
    Waits,
    Completes,
    Contradicts,
    IsOneTooMany,
}

/// Tells nothing of who sends to whom.
impl std::fmt::Debug for Fragments {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Fragments")
    }
}

impl Fragments {
    /// Takes a piece. It is whole with this one, or else refused as [`Refusal::Fragment`]: kept, or void.
    pub(super) fn add(&mut self, packet: &Packet<'_>, at: Wall, counters: &mut Counters) -> Result<Whole, Refusal> {
        let Some(fragment) = packet.fragment else { return Err(Refusal::Malformed) };
        let length = u32::try_from(packet.payload.len()).map_err(|_| Refusal::Malformed)?;
        let is_aligned = !fragment.more || length.is_multiple_of(8);
        if length == 0 || !is_aligned || fragment.offset + length > LARGEST {
            return Err(Refusal::Malformed);
        }
        let (source, destination) = (packet.source, packet.destination);
        let protocol = if source.is_ipv6() { 0 } else { packet.protocol };
        let key = Key { source, destination, identification: fragment.identification, protocol };
        self.give_up_old(at, counters);
        self.make_room(&key, packet.payload.len() + OVERHEAD, counters);

        let arrival = self.arrivals;
        let waiting = self.waiting.entry(key).or_insert_with(|| {
            self.order.insert(arrival, key);
            self.arrivals += 1;
            Waiting { arrival, first: at, pieces: Vec::new(), protocol: None, total: None, received: 0, is_void: false }
        });
        if waiting.is_void {
            return Err(Refusal::Fragment);
        }
        let before = waiting.taken();
        let placed = waiting.place(fragment.offset, fragment.more, packet.protocol, packet.payload);
        match placed {
            Placed::Waits | Placed::Completes => {}
            Placed::Contradicts => counters.fragments_overlapping += 1,
            Placed::IsOneTooMany => counters.fragments_at_cap += 1,
        }
        if matches!(placed, Placed::Contradicts | Placed::IsOneTooMany) {
            waiting.pieces = Vec::new();
            waiting.is_void = true;
        }
        self.bytes = (self.bytes + waiting.taken()).saturating_sub(before);
        if !matches!(placed, Placed::Completes) {
            return Err(Refusal::Fragment);
        }
        self.remove(&key).and_then(Waiting::joined).ok_or(Refusal::Malformed)
    }

    /// How many packets wait, and how many bytes they take.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        assert_eq!(self.waiting.len(), self.order.len());
        assert_eq!(self.waiting.values().map(Waiting::taken).sum::<usize>(), self.bytes);
        (self.waiting.len(), self.bytes)
    }

    fn give_up_old(&mut self, at: Wall, counters: &mut Counters) {
        while let Some(key) = self.oldest()
            && self.waiting.get(&key).is_none_or(|waiting| at.since(waiting.first) > AGE)
        {
            counters.fragments_timed_out += u64::from(self.remove(&key).is_some_and(|waiting| !waiting.is_void));
        }
    }

    /// Gives up the oldest ones where one more piece, of this packet, would be too much.
    fn make_room(&mut self, key: &Key, size: usize, counters: &mut Counters) {
        let is_new = !self.waiting.contains_key(key);
        while (is_new && self.waiting.len() >= PACKETS) || self.bytes + size > BYTES {
            let Some(oldest) = self.oldest() else { return };
            counters.fragments_at_cap += u64::from(self.remove(&oldest).is_some_and(|waiting| !waiting.is_void));
        }
    }

    fn oldest(&self) -> Option<Key> {
        self.order.first_key_value().map(|(_, key)| *key)
    }

    fn remove(&mut self, key: &Key) -> Option<Waiting> {
        let waiting = self.waiting.remove(key)?;
        self.order.remove(&waiting.arrival);
        self.bytes = self.bytes.saturating_sub(waiting.taken());
        Some(waiting)
    }
}

impl Waiting {
    fn place(&mut self, offset: u32, more: bool, protocol: u8, bytes: &[u8]) -> Placed {
        let end = offset + bytes.len() as u32;
        let index = self.pieces.partition_point(|piece| piece.offset < offset);
        if self.pieces.get(index).is_some_and(|same| same.offset == offset && same.bytes.expose().as_slice() == bytes) {
            return Placed::Waits;
        }
        let overlaps_before = index.checked_sub(1).and_then(|before| self.pieces.get(before)).is_some_and(|before| before.end() > offset);
        let overlaps_after = self.pieces.get(index).is_some_and(|after| after.offset < end);
        let lies_beyond = self.total.is_some_and(|total| end > total || !more && end != total);
        let ends_too_soon = !more && self.pieces.last().is_some_and(|last| last.end() > end);
        if overlaps_before || overlaps_after || lies_beyond || ends_too_soon {
            return Placed::Contradicts;
        }
        if self.pieces.len() == PIECES {
            return Placed::IsOneTooMany;
        }
        if offset == 0 {
            self.protocol = Some(protocol);
        }
        if !more {
            self.total = Some(end);
        }
        self.received += bytes.len() as u32;
        self.pieces.insert(index, Piece { offset, bytes: Private::new(bytes.to_vec()) });
        if self.total == Some(self.received) { Placed::Completes } else { Placed::Waits }
    }

    fn joined(self) -> Option<Whole> {
        let mut bytes = Private::new(Vec::with_capacity(self.received as usize));
        for piece in &self.pieces {
            bytes.append(piece.bytes.expose());
        }
        self.protocol.map(|protocol| Whole { protocol, bytes })
    }

    fn taken(&self) -> usize {
        self.pieces.iter().map(|piece| piece.bytes.expose().len() + OVERHEAD).sum()
    }
}

impl Piece {
    fn end(&self) -> u32 {
        self.offset + self.bytes.expose().len() as u32
    }
}
