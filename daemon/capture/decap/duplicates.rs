//! What a mirror shows twice.
//!
//! A switch that mirrors two ports, or both directions of one, delivers a packet once on its way in and once on its way out. The
//! second copy may have another VLAN tag, other link addresses, one hop less to live, and a checksum that was filled in meanwhile. What
//! does not change: addresses, protocol, IP's identification, ports, TCP's numbers, and every byte of the payload. A copy comes within
//! milliseconds; a SIP retransmission 500 ms later at the earliest (RFC 3261 section 17.1.1.1), and unless its sender leaves it 0, with another
//! identification. Should one come sooner and be taken for a copy, its twin was delivered just before.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use sotto_private::Wall;

use super::ip::Packet;

/// Places for one hash: one line of the processor's cache.
const WAYS: usize = 8;
/// 32,768 places in 256 KiB, which a processor keeps close by. 100 ms of 2,000 calls fill 20,000.
const SETS: usize = 1 << 12;
/// The bits of a place that say when, in 1,024 microseconds; the others are of the hash. With those that choose the set, 56 bits of it count:
/// at 2,000 calls a packet is taken for another's copy once in months.
const TIME: u64 = (1 << 20) - 1;
/// A copy comes this soon: 100 ms.
const WINDOW: u64 = 98;

/// The hashes of what was seen last.
pub(super) struct Duplicates {
    table: Vec<u64>,
    /// Where the first line of the cache begins in the table.
    aligned: usize,
    /// Nobody can make a packet that has another's hash.
    secret: [u64; 2],
}

impl Default for Duplicates {
    fn default() -> Self {
        let table = vec![0; (SETS + 1) * WAYS];
        let aligned = table.as_ptr().align_offset(WAYS * size_of::<u64>()).min(WAYS);
        let random = RandomState::new();
        Self { table, aligned, secret: [random.hash_one(0), random.hash_one(1)] }
    }
}

/// Tells nothing of what was seen.
impl std::fmt::Debug for Duplicates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Duplicates")
    }
}

impl Duplicates {
    /// Whether this very packet was seen within the window before (or, where stamps are out of order, after). `identity` is what a copy keeps of
    /// the transport's header.
    pub(super) fn is_repeat(&mut self, packet: &Packet<'_>, payload: &[u8], identity: u128, at: Wall) -> bool {
        let hash = self.hash(packet, payload, identity);
        let (sets, _) = self.table.get_mut(self.aligned..).unwrap_or_default().as_chunks_mut::<WAYS>();
        let Some(set) = sets.get_mut(hash as usize % SETS) else { return false };
        let now = (at.micros >> 10).cast_unsigned() & TIME;
        let entry = hash & !TIME | now;
        for seen in set.iter() {
            if (*seen ^ entry) <= TIME {
                // Round the clock, forwards or backwards.
                let apart = now.wrapping_sub(*seen) & TIME;
                if apart.min(TIME + 1 - apart) <= WINDOW {
                    return true;
                }
            }
        }
        // The newest is the first; the oldest makes room.
        set.copy_within(..WAYS - 1, 1);
        set[0] = entry;
        false
    }

    fn hash(&self, packet: &Packet<'_>, payload: &[u8], identity: u128) -> u64 {
        let [mut state, key] = self.secret;
        let mut take = |word: u128| state = fold(word as u64 ^ state, (word >> 64) as u64 ^ key);
        match (packet.source, packet.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => take(u128::from(source.to_bits()) << 64 | u128::from(destination.to_bits())),
            (source, destination) => {
                take(bits(source));
                take(bits(destination));
            }
        }
        let piece = packet.fragment.map_or(0, |it| u64::from(it.identification) << 32 | u64::from(it.offset) << 1 | u64::from(it.more));
        let kind = u64::from(packet.identification) << 8 | u64::from(packet.protocol);
        take(u128::from(piece) << 64 | u128::from(kind << 32 | payload.len() as u64));
        take(identity);
        match (payload.first_chunk::<32>(), payload.last_chunk::<16>()) {
            // RTP and RTCP: number, time stamp and source are at the start, and with them the rest is given. 9 in 10 packets are these.
            (Some(start), Some(end)) if start[0] >> 6 == 2 => {
                let (blocks, _) = start.as_chunks::<16>();
                blocks.iter().chain([end]).for_each(|block| take(u128::from_le_bytes(*block)));
            }
            (_, Some(end)) => {
                let (blocks, _) = payload.as_chunks::<16>();
                blocks.iter().chain([end]).for_each(|block| take(u128::from_le_bytes(*block)));
            }
            // The length, above, tells a short one from one with zeros behind it.
            (_, None) => take(payload.iter().fold(0, |word, byte| word << 8 | u128::from(*byte))),
        }
        fold(state, key)
    }
}

const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The two halves of a product, one over the other: every bit of either factor reaches every bit of the result.
const fn fold(left: u64, right: u64) -> u64 {
    let product = left as u128 * right as u128;
    product as u64 ^ (product >> 64) as u64
}
