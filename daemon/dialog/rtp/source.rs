//! One SSRC of one leg: loss is counted, order restored, sound placed in time.

use std::collections::VecDeque;
use std::net::SocketAddr;

use sotto_private::{Datagram, Encoding, Wall};

use super::leg::{Sink, Tally};
use super::packet::Header;
use super::timeline::{Placed, Timeline};
use crate::sdp::Coding;

/// RFC 3550 appendix A.1: a step forward by less is loss.
const MAX_DROPOUT: i32 = 3_000;
/// RFC 3550 appendix A.1: a step back by less is reordering.
const MAX_MISORDER: i32 = 100;
/// Packets, and microseconds of arrival, that decide a doubtful clock.
const DECIDING: (usize, i64) = (5, 60_000);
/// The most bytes of sound in a packet: a quarter of a second of G.711. The field's most is 60 ms.
const LARGEST: usize = 2_000;

/// A packet on its way through reordering.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) datagram: Datagram,
    pub(super) header: Header,
    pub(super) coding: Coding,
    extended: u64,
}

impl Held {
    pub(super) const fn new(datagram: Datagram, header: Header, coding: Coding) -> Self {
        Self { datagram, header, coding, extended: 0 }
    }
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) ssrc: u32,
    flow: (SocketAddr, SocketAddr),
    sequence: Sequence,
    /// The extended sequence number that is due.
    due: u64,
    /// Packets after a gap, by extended sequence number.
    waiting: VecDeque<Held>,
    /// Packets in order whose place in time is not decided.
    doubtful: VecDeque<Held>,
    timeline: Timeline,
    jitter: Jitter,
    /// A packet far from the others in sequence: a stray, or the first after a restart.
    stray: Option<Held>,
    pub(super) last: Wall,
}

impl Source {
    /// Starts with a packet; its sound does not lie before `end`, where the source before it ended.
    pub(super) fn new(first: &Held, end: Wall) -> Self {
        let sequence = Sequence::new(first.header.sequence);
        Self {
            ssrc: first.header.ssrc,
            flow: (first.datagram.source, first.datagram.destination),
            due: sequence.highest,
            sequence,
            waiting: VecDeque::new(),
            doubtful: VecDeque::new(),
            timeline: Timeline::after(end),
            jitter: Jitter::default(),
            stray: None,
            last: first.datagram.at,
        }
    }

    pub(super) const fn end(&self) -> Wall {
        self.timeline.end()
    }

    /// Takes a packet in; what is in order goes out.
    pub(super) fn push(&mut self, mut held: Held, tally: &mut Tally, sink: &mut Sink<'_>) {
        let own = self.flow == (held.datagram.source, held.datagram.destination);
        match self.sequence.classify(held.header.sequence) {
            Arrival::Duplicate => {
                // A relay's other leg carries the same packets; only the same path twice is the network's doing.
                tally.duplicated += u64::from(own);
                sink.counters.rtp_duplicated += 1;
            }
            Arrival::Jump => self.jump(held, tally, sink),
            Arrival::Fresh(extended) => {
                held.extended = extended;
                self.last = self.last.max(held.datagram.at);
                if own {
                    self.jitter.observe(&held);
                }
                self.order(held, tally, sink);
            }
        }
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
        sink.counters.rtp_late += u64::from(self.stray.is_some());
        self.account(tally);
    }

    /// Adds the counts of sequence numbers and of jitter to the leg's.
    pub(super) fn account(&self, tally: &mut Tally) {
        tally.packets += self.sequence.received;
        tally.lost += self.sequence.lost();
        tally.reordered += self.sequence.reordered;
        tally.jitter_micros = tally.jitter_micros.max(self.jitter.largest);
    }

    /// Whether something waits for time to pass.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.doubtful.is_empty()
    }

    /// RFC 3550 appendix A.1: two packets in order after a jump are a restart, one alone is a stray.
    fn jump(&mut self, held: Held, tally: &mut Tally, sink: &mut Sink<'_>) {
        match self.stray.take() {
            Some(stray) if stray.header.sequence.wrapping_add(1) == held.header.sequence => {
                self.flush(tally, sink);
                self.account(tally);
                let restarted = Self::new(&stray, self.end());
                let before = std::mem::replace(self, restarted);
                // The clock goes on; should it have jumped too, the timeline sees it.
                self.timeline = before.timeline;
                self.push(stray, tally, sink);
                self.push(held, tally, sink);
            }
            earlier => {
                sink.counters.rtp_late += u64::from(earlier.is_some());
                self.stray = Some(held);
            }
        }
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
        if let Some(held) = self.waiting.pop_front() {
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
            Coding::Undecodable(codec, _) => {
                tally.codec(codec);
                tally.undecodable += 1;
                sink.counters.rtp_undecodable += 1;
                return;
            }
            Coding::Encrypted(codec, _) => {
                tally.codec(codec);
                tally.undecodable += 1;
                sink.counters.rtp_encrypted += 1;
                return;
            }
            Coding::Sound(codec, encoding) => {
                tally.codec(codec);
                encoding
            }
        };
        let length = held.header.payload.len();
        if length == 0 || length > LARGEST {
            sink.counters.rtp_odd_size += 1;
            return;
        }
        if !self.doubtful.is_empty() {
            self.doubtful.push_back(held);
            self.decide(false, sink);
            return;
        }
        match self.timeline.place(held.header.timestamp, held.datagram.at, encoding.micros(held.datagram.payload().get(held.header.payload.clone()).unwrap_or_default())) {
            Placed::At(start) => sink.sound(&held.datagram, &held.header, encoding, start),
            Placed::Doubtful => self.doubtful.push_back(held),
        }
    }

    /// Burst or jump: decides it where the packets in doubt tell, or where it must be decided now.
    fn decide(&mut self, now: bool, sink: &mut Sink<'_>) {
        let (Some(first), Some(newest)) = (self.doubtful.front(), self.doubtful.back()) else { return };
        let burst = Timeline::is_plausible(self.timeline.delay(newest.header.timestamp, newest.datagram.at));
        let (packets, micros) = DECIDING;
        let jump = self.doubtful.len() >= packets && newest.datagram.at.since(first.datagram.at) >= micros;
        if !(now || burst || jump || self.doubtful.len() >= sink.limits.held_packets) {
            return;
        }
        if !burst {
            self.timeline.rebase(first.header.timestamp, first.datagram.at);
        }
        for held in std::mem::take(&mut self.doubtful) {
            let Coding::Sound(_, encoding) = held.coding else { continue };
            let start = self.settled(&held, encoding);
            sink.sound(&held.datagram, &held.header, encoding, start);
        }
    }

    fn settled(&mut self, held: &Held, encoding: Encoding) -> Wall {
        self.timeline.settle(held.header.timestamp, held.datagram.at, encoding.micros(held.datagram.payload().get(held.header.payload.clone()).unwrap_or_default()))
    }
}

enum Arrival {
    /// Not seen before, with its extended sequence number.
    Fresh(u64),
    Duplicate,
    Jump,
}

/// Sequence numbers extended to 64 bits, and what their gaps say (RFC 3550 appendices A.1 and A.3).
#[derive(Debug)]
struct Sequence {
    base: u64,
    highest: u64,
    /// Bit n: `highest - n` was seen.
    seen: u128,
    received: u64,
    reordered: u64,
}

impl Sequence {
    fn new(first: u16) -> Self {
        // One cycle of room below, for packets from before the first.
        let base = 1 << 16 | u64::from(first);
        Self { base, highest: base, seen: 0, received: 0, reordered: 0 }
    }

    fn classify(&mut self, sequence: u16) -> Arrival {
        let step = i32::from(sequence.wrapping_sub(self.highest as u16) as i16);
        if (1..MAX_DROPOUT).contains(&step) {
            self.highest += step as u64;
            self.seen = self.seen.checked_shl(step as u32).unwrap_or(0) | 1;
            self.received += 1;
            return Arrival::Fresh(self.highest);
        }
        if !(-MAX_MISORDER..=0).contains(&step) {
            return Arrival::Jump;
        }
        let bit = 1u128 << -step;
        if self.seen & bit != 0 {
            return Arrival::Duplicate;
        }
        self.seen |= bit;
        self.received += 1;
        self.reordered += u64::from(step < 0);
        let extended = self.highest.saturating_sub(step.unsigned_abs().into());
        self.base = self.base.min(extended);
        Arrival::Fresh(extended)
    }

    const fn lost(&self) -> u64 {
        (self.highest - self.base + 1).saturating_sub(self.received)
    }
}

/// Interarrival jitter (RFC 3550 section 6.4.1 and appendix A.8).
#[derive(Debug, Default)]
struct Jitter {
    last: Option<(Wall, u32)>,
    /// In sixteenths of a microsecond.
    scaled: i64,
    largest: u32,
}

impl Jitter {
    /// A difference beyond this is a jump of the clock, not jitter, microseconds.
    const CLOCK_JUMP: i64 = 1_000_000;

    fn observe(&mut self, held: &Held) {
        let clock = match held.coding {
            Coding::Sound(..) => 8_000,
            Coding::Undecodable(_, clock) | Coding::Encrypted(_, clock) => i64::from(clock.max(1)),
            // All packets of a telephone event bear the time stamp of its start.
            Coding::Silent => return,
        };
        let (arrival, timestamp) = (held.datagram.at, held.header.timestamp);
        if let Some((last_arrival, last_timestamp)) = self.last.replace((arrival, timestamp)) {
            let media = i64::from(timestamp.wrapping_sub(last_timestamp) as i32) * 1_000_000 / clock;
            let difference = arrival.since(last_arrival).saturating_sub(media).saturating_abs();
            if difference < Self::CLOCK_JUMP {
                self.scaled += difference - ((self.scaled + 8) >> 4);
                self.largest = self.largest.max(u32::try_from(self.scaled >> 4).unwrap_or(u32::MAX));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(numbers: &[u16]) -> Sequence {
        let mut sequence = Sequence::new(numbers[0]);
        for number in numbers {
            sequence.classify(*number);
        }
        sequence
    }

    #[test]
    fn loss_is_what_the_numbers_promised() {
        let counts = |numbers: &[u16]| {
            let sequence = sequence(numbers);
            (sequence.received, sequence.lost(), sequence.reordered)
        };
        assert_eq!(counts(&[1, 2, 3]), (3, 0, 0));
        assert_eq!(counts(&[1, 4, 5]), (3, 2, 0));
        assert_eq!(counts(&[1, 3, 2, 2, 3]), (3, 0, 1));
        assert_eq!(counts(&[65_534, 65_535, 1, 0, 2]), (5, 0, 1));
        assert_eq!(counts(&[5, 4, 3]), (3, 0, 2), "what came before the first counts too");
        let wrap: Vec<u16> = (0..200_000u32).map(|number| number as u16).collect();
        assert_eq!(counts(&wrap), (200_000, 0, 0));
    }
}
