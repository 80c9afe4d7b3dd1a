//! What arrived of a source, by its numbers and its clock, and what its receiver says arrived there.

use sotto_private::{FarEnd, Wall};

use super::rtcp::Report;
use crate::sdp::Coding;

/// RFC 3550 appendix A.1: a step forward by less is loss.
const MAX_DROPOUT: i32 = 3_000;
/// RFC 3550 appendix A.1: a step back by less is reordering.
const MAX_MISORDER: i32 = 100;

/// What a sequence number says of its packet.
pub(super) enum Arrival {
    /// Not seen before, with its extended sequence number.
    Fresh(u64),
    Duplicate,
    Jump,
}

/// Sequence numbers extended to 64 bits, and what their gaps say (RFC 3550 appendices A.1 and A.3).
#[derive(Debug)]
pub(super) struct Received {
    base: u64,
    highest: u64,
    /// Bit n: `highest - n` was seen.
    seen: u128,
    packets: u64,
    reordered: u64,
    far: Option<Box<Reports>>,
}

/// What one receiver reported, from its first report to its last.
#[derive(Clone, Copy, Debug)]
struct Reports {
    /// Who reports.
    from: u32,
    first: Mark,
    last: Mark,
    /// What earlier stretches came to, before the receiver began to count anew.
    before: FarEnd,
}

/// Where both sides of the tap stand at one sequence number.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// The receiver's extended highest sequence number, and its cumulative loss.
    highest: u32,
    lost: i32,
    /// The same sequence number as it is extended here, and how many packets came until then.
    here: u64,
    packets: u64,
}

impl Received {
    pub(super) fn new(first: u16) -> Self {
        // One cycle of room below, for packets from before the first.
        let base = 1 << 16 | u64::from(first);
        Self { base, highest: base, seen: 0, packets: 0, reordered: 0, far: None }
    }

    pub(super) fn classify(&mut self, sequence: u16) -> Arrival {
        let step = self.step(sequence);
        if (1..MAX_DROPOUT).contains(&step) {
            self.highest += step as u64;
            self.seen = self.seen.checked_shl(step as u32).unwrap_or(0) | 1;
            self.packets += 1;
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
        self.packets += 1;
        self.reordered += u64::from(step < 0);
        let extended = self.highest.saturating_sub(step.unsigned_abs().into());
        self.base = self.base.min(extended);
        Arrival::Fresh(extended)
    }

    /// The extended sequence number of a packet that was seen lately.
    pub(super) fn seen(&self, sequence: u16) -> Option<u64> {
        let step = self.step(sequence);
        let is_seen = (-MAX_MISORDER..=0).contains(&step) && self.seen & (1u128 << -step) != 0;
        is_seen.then(|| self.highest.saturating_sub(step.unsigned_abs().into()))
    }

    /// Whether a packet would be the next, or the next after some loss.
    pub(super) fn is_ahead(&self, sequence: u16) -> bool {
        (1..MAX_DROPOUT).contains(&self.step(sequence))
    }

    pub(super) const fn highest(&self) -> u64 {
        self.highest
    }

    pub(super) const fn packets(&self) -> u64 {
        self.packets
    }

    pub(super) const fn lost(&self) -> u64 {
        (self.highest - self.base + 1).saturating_sub(self.packets)
    }

    pub(super) const fn reordered(&self) -> u64 {
        self.reordered
    }

    /// A receiver's report (RFC 3550 section 6.4.1). Its first to its last make the stretch over which loss here and loss there are
    /// compared: before and after it nobody knows what the receiver heard. Whether the report was used.
    pub(super) fn reported(&mut self, report: &Report) -> bool {
        let step = self.step(report.highest as u16);
        // What came here up to that number: all but what came after it.
        let after = match u32::try_from(-step) {
            Ok(back @ 0..=127) => u64::from((self.seen & !(u128::MAX << back)).count_ones()),
            Ok(_) => return false,
            Err(_) if step < MAX_DROPOUT => 0,
            Err(_) => return false,
        };
        let here = self.highest.saturating_add_signed(step.into());
        let mark = Mark { highest: report.highest, lost: report.lost, here, packets: self.packets.saturating_sub(after) };
        match &mut self.far {
            // The receiver at the end of the path and one on its way count differently: the first one heard is followed.
            Some(far) if far.from != report.from => false,
            Some(far) => far.add(mark),
            None => {
                self.far = Some(Box::new(Reports { from: report.from, first: mark, last: mark, before: FarEnd::default() }));
                true
            }
        }
    }

    /// What the reports came to; `None` where they cover nothing.
    pub(super) fn far_end(&self) -> Option<FarEnd> {
        self.far.as_ref().map(|far| far.sum()).filter(|far| far.expected > 0)
    }

    fn step(&self, sequence: u16) -> i32 {
        i32::from(sequence.wrapping_sub(self.highest as u16) as i16)
    }
}

impl Reports {
    fn add(&mut self, mark: Mark) -> bool {
        let there = mark.highest.wrapping_sub(self.last.highest);
        let lost = i64::from(mark.lost) - i64::from(self.last.lost);
        if there == 0 || there > u32::MAX / 2 {
            return false;
        }
        // Duplicates can make the count of what was lost shrink; it cannot grow by more than was expected.
        let fits = mark.here.checked_sub(self.last.here) == Some(u64::from(there)) && lost <= i64::from(there) && -lost <= i64::from(there);
        if !fits {
            self.before = self.sum();
            self.first = mark;
        }
        self.last = mark;
        fits
    }

    fn sum(&self) -> FarEnd {
        let expected = self.last.here.saturating_sub(self.first.here);
        let lost = u64::try_from(i64::from(self.last.lost) - i64::from(self.first.lost)).unwrap_or(0).min(expected);
        let missed = expected.saturating_sub(self.last.packets.saturating_sub(self.first.packets));
        FarEnd { expected: self.before.expected + expected, lost: self.before.lost + lost, missed: self.before.missed + missed }
    }
}

/// Interarrival jitter (RFC 3550 section 6.4.1 and appendix A.8).
#[derive(Debug, Default)]
pub(super) struct Jitter {
    last: Option<(Wall, u32, u32)>,
    /// In sixteenths of a microsecond.
    scaled: i64,
    largest: u32,
}

impl Jitter {
    /// A difference beyond this is a jump of the clock, not jitter, microseconds.
    const CLOCK_JUMP: i64 = 1_000_000;

    pub(super) fn observe(&mut self, arrival: Wall, timestamp: u32, coding: Coding) {
        // All packets of a telephone event bear the time stamp of its start; comfort noise comes when it likes.
        let Some(clock) = coding.clock() else { return };
        let Some((last_arrival, last_timestamp, last_clock)) = self.last.replace((arrival, timestamp, clock)) else { return };
        if clock != last_clock {
            return;
        }
        let units = i64::from(timestamp.wrapping_sub(last_timestamp) as i32);
        let media = if clock == 8_000 { units * 125 } else { units * 1_000_000 / i64::from(clock) };
        let difference = arrival.since(last_arrival).saturating_sub(media).saturating_abs();
        if difference < Self::CLOCK_JUMP {
            self.scaled += difference - ((self.scaled + 8) >> 4);
            self.largest = self.largest.max(u32::try_from(self.scaled >> 4).unwrap_or(u32::MAX));
        }
    }

    /// Its largest value, microseconds.
    pub(super) const fn largest(&self) -> u32 {
        self.largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(numbers: &[u16]) -> Received {
        let mut received = Received::new(numbers[0]);
        for number in numbers {
            received.classify(*number);
        }
        received
    }

    #[test]
    fn loss_is_what_the_numbers_promised() {
        let counts = |numbers: &[u16]| {
            let received = received(numbers);
            (received.packets, received.lost(), received.reordered)
        };
        assert_eq!(counts(&[1, 2, 3]), (3, 0, 0));
        assert_eq!(counts(&[1, 4, 5]), (3, 2, 0));
        assert_eq!(counts(&[1, 3, 2, 2, 3]), (3, 0, 1));
        assert_eq!(counts(&[65_534, 65_535, 1, 0, 2]), (5, 0, 1));
        assert_eq!(counts(&[5, 4, 3]), (3, 0, 2), "what came before the first counts too");
        let wrap: Vec<u16> = (0..200_000u32).map(|number| number as u16).collect();
        assert_eq!(counts(&wrap), (200_000, 0, 0));
    }

    fn report(highest: u32, lost: i32) -> Report {
        Report { from: 1, about: 2, lost, highest }
    }

    /// Packets 1 to 3,000, of which every `here`-th does not come here, and a report every 250.
    fn reported(here: u16, there: impl Fn(u32) -> i32) -> Received {
        let mut received = Received::new(1);
        for number in 1..=3_000u16 {
            if !number.is_multiple_of(here) {
                received.classify(number);
            }
            if number.is_multiple_of(250) {
                // Some packets have passed the tap since the receiver looked.
                received.reported(&report(5 << 16 | u32::from(number - 5), there(u32::from(number - 5))));
            }
        }
        received
    }

    #[test]
    fn loss_here_and_loss_there_are_counted_over_the_same_packets() {
        let ours = reported(50, |_| 0);
        assert_eq!(ours.lost(), 59, "the last packet never came, and nobody knows");
        assert_eq!(ours.far_end(), Some(FarEnd { expected: 2_750, lost: 0, missed: 55 }));
        let both = reported(50, |number| (number / 50) as i32 + 7);
        assert_eq!(both.far_end(), Some(FarEnd { expected: 2_750, lost: 55, missed: 55 }), "what the receiver lost before its first report does not count");
        let theirs = reported(60_000, |number| (number / 50) as i32);
        assert_eq!(theirs.far_end(), Some(FarEnd { expected: 2_750, lost: 55, missed: 0 }));
    }

    #[test]
    fn reports_that_do_not_fit_are_not_believed() {
        let mut received = received(&(1..=1_000).collect::<Vec<u16>>());
        assert!(!received.reported(&report(800, 0)), "too long ago to know what had come by then");
        assert!(!received.reported(&report(30_000, 0)), "never sent");
        assert!(received.reported(&report(900, 0)));
        assert_eq!(received.far_end(), None, "one report covers nothing");
        assert!(!received.reported(&report(900, 0)), "said before");
        assert!(!received.reported(&report(890, 0)), "older");
        assert!(!received.reported(&Report { from: 9, ..report(950, 0) }), "another receiver");
        assert!(!received.reported(&report(950, 51)), "more lost than was sent");
        assert!(!received.reported(&report(7 << 16 | 960, 0)), "it counts anew");
        assert!(received.reported(&report(7 << 16 | 1_000, 2)));
        assert_eq!(received.far_end(), Some(FarEnd { expected: 40, lost: 2, missed: 0 }));
        for highest in [u32::MAX, 0, 1 << 31, 65_535] {
            for lost in [-(1 << 23), (1 << 23) - 1] {
                received.reported(&report(highest, lost));
            }
        }
        assert!(received.far_end().is_some_and(|far| far.lost <= far.expected && far.missed <= far.expected));
    }

    #[test]
    fn a_copy_is_told_by_what_was_seen() {
        let received = received(&[10, 11, 13]);
        assert_eq!(received.seen(13).map(|number| number as u16), Some(13));
        assert_eq!((received.seen(12), received.seen(14)), (None, None));
        assert!(received.is_ahead(14) && !received.is_ahead(13) && !received.is_ahead(40_000));
    }
}
