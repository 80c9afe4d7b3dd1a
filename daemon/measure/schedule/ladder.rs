//! The ladder: what is left out first, what last, and when a step is made.
//!
//! 1. [`Level::NoAgentWords`], 2. [`Level::SampledCalls`], 3. [`Level::VoiceActivity`], 4. [`Level::RtpStatistics`],
//! 5. [`Level::Signalling`]. Never left out: that a call began and ended, its row, the box's own health.
//!
//! A step down needs two seconds of strain without a break, and so does each further one. A step up needs half a minute of calm, in which what the
//! level above would add would have fitted; where a step up did not hold, the next one takes twice as long.

use std::time::Duration;

use sotto_private::Level;

/// Strain for so long is a step down.
const DOWN_AFTER: Duration = Duration::from_secs(2);
/// Calm for so long is a step up.
const UP_AFTER: Duration = Duration::from_secs(30);
/// A step up that is taken back within this did not hold.
const HOLDS_FOR: Duration = Duration::from_secs(60);
/// How often in a row the time before a step up is doubled: up to eight minutes.
const DOUBLED_AT_MOST: u32 = 4;

/// How the load looks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strain {
    /// Packets cannot be heard as fast as they come. Every step helps.
    pub(super) is_hearing: bool,
    /// Turns cannot be put into words as fast as they come. From [`Level::VoiceActivity`] on none is.
    pub(super) is_recognising: bool,
    /// There is room for what the level above would add.
    pub(super) is_calm: bool,
}

/// Where we stand.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    level: Level,
    entered: [u64; Level::ALL.len()],
    strained_since: Option<Duration>,
    calm_since: Option<Duration>,
    stepped_up: Option<Duration>,
    doubled: u32,
}

impl Ladder {
    pub(super) const fn level(&self) -> Level {
        self.level
    }

    /// How often each level was stepped down to.
    pub(super) const fn entered(&self) -> [u64; Level::ALL.len()] {
        self.entered
    }

    /// The new level, where there is one.
    pub(super) fn look(&mut self, now: Duration, strain: Strain) -> Option<Level> {
        let is_strained = strain.is_hearing || (strain.is_recognising && self.level < Level::VoiceActivity);
        self.strained_since = if is_strained { self.strained_since.or(Some(now)) } else { None };
        self.calm_since = if strain.is_calm && !is_strained { self.calm_since.or(Some(now)) } else { None };
        let has_lasted = |since: Option<Duration>, least: Duration| since.is_some_and(|since| now.saturating_sub(since) >= least);
        if has_lasted(self.strained_since, DOWN_AFTER) {
            let below = self.level.below()?;
            if self.stepped_up.take().is_some_and(|at| now.saturating_sub(at) < HOLDS_FOR) {
                self.doubled = (self.doubled + 1).min(DOUBLED_AT_MOST);
            }
            self.entered[below.index()] += 1;
            return Some(self.stand_at(below));
        }
        if has_lasted(self.stepped_up, HOLDS_FOR) {
            (self.stepped_up, self.doubled) = (None, 0);
        }
        if has_lasted(self.calm_since, UP_AFTER * 2u32.pow(self.doubled)) {
            let above = self.level.above()?;
            self.stepped_up = Some(now);
            return Some(self.stand_at(above));
        }
        None
    }

    fn stand_at(&mut self, level: Level) -> Level {
        (self.strained_since, self.calm_since) = (None, None);
        self.level = level;
        level
    }
}
