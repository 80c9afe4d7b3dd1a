//! Amounts over time that forget, and how long turns waited.

use std::time::Duration;

/// After this, an amount counts e times less.
const FORGETS: f64 = 30.0;

/// An amount a second, over the last half minute or so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    sum: f64,
    at: Duration,
    /// When the first amount came: before that, nothing was looked at.
    began: Option<Duration>,
}

impl Rate {
    pub(super) fn add(&mut self, amount: f64, now: Duration) {
        self.began.get_or_insert(now);
        self.sum = self.left(now) + amount;
        self.at = self.at.max(now);
    }

    pub(super) fn per_second(&self, now: Duration) -> f64 {
        // In the first half minute there is less to forget; in the first second there is too little to tell.
        let looked_at = self.began.map_or(FORGETS, |began| now.saturating_sub(began).as_secs_f64().max(1.0));
        self.left(now) / (FORGETS * (1.0 - (-looked_at / FORGETS).exp()))
    }

    fn left(&self, now: Duration) -> f64 {
        self.sum * (-now.saturating_sub(self.at).as_secs_f64() / FORGETS).exp()
    }
}

/// Times are told apart by a tenth: bucket n begins at 10 ms * 1.1^n.
const BUCKETS: usize = 96;
/// So much time goes into one count.
const SLICE: Duration = Duration::from_secs(10);
/// So many of them are kept: a minute.
const SLICES: usize = 6;

/// How long turns waited, over the last minute.
#[derive(Debug)]
pub(super) struct Waits {
    slices: [[u32; BUCKETS]; SLICES],
    /// The number, from the beginning of time, of the latest slice.
    latest: u64,
}

impl Default for Waits {
    fn default() -> Self {
        Self { slices: [[0; BUCKETS]; SLICES], latest: 0 }
    }
}

impl Waits {
    pub(super) fn add(&mut self, waited: Duration, now: Duration) {
        let slice = now.as_secs() / SLICE.as_secs();
        // What lies between is as empty as what begins.
        for passed in (self.latest + 1..=slice).rev().take(SLICES) {
            self.slices[passed as usize % SLICES] = [0; BUCKETS];
        }
        self.latest = self.latest.max(slice);
        let bucket = (waited.as_secs_f64().max(0.01) / 0.01).log(1.1) as usize;
        self.slices[slice as usize % SLICES][bucket.min(BUCKETS - 1)] += 1;
    }

    /// The times that these parts (0..1) of the turns stayed below.
    pub(super) fn quantiles<const N: usize>(&self, parts: [f64; N], now: Duration) -> [Option<Duration>; N] {
        let oldest = (now.as_secs() / SLICE.as_secs()).saturating_sub(SLICES as u64 - 1);
        let kept = (self.latest.saturating_sub(SLICES as u64 - 1)..=self.latest).filter(|slice| *slice >= oldest);
        let mut counts = [0u64; BUCKETS];
        for slice in kept {
            for (sum, count) in counts.iter_mut().zip(&self.slices[slice as usize % SLICES]) {
                *sum += u64::from(*count);
            }
        }
        let all: u64 = counts.iter().sum();
        parts.map(|part| {
            let mut below = 0;
            let bucket = counts.iter().position(|count| {
                below += count;
                below as f64 >= part * all as f64 && below > 0
            })?;
            Some(Duration::from_secs_f64(0.01 * 1.1f64.powi(bucket as i32 + 1)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_steady_rate_is_told_and_then_forgotten() {
        let mut rate = Rate::default();
        for second in 0..300 {
            rate.add(5.0, seconds(second));
        }
        assert!((rate.per_second(seconds(299)) - 5.0).abs() < 0.2);
        let mut young = Rate::default();
        (0..10).for_each(|second| young.add(5.0, seconds(second)));
        assert!((young.per_second(seconds(10)) - 5.0).abs() < 0.3, "{}", young.per_second(seconds(10)));
        assert!(rate.per_second(seconds(420)) < 0.1);
    }

    #[test]
    fn waits_are_told_to_a_tenth_and_forgotten_after_a_minute() {
        let mut waits = Waits::default();
        assert_eq!(waits.quantiles([0.5], seconds(0)), [None]);
        for turn in 0..100 {
            waits.add(Duration::from_millis(if turn < 90 { 500 } else { 2_000 }), seconds(turn / 10));
        }
        let [p50, p95] = waits.quantiles([0.5, 0.95], seconds(10)).map(Option::unwrap);
        assert!((0.5..0.56).contains(&p50.as_secs_f64()) && (2.0..2.21).contains(&p95.as_secs_f64()), "{p50:?} {p95:?}");
        waits.add(Duration::from_millis(100), seconds(69));
        let [p50] = waits.quantiles([0.5], seconds(69)).map(Option::unwrap);
        assert!(p50.as_secs_f64() < 0.12, "{p50:?}");
        assert_eq!(waits.quantiles([0.5], seconds(500)), [None]);
        waits.add(Duration::from_secs(1_000), seconds(600));
        assert!(waits.quantiles([0.5], seconds(600))[0].is_some());
    }
}
