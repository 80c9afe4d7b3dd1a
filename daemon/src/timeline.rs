//! A time line that never jumps, for the stamps of packets: the kernel stamps them with the wall clock, which somebody may set while calls
//! run, or which stands in 1970 until a time server was reached. No clock is read here.

/// The wall clock may differ by so much from the line before it counts as having jumped, microseconds.
const SLACK_MICROS: i64 = 2_000_000;

/// Where the line stands. All times are microseconds; `wall` since 1970, `monotonic` since whenever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    /// The line's time less the monotonic clock's.
    offset: i64,
}

impl Timeline {
    /// Begins at the wall clock, or at the latest time that was believed where the wall clock is behind it.
    pub(crate) const fn new(floor: i64, wall: i64, monotonic: i64) -> Self {
        let start = if wall < floor { floor } else { wall };
        Self { offset: start - monotonic }
    }

    /// What must be added to a stamp of the wall clock. Where it may, as no call runs and the wall clock is believed, the line follows that
    /// one, so that what begins later is dated right.
    pub(crate) const fn shift(&mut self, wall: i64, monotonic: i64, may_follow: bool) -> i64 {
        let ahead = monotonic + self.offset - wall;
        if may_follow {
            self.offset = wall - monotonic;
            return 0;
        }
        if ahead.abs() > SLACK_MICROS { ahead } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;
    const NOW: i64 = 1_790_000_000 * S;

    #[test]
    fn a_jump_within_a_call_moves_no_stamp() {
        let mut line = Timeline::new(0, NOW, 5 * S);
        assert_eq!(line.shift(NOW + 60 * S, 65 * S, false), 0);
        for jump in [-3_600 * S, 10 * 365 * 86_400 * S] {
            // A packet that came now is stamped by the clock that jumped; its time on the line is the one it would have had.
            let stamp = NOW + 90 * S + jump;
            assert_eq!(stamp + line.shift(stamp, 95 * S, false), NOW + 90 * S);
        }
        // When no call runs the new time is taken over, and no stamp moves any more.
        let late = NOW + 7_200 * S;
        assert_eq!(line.shift(late, 100 * S, true), 0);
        assert_eq!(line.shift(late + S, 101 * S, false), 0);
    }

    #[test]
    fn a_box_that_wakes_in_1970_dates_behind_what_it_has_seen() {
        let mut line = Timeline::new(NOW, 7 * S, 20 * S);
        for second in 0..3 {
            assert_eq!((7 + second) * S + line.shift((7 + second) * S, (20 + second) * S, false), NOW + second * S);
        }
        // A time server is reached in the middle of a call: the call goes on as if nothing had been.
        let set = NOW + 86_400 * S;
        assert_eq!(set + line.shift(set, 30 * S, false), NOW + 10 * S);
        assert_eq!(line.shift(set + S, 31 * S, true), 0);
    }
}
