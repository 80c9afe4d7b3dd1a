use super::*;

fn list(pairs: &[(u32, u32)]) -> Vec<Segment> {
    pairs
        .iter()
        .map(|&(start, end)| Segment::new(start, end))
        .collect()
}

#[test]
fn pauses_under_half_a_second_are_talk() {
    assert_eq!(
        bridge(list(&[(2_100, 3_000), (0, 1_000), (1_499, 1_600)])),
        list(&[(0, 1_600), (2_100, 3_000)])
    );
    assert_eq!(
        bridge(list(&[(0, 5_000), (1_000, 2_000), (5_499, 5_600)])),
        list(&[(0, 5_600)])
    );
}

#[test]
fn frames_45_decibels_under_the_loudest_are_silence() {
    let level = |decibels: f64| vec![crate::sound::factor(decibels); 80];
    let samples = [
        level(-20.0 - 45.5),
        level(-20.0 - 44.5),
        level(-20.0),
        level(-90.0),
    ]
    .concat();
    assert_eq!(active_frames(&samples), [1, 2]);
    assert_eq!(active_frames(&[0.0; 800]), [0_usize; 0]);
}

/// A call of 60 s, counted by hand.
///
/// ```text
/// agent     0-10 s                     20-30 s          45-50 s
/// customer          10.4-19 s    25-26.5 s | 28-28.6 s                55-56 s
/// hold                                            32-40 s
/// ```
#[test]
fn a_call_counted_by_hand() {
    let agent = list(&[(0, 10_000), (20_000, 30_000), (45_000, 50_000)]);
    let customer = list(&[
        (10_400, 19_000),
        (25_000, 26_500),
        (28_000, 28_600),
        (55_000, 56_000),
    ]);
    let holds = list(&[(32_000, 40_000)]);
    assert_eq!(total_ms(&agent), 25_000);
    assert_eq!(total_ms(&customer), 8_600 + 1_500 + 600 + 1_000);
    assert_eq!(overlap_ms(&agent, &customer), 1_500 + 600);
    assert_eq!(interruptions(&customer, &agent), (1, 1));
    assert_eq!(interruptions(&agent, &customer), (0, 0));
    // 30 to 32 s is too short, the hold is cut out, 40 to 45 s, 50 to 55 s and 56 to 60 s are left.
    assert_eq!(
        non_talk(&agent, &customer, &holds, 60_000),
        list(&[(40_000, 45_000), (50_000, 55_000), (56_000, 60_000)])
    );
}

/// Each bound of the interruption rule, from both sides.
#[test]
fn an_interruption_needs_all_three() {
    let over = list(&[(1_000, 5_000)]);
    let one = |start, end| interruptions(&list(&[(start, end)]), &over);
    assert_eq!(one(1_500, 2_500), (1, 0));
    assert_eq!(one(1_499, 2_500), (0, 0), "the other has only just begun");
    assert_eq!(one(4_700, 5_700), (1, 0));
    assert_eq!(one(4_701, 5_701), (0, 0), "the other was about to end");
    assert_eq!(one(2_000, 2_999), (0, 1), "a backchannel");
}

#[test]
fn exactly_three_seconds_are_no_silence_yet() {
    let talk = list(&[(0, 1_000), (4_000, 5_000)]);
    assert_eq!(non_talk(&talk, &[], &[], 8_001), list(&[(5_000, 8_001)]));
}
