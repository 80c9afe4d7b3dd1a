//! From stretches of talk to numbers. All times here are milliseconds on the call's common line, 0 at the answer.

use sotto_charter::thresholds::{BACKCHANNEL_MS, INTERRUPTED_SINCE_MS, INTERRUPTED_STILL_MS, NON_TALK_GAP_MS};

/// From, to.
pub(crate) type Span = (i64, i64);

/// Sum of the spans' lengths.
pub(crate) fn total(spans: &[Span]) -> i64 {
    spans.iter().map(|(start, end)| end - start).sum()
}

/// How often `by` cut in on `on`: a stretch of `by`, no backchannel, that begins while `on` has been talking for a while and goes
/// on talking for a while. The thresholds are published.
pub(crate) fn interruptions(by: &[Span], on: &[Span]) -> u32 {
    let cuts_in = |&(start, end): &Span| {
        let running = on.iter().find(|(on_start, on_end)| *on_start <= start && start < *on_end);
        end - start >= i64::from(BACKCHANNEL_MS)
            && running.is_some_and(|(on_start, on_end)| {
                start - on_start >= i64::from(INTERRUPTED_SINCE_MS) && on_end - start >= i64::from(INTERRUPTED_STILL_MS)
            })
    };
    by.iter().filter(|span| cuts_in(span)).count() as u32
}

/// The time in which both talk.
pub(crate) fn overlap(a: &[Span], b: &[Span]) -> i64 {
    let (mut at_a, mut at_b, mut sum) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(at_a), b.get(at_b)) {
        sum += (x.1.min(y.1) - x.0.max(y.0)).max(0);
        if x.1 <= y.1 { at_a += 1 } else { at_b += 1 }
    }
    sum
}

/// The gaps over the published length in which neither talks, within the call and outside hold.
pub(crate) fn silences(a: &[Span], b: &[Span], holds: &[Span], duration: i64) -> Vec<Span> {
    let mut busy: Vec<Span> = a.iter().chain(b).chain(holds).copied().collect();
    busy.push((duration, duration));
    busy.sort_unstable();
    let mut gaps = Vec::new();
    let mut quiet_since = 0;
    for (start, end) in busy {
        if start.min(duration) - quiet_since > i64::from(NON_TALK_GAP_MS) {
            gaps.push((quiet_since, start.min(duration)));
        }
        quiet_since = quiet_since.max(end);
    }
    gaps
}

/// The longest stretch.
pub(crate) fn longest(spans: &[Span]) -> i64 {
    spans.iter().map(|(start, end)| end - start).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_is_no_backchannel_and_no_handover() {
        let on = [(0, 5_000)];
        assert_eq!(interruptions(&[(2_000, 4_000)], &on), 1);
        assert_eq!(interruptions(&[(2_000, 2_900)], &on), 0, "a backchannel");
        assert_eq!(interruptions(&[(400, 3_000)], &on), 0, "both began");
        assert_eq!(interruptions(&[(4_800, 7_000)], &on), 0, "a handover");
        assert_eq!(interruptions(&[(5_000, 7_000)], &on), 0, "afterwards");
    }

    #[test]
    fn overlap_counts_common_time_once() {
        assert_eq!(overlap(&[(0, 1_000), (2_000, 3_000)], &[(500, 2_500)]), 1_000);
        assert_eq!(overlap(&[(0, 1_000)], &[(1_000, 2_000)]), 0);
    }

    #[test]
    fn gaps_over_three_seconds_outside_hold() {
        let gaps = silences(&[(1_000, 2_000)], &[(10_000, 11_000)], &[(12_000, 20_000)], 26_000);
        assert_eq!(gaps, [(2_000, 10_000), (20_000, 26_000)]);
        assert_eq!(silences(&[], &[], &[], 3_000), [], "three seconds are not over three seconds");
        assert_eq!(silences(&[(0, 500)], &[], &[(1_000, 60_000)], 61_000), []);
    }
}
