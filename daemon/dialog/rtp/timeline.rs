//! Where a packet's sound lies on the wall clock.
//!
//! RTP's time stamp counts units of the codec's clock from a random start, by the sender's time. The arrival of the first packet anchors it;
//! from then on position is media time, so that jitter does not move the sound and silence suppression leaves a gap of the
//! right length. Five things move the anchor:
//!
//! - *Drift.* A packet can be late and never early, so the smallest delay over some seconds shows how far the sender's clock and
//!   ours have parted. The anchor follows it by one sample a packet at most: no error adds up over an hour, and no step is heard.
//! - *Early after a pause.* What arrives before its predicted time after a gap proves the anchor late; it moves at once, into the gap.
//! - *A jump forward* of the time stamp by more than 200 ms beyond the arrival: the same, at once.
//! - *Another clock rate*, with another codec in the middle of a stream. Senders differ in what they do with the time stamp then
//!   (RFC 7160 section 3), so it says nothing: the sound goes on where it ended, or lies where it arrived if that is elsewhere.
//! - *Arrival more than 200 ms behind* the prediction: either the network held packets back, and they now come in a burst, or the
//!   sender's clock stood still or was set back. The first few packets tell which; until then they are in doubt.

use sotto_private::Wall;

/// Media and arrival may part by this much, microseconds.
const JUMP: i64 = 200_000;
/// A pause is a gap of at least this much, microseconds.
const PAUSE: i64 = 40_000;
/// The step by which the anchor follows drift, microseconds: one sample at 8 kHz.
const STEP: i64 = 125;
/// Drift below this is left alone, microseconds.
const DEAD_BAND: i64 = 1_000;
/// Packets over which the smallest delay is taken: about five seconds.
const WINDOW: u32 = 256;

/// The answer to [`Timeline::place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    At(Wall),
    /// Far behind its prediction: burst or jump, later packets will tell.
    Doubtful,
}

/// One source's mapping from RTP time stamps to the wall clock.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// Where position 0 of the extended time stamp lies, microseconds; `None` before the first packet.
    anchor: Option<i64>,
    /// Units of the time stamp in a second; 0 before the first packet.
    clock: u32,
    /// The last placed time stamp, as it was and extended to 64 bits.
    last: u32,
    extended: i64,
    /// Where the sound placed last ends, microseconds.
    end: i64,
    /// Smallest delay of this window and of the one before.
    smallest: [Option<i64>; 2],
    packets: u32,
}

impl Timeline {
    /// A timeline whose first sound does not lie before `end`: that of the source before it.
    pub(crate) fn after(end: Wall) -> Self {
        Self { end: end.micros, ..Self::default() }
    }

    /// Where the sound placed last ends.
    pub(crate) const fn end(&self) -> Wall {
        Wall::from_micros(self.end)
    }

    /// Places a packet; packets come in the order of their sequence numbers. `micros` is how long its sound lasts,
    /// `clock` what its time stamp counts in a second.
    pub(crate) fn place(&mut self, timestamp: u32, clock: u32, arrival: Wall, micros: i64) -> Placed {
        let Some(start) = self.predicted(timestamp).filter(|_| clock == self.clock) else {
            return Placed::At(self.settle(timestamp, clock, arrival, micros));
        };
        let delay = arrival.micros.saturating_sub(start);
        if delay > JUMP {
            return Placed::Doubtful;
        }
        let after_pause = start.saturating_sub(self.end) > PAUSE;
        if delay < -JUMP || (delay < 0 && after_pause) {
            self.rebase(timestamp, clock, arrival);
        }
        Placed::At(self.settle(timestamp, clock, arrival, micros))
    }

    /// Places a packet by the anchor as it is, however late it came.
    pub(crate) fn settle(&mut self, timestamp: u32, clock: u32, arrival: Wall, micros: i64) -> Wall {
        if self.anchor.is_none() {
            self.rebase(timestamp, clock, arrival);
        } else if clock != self.clock {
            let behind = arrival.micros.saturating_sub(self.end);
            let is_in_place = (-JUMP..=PAUSE).contains(&behind);
            self.rebase(timestamp, clock, if is_in_place { Wall::from_micros(self.end) } else { arrival });
        }
        let extended = self.extend(timestamp);
        let position = self.micros(extended);
        let anchor = self.anchor.get_or_insert(0);
        let mut start = anchor.saturating_add(position);
        // Sound cannot lie in what was already said; one millisecond is the room that drift needs.
        if start < self.end.saturating_sub(DEAD_BAND) {
            *anchor = anchor.saturating_add(self.end.saturating_sub(start));
            start = self.end;
        }
        self.last = timestamp;
        self.extended = extended;
        self.end = start.saturating_add(micros);
        self.follow(arrival.micros.saturating_sub(start));
        Wall::from_micros(start)
    }

    /// How far behind its prediction a packet came, microseconds.
    pub(crate) fn delay(&self, timestamp: u32, clock: u32, arrival: Wall) -> i64 {
        self.predicted(timestamp).filter(|_| clock == self.clock).map_or(0, |start| arrival.micros.saturating_sub(start))
    }

    /// Whether a time stamp lies before the one placed last.
    pub(crate) fn is_behind(&self, timestamp: u32) -> bool {
        self.anchor.is_some() && (timestamp.wrapping_sub(self.last) as i32) < 0
    }

    /// Whether a delay is one that [`Timeline::place`] takes without doubt.
    pub(crate) const fn is_plausible(delay: i64) -> bool {
        delay <= JUMP
    }

    /// Sets the anchor so that this packet lies where it arrived.
    pub(crate) fn rebase(&mut self, timestamp: u32, clock: u32, arrival: Wall) {
        if self.anchor.is_none() || clock != self.clock {
            // The first time stamp is random (RFC 3550 section 5.1): it becomes position 0.
            (self.last, self.extended, self.clock) = (timestamp, 0, clock);
        }
        let position = self.micros(self.extend(timestamp));
        self.anchor = Some(arrival.micros.saturating_sub(position));
        self.smallest = [None; 2];
        self.packets = 0;
    }

    fn predicted(&self, timestamp: u32) -> Option<i64> {
        self.anchor.map(|anchor| anchor.saturating_add(self.micros(self.extend(timestamp))))
    }

    /// From the clock's units to microseconds.
    const fn micros(&self, units: i64) -> i64 {
        if self.clock == 8_000 {
            // By far the most; a division takes longer than all the rest.
            return units.saturating_mul(125);
        }
        let clock = if self.clock == 0 { 1 } else { self.clock as i64 };
        (units / clock).saturating_mul(1_000_000).saturating_add(units % clock * 1_000_000 / clock)
    }

    fn extend(&self, timestamp: u32) -> i64 {
        self.extended + i64::from(timestamp.wrapping_sub(self.last) as i32)
    }

    fn follow(&mut self, delay: i64) {
        let [current, before] = &mut self.smallest;
        *current = Some(current.map_or(delay, |smallest| smallest.min(delay)));
        self.packets += 1;
        if self.packets == WINDOW {
            *before = current.take();
            self.packets = 0;
        }
        let Some(before) = self.smallest[1] else { return };
        let smallest = self.smallest[0].map_or(before, |current| current.min(before));
        let step = if smallest > DEAD_BAND {
            STEP
        } else if smallest < -DEAD_BAND {
            -STEP
        } else {
            return;
        };
        self.anchor = self.anchor.map(|anchor| anchor.saturating_add(step));
        self.smallest = self.smallest.map(|smallest| smallest.map(|smallest| smallest - step));
    }
}

#[cfg(test)]
mod tests;
