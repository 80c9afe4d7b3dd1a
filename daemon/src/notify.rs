//! What systemd is told: READY when it is true, WATCHDOG only while every stage turns, STOPPING.

use std::time::Duration;

use crate::events::{Event, say};

/// Tells systemd; without systemd it does nothing.
fn tell(states: &[(&str, &str)]) {
    // Failing to reach the manager is the manager's business: its time-out says so.
    drop(systemd::daemon::notify(states.iter()));
}

/// Models are loaded, the source is open, the spool is writable.
pub(crate) fn ready(status: &str) {
    tell(&[("READY", "1"), ("STATUS", status)]);
}

/// Everything is read anew; [`ready`] follows.
pub(crate) fn reloading() {
    tell(&[("RELOADING", "1")]);
}

/// A clean stop has begun.
pub(crate) fn stopping() {
    tell(&[("STOPPING", "1")]);
}

/// Feeds the watchdog, if the unit has one, as long as each stage turned since the last look.
pub(crate) struct Watchdog<const N: usize> {
    period: Duration,
    last: Option<[u64; N]>,
    names: [&'static str; N],
}

impl<const N: usize> Watchdog<N> {
    /// With the stages' names, for the log.
    pub(crate) fn new(names: [&'static str; N]) -> Self {
        let micros = systemd::daemon::watchdog_enabled().unwrap_or(0);
        // Without a watchdog the stages are looked at all the same, and a stuck one is logged.
        let period = if micros > 0 { Duration::from_micros(micros / 2) } else { Duration::from_secs(30) };
        Self { period, last: None, names }
    }

    /// How often to look.
    pub(crate) const fn period(&self) -> Duration {
        self.period
    }

    /// One look.
    pub(crate) fn look(&mut self, turns: [u64; N]) {
        match self.stuck(turns) {
            Some(stage) => say(&Event::StageStuck { stage }),
            None => tell(&[("WATCHDOG", "1")]),
        }
    }

    fn stuck(&mut self, turns: [u64; N]) -> Option<&'static str> {
        let before = self.last.replace(turns)?;
        (0..N).find(|&stage| before[stage] == turns[stage]).map(|stage| self.names[stage])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stage_that_stands_still_is_enough() {
        let mut watchdog = Watchdog::new(["a", "b"]);
        assert_eq!(watchdog.stuck([0, 0]), None, "the first look knows nothing");
        assert_eq!(watchdog.stuck([1, 1]), None);
        assert_eq!(watchdog.stuck([2, 1]), Some("b"));
        assert_eq!(watchdog.stuck([3, 2]), None);
    }
}
