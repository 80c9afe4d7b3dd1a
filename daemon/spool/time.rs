//! What the clock is believed. A box without a clock of its own wakes in 1970; a clock that is set wrong and then right jumps to and fro.
//! Order is by number and durations are counted by other clocks: the wall clock only dates rows and ends their keeping.

use crate::{Spool, SpoolError, View};

/// Between two looks the wall clock may differ by so much from the one that never jumps.
const SLACK_MS: i64 = 5_000;

/// What is deleted because of the time is deleted only when the clock has run so long without a jump: a clock that was set years ahead by
/// mistake must not end the keeping of everything before somebody has set it right.
const STEADY_AFTER_MS: i64 = 10 * 60_000;

/// A box may have been off for so long. A clock that shows more at the start has to prove itself first.
const OFF_AT_MOST_MS: i64 = 31 * 86_400_000;

/// 2026-01-01: no clock that is right shows less to this program.
const NOT_BEFORE_MS: i64 = 1_767_225_600_000;

/// The wall clock beside a clock that never jumps.
#[derive(Clone, Copy, Debug)]
pub struct Timekeeper {
    floor_ms: i64,
    last: Option<Look>,
    steady_since_ms: i64,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    wall_ms: i64,
    monotonic_ms: i64,
}

/// What a look at the clocks shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// By how much the wall clock jumped since the look before, milliseconds; back is negative. `None` where it did not.
    pub jumped_ms: Option<i64>,
    /// Whether it has run long enough without a jump to be believed, and shows no time that cannot be.
    pub is_steady: bool,
}

impl Timekeeper {
    /// Begins where the spool's time was left ([`View::time_floor`]; 0 where it never was noted).
    #[must_use]
    pub const fn new(floor_ms: i64) -> Self {
        Self { floor_ms, last: None, steady_since_ms: 0 }
    }

    /// Looks at both clocks, milliseconds. The first look is believed where it is not too far from where the time was left: whoever was off
    /// for weeks has much to delete.
    pub const fn look(&mut self, wall_ms: i64, monotonic_ms: i64) -> Reading {
        let before = self.last.replace(Look { wall_ms, monotonic_ms });
        let Some(before) = before else {
            let is_near = self.floor_ms == 0 || (wall_ms >= self.floor_ms && wall_ms - self.floor_ms < OFF_AT_MOST_MS);
            self.steady_since_ms = if is_near { monotonic_ms.saturating_sub(STEADY_AFTER_MS) } else { monotonic_ms };
            return Reading { jumped_ms: None, is_steady: is_near && wall_ms >= NOT_BEFORE_MS };
        };
        let drift = wall_ms.saturating_sub(before.wall_ms).saturating_sub(monotonic_ms.saturating_sub(before.monotonic_ms));
        let jumped_ms = if drift.abs() > SLACK_MS { Some(drift) } else { None };
        if jumped_ms.is_some() {
            self.steady_since_ms = monotonic_ms;
        }
        let is_steady = monotonic_ms.saturating_sub(self.steady_since_ms) >= STEADY_AFTER_MS && wall_ms >= NOT_BEFORE_MS;
        Reading { jumped_ms, is_steady }
    }
}

impl View {
    /// The latest time that was believed, milliseconds since 1970. A clock that shows less at the start is behind, most likely.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn time_floor(&self) -> Result<i64, SpoolError> {
        self.connection.query_row("SELECT time_floor_ms FROM spool", [], |row| row.get(0)).map_err(SpoolError::of("reading the time floor"))
    }
}

impl Spool {
    /// Remembers a time that is believed (0 for none), and how often the clock jumped since the call before. Call it about once a minute. A
    /// clock that was ahead for long, and believed, and is right again, is believed again: the floor follows it back.
    ///
    /// # Errors
    /// It could not be written.
    pub fn note_time(&mut self, now_ms: i64, jumps: u64) -> Result<(), SpoolError> {
        self.durable("noting the time", |transaction| {
            transaction.execute("UPDATE spool SET time_floor_ms = iif(?1 > 0, ?1, time_floor_ms), clock_jumps = clock_jumps + ?2", rusqlite::params![now_ms, jumps]).map(drop)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_seen_and_the_clock_is_believed_again_after_ten_minutes() {
        const WALL: i64 = 1_790_000_000_000;
        let mut keeper = Timekeeper::new(WALL - 86_400_000);
        assert_eq!(keeper.look(WALL, 5), Reading { jumped_ms: None, is_steady: true });
        // A clock that is slewed is no clock that jumps.
        assert_eq!(keeper.look(WALL + 60_400, 60_005), Reading { jumped_ms: None, is_steady: true });
        let years = 10 * 365 * 86_400_000;
        assert_eq!(keeper.look(WALL + 120_400 + years, 120_005), Reading { jumped_ms: Some(years), is_steady: false });
        for minute in 3..12 {
            assert!(!keeper.look(WALL + years + minute * 60_000 + 400, minute * 60_000 + 5).is_steady, "{minute}");
        }
        assert!(keeper.look(WALL + years + 12 * 60_000 + 400, 12 * 60_000 + 5).is_steady);
        assert_eq!(keeper.look(WALL + 13 * 60_000 + 400, 13 * 60_000 + 5), Reading { jumped_ms: Some(-years), is_steady: false });
    }

    #[test]
    fn a_start_far_from_where_the_time_was_left_is_not_believed_at_once() {
        const DAY: i64 = 86_400_000;
        const LEFT: i64 = 1_790_000_000_000;
        for (floor, wall, is_steady, is_ever) in [(0, LEFT, true, true), (LEFT, LEFT + 20 * DAY, true, true), (LEFT, LEFT + 4_000 * DAY, false, true), (LEFT, LEFT - DAY, false, true), (LEFT, 7, false, false), (0, 7, false, false)] {
            let mut keeper = Timekeeper::new(floor);
            assert_eq!(keeper.look(wall, 5).is_steady, is_steady, "{floor} {wall}");
            assert_eq!(keeper.look(wall + STEADY_AFTER_MS, 5 + STEADY_AFTER_MS).is_steady, is_ever, "{floor} {wall}");
        }
    }
}
