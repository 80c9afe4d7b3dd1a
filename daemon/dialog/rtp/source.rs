//! One SSRC of one leg: loss is counted, order restored, sound placed in time.

use std::collections::VecDeque;
use std::hint::black_box;

use sotto_private::{Datagram, Wall};

use super::leg::{Flow, Sink, Tally, TelephoneEvent, Trust};
use super::fingerprint::mixed;
use super::packet::Header;
use super::received::{Arrival, Jitter, Received};
use super::rtcp::Report;
use super::timeline::{Placed, Timeline};
use crate::sdp::Coding;

/// Packets, and microseconds of arrival, that decide a doubtful clock.
const DECIDING: (usize, i64) = (5, 60_000);
/// The longest sound of one packet, microseconds. RFC 3551 section 4.2 has 200 ms as the most that a receiver must take.
const LONGEST: i64 = 250_000;
/// The latest payloads that a copy on another path is compared with.
const PRINTS: usize = 64;

/// A packet on its way through reordering.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) datagram: Datagram,
    pub(super) header: Header,
    pub(super) coding: Coding,
    pub(super) trust: Trust,
    /// Packets that were given up right before this one.
    pub(super) missing: u32,
    extended: u64,
}

impl Held {
    pub(super) const fn new(datagram: Datagram, header: Header, coding: Coding, trust: Trust) -> Self {
        Self { datagram, header, coding, trust, missing: 0, extended: 0 }
    }

    pub(super) const fn flow(&self) -> Flow {
        (self.datagram.source, self.datagram.destination)
    }

    pub(super) fn payload(&self) -> &[u8] {
        self.datagram.payload().get(self.header.payload.clone()).unwrap_or_default()
    }

    pub(super) fn is_of(&self, ssrc: u32, flow: Flow) -> bool {
        self.header.ssrc == ssrc && self.flow() == flow
    }

    /// Whether the two follow one another, in whatever order they came.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        let (one, two) = (self.header.sequence, other.header.sequence);
        self.is_of(other.header.ssrc, other.flow()) && (one.wrapping_add(1) == two || two.wrapping_add(1) == one)
    }

    fn print(&self) -> u32 {
        mixed(self.payload().chunks(8)) as u32
    }
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) ssrc: u32,
    pub(super) flow: Flow,
    pub(super) trust: Trust,
    received: Received,
    /// The extended sequence number that is due.
    due: u64,
    /// Packets after a gap, by extended sequence number.
    waiting: VecDeque<Held>,
    /// Packets in order whose place in time is not decided.
    doubtful: VecDeque<Held>,
    timeline: Timeline,
    jitter: Jitter,
    /// Number and fingerprint of the latest payloads, from when a copy of one was first seen on another path.
    prints: Option<Box<[(u64, u32); PRINTS]>>,
    pub(super) last: Wall,
}

impl Source {
    /// Starts with a packet; its sound does not lie before `end`, where the source before it ended.
    pub(super) fn new(first: &Held, end: Wall) -> Self {
        let received = Received::new(first.header.sequence);
        Self {
            ssrc: first.header.ssrc,
            flow: first.flow(),
            trust: first.trust,
            due: received.highest(),
            received,
            waiting: VecDeque::new(),
            doubtful: VecDeque::new(),
            timeline: Timeline::after(end),
            jitter: Jitter::default(),
            prints: None,
            last: first.datagram.at,
        }
    }

    /// The source that comes after this one. A sender that only numbers anew keeps its clock; should that have jumped too, the
    /// timeline sees it.
    pub(super) fn succeeded_by(&mut self, first: &Held) -> Self {
        let mut next = Self::new(first, self.end());
        if first.is_of(self.ssrc, self.flow) {
            next.timeline = std::mem::take(&mut self.timeline);
        }
        next
    }

    pub(super) const fn end(&self) -> Wall {
        self.timeline.end()
    }

    /// Reads what the next packet will need.
    pub(super) fn expect(&self) {
        black_box((self.ssrc, self.flow, self.due, self.waiting.len(), self.doubtful.len(), self.last, self.prints.is_some()));
        black_box((self.received.highest(), self.received.packets(), self.timeline.end(), self.timeline.is_behind(0), self.jitter.largest()));
    }

    /// Takes a packet in; what is in order goes out. One whose number is far from the others comes back.
    pub(super) fn push(&mut self, mut held: Held, tally: &mut Tally, sink: &mut Sink<'_>) -> Option<Held> {
        match self.received.classify(held.header.sequence) {
            Arrival::Duplicate => {
                tally.duplicated += 1;
                sink.counters.rtp_duplicated += 1;
            }
            Arrival::Jump => return Some(held),
            Arrival::Fresh(extended) => {
                held.extended = extended;
                self.last = self.last.max(held.datagram.at);
                if let Some(prints) = &mut self.prints {
                    prints[extended as usize % PRINTS] = (extended, held.print());
                }
                self.jitter.observe(held.datagram.at, held.header.timestamp, held.coding);
                self.order(held, tally, sink);
            }
        }
        None
    }

    /// Whether a packet on another path is one that was heard on this one: a relay's other leg carries the same packets.
    pub(super) fn is_copy(&mut self, held: &Held) -> bool {
        let Some(extended) = self.received.seen(held.header.sequence).filter(|_| held.header.ssrc == self.ssrc) else { return false };
        match &self.prints {
            None => {
                self.prints = Some(Box::new([(0, 0); PRINTS]));
                true
            }
            Some(prints) => {
                let (of, print) = prints[extended as usize % PRINTS];
                of != extended || print == held.print()
            }
        }
    }

    /// Whether a packet is what this source would send next, wherever it comes from.
    pub(super) fn goes_on_with(&self, held: &Held) -> bool {
        held.header.ssrc == self.ssrc && self.received.is_ahead(held.header.sequence) && !self.timeline.is_behind(held.header.timestamp)
    }

    /// Whether number and time stamp of a packet lie behind what was sent last.
    pub(super) fn is_behind(&self, held: &Held) -> bool {
        let is_behind = self.received.highest() as u16;
        held.header.ssrc == self.ssrc && (held.header.sequence.wrapping_sub(is_behind) as i16) < 0 && self.timeline.is_behind(held.header.timestamp)
    }

    /// What the receiver reports of this source. Whether it fits.
    pub(super) fn reported(&mut self, report: &Report) -> bool {
        self.received.reported(report)
    }

    /// Gives up on packets that have been waited for too long.
    pub(super) fn advance(&mut self, now: Wall, tally: &mut Tally, sink: &mut Sink<'_>) {
        while self.waiting.front().is_some_and(|held| now.since(held.datagram.at) >= sink.limits.reorder_micros) {
            self.release_waiting(tally, sink);
        }
        let stale = self.doubtful.back().is_some_and(|held| now.since(held.datagram.at) >= 2 * sink.limits.reorder_micros);
        if stale {
            self.decide(true, sink);
        }
    }

    /// Lets everything go.
    pub(super) fn flush(&mut self, tally: &mut Tally, sink: &mut Sink<'_>) {
        while !self.waiting.is_empty() {
            self.release_waiting(tally, sink);
        }
        self.decide(true, sink);
    }

    /// The end of this source: its counts go into the leg's.
    pub(super) fn retire(mut self, tally: &mut Tally, sink: &mut Sink<'_>) {
        self.flush(tally, sink);
        tally.packets += self.received.packets();
        tally.lost += self.received.lost();
        tally.reordered += self.received.reordered();
        tally.jitter_micros = tally.jitter_micros.max(self.jitter.largest());
        if let Some(far_end) = self.received.far_end() {
            let sum = tally.far_end.get_or_insert_default();
            sum.expected += far_end.expected;
            sum.lost += far_end.lost;
            sum.missed += far_end.missed;
        }
    }

    /// Whether something waits for time to pass.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.doubtful.is_empty()
    }

    fn order(&mut self, held: Held, tally: &mut Tally, sink: &mut Sink<'_>) {
        if held.extended < self.due {
            sink.counters.rtp_late += 1;
            return;
        }
        if held.extended == self.due {
            self.due += 1;
            self.release(held, tally, sink);
        } else {
            let at = self.waiting.partition_point(|other| other.extended < held.extended);
            self.waiting.insert(at, held);
        }
        while self.waiting.front().is_some_and(|held| held.extended == self.due) || self.waiting.len() > sink.limits.reorder_packets {
            self.release_waiting(tally, sink);
        }
    }

    fn release_waiting(&mut self, tally: &mut Tally, sink: &mut Sink<'_>) {
        if let Some(mut held) = self.waiting.pop_front() {
            held.missing = u32::try_from(held.extended.saturating_sub(self.due)).unwrap_or(u32::MAX);
            self.due = held.extended + 1;
            self.release(held, tally, sink);
        }
    }

    /// A packet whose turn it is.
    fn release(&mut self, held: Held, tally: &mut Tally, sink: &mut Sink<'_>) {
        let encoding = match held.coding {
            Coding::Silent => {
                sink.counters.rtp_silent += 1;
                return;
            }
            Coding::Event => {
                sink.counters.rtp_silent += 1;
                // Event, end bit and volume, duration.
                if let (Some([event, ..]), false) = (held.payload().first_chunk::<4>(), sink.is_early(held.datagram.at)) {
                    let (ssrc, timestamp) = (held.header.ssrc, held.header.timestamp);
                    tally.events.push(TelephoneEvent { at: held.datagram.at, ssrc, timestamp, event: *event });
                }
                return;
            }
            Coding::Undecodable(codec, _) => {
                tally.codec(codec);
                tally.undecodable += 1;
                sink.counters.rtp_undecodable += 1;
                return;
            }
            Coding::Encrypted(codec, _) => {
                tally.codec(codec);
                tally.undecodable += 1;
                tally.encrypted += 1;
                sink.counters.rtp_encrypted += 1;
                return;
            }
            Coding::Sound(codec, encoding) => {
                tally.codec(codec);
                encoding
            }
        };
        let micros = encoding.micros(held.payload());
        if micros <= 0 || micros > LONGEST {
            sink.counters.rtp_odd_size += 1;
            return;
        }
        if !self.doubtful.is_empty() {
            self.doubtful.push_back(held);
            self.decide(false, sink);
            return;
        }
        match self.timeline.place(held.header.timestamp, encoding.clock(), held.datagram.at, micros) {
            Placed::At(start) => sink.sound(held, encoding, start),
            Placed::Doubtful => self.doubtful.push_back(held),
        }
    }

    /// Burst or jump: decides it where the packets in doubt tell, or where it must be decided now.
    fn decide(&mut self, now: bool, sink: &mut Sink<'_>) {
        let (Some(first), Some(newest)) = (self.doubtful.front(), self.doubtful.back()) else { return };
        let Coding::Sound(_, newest_encoding) = newest.coding else { return };
        let Coding::Sound(_, first_encoding) = first.coding else { return };
        let delay = self.timeline.delay(newest.header.timestamp, newest_encoding.clock(), newest.datagram.at);
        let burst = Timeline::is_plausible(delay);
        let (packets, micros) = DECIDING;
        let jump = self.doubtful.len() >= packets && newest.datagram.at.since(first.datagram.at) >= micros;
        if !(now || burst || jump || self.doubtful.len() >= sink.limits.held_packets) {
            return;
        }
        if !burst {
            self.timeline.rebase(first.header.timestamp, first_encoding.clock(), first.datagram.at);
        }
        for held in std::mem::take(&mut self.doubtful) {
            let Coding::Sound(_, encoding) = held.coding else { continue };
            let micros = encoding.micros(held.payload());
            let start = self.timeline.settle(held.header.timestamp, encoding.clock(), held.datagram.at, micros);
            sink.sound(held, encoding, start);
        }
    }
}
