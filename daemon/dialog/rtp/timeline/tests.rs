use super::*;

const PACKET: i64 = 20_000;

fn wall(micros: i64) -> Wall {
    Wall::from_micros(1_700_000_000_000_000 + micros)
}

/// Places a packet of 20 ms that must not be in doubt; where it lies, microseconds.
fn at(timeline: &mut Timeline, timestamp: u32, arrival: i64) -> i64 {
    match timeline.place(timestamp, 8_000, wall(arrival), PACKET) {
        Placed::At(start) => start.since(wall(0)),
        Placed::Doubtful => panic!("{timestamp} at {arrival} is in doubt"),
    }
}

#[test]
fn jitter_does_not_move_the_sound() {
    let mut timeline = Timeline::default();
    for (number, jitter) in [0, 30_000, 5_000, 90_000, 12_000, 0, 150_000].into_iter().enumerate() {
        let number = number as i64;
        assert_eq!(at(&mut timeline, 4_000_000_000 + 160 * number as u32, PACKET * number + jitter), PACKET * number);
    }
}

#[test]
fn time_stamps_wrap_around() {
    let mut timeline = Timeline::default();
    for number in 0..100_000i64 {
        let timestamp = (u32::MAX - 8_000).wrapping_add(160 * number as u32);
        assert_eq!(at(&mut timeline, timestamp, PACKET * number), PACKET * number);
    }
}

#[test]
fn silence_suppression_leaves_a_gap_of_its_length() {
    let mut timeline = Timeline::default();
    assert_eq!(at(&mut timeline, 0, 0), 0);
    assert_eq!(at(&mut timeline, 160, PACKET), PACKET);
    // Three seconds of nothing; the packet after it is a little late, as packets are.
    assert_eq!(at(&mut timeline, 160 + 24_000, PACKET + 3_000_000 + 15_000), PACKET + 3_000_000);
    // The next pause ends before its media time: the sender's clock is ahead, and the pause absorbs it.
    assert_eq!(at(&mut timeline, 160 + 48_000, PACKET + 6_000_000 - 40_000), PACKET + 6_000_000 - 40_000);
    // Within speech such a step does not happen: only the drift's, by samples.
    assert_eq!(at(&mut timeline, 320 + 48_000, 2 * PACKET + 6_000_000 - 90_000), 2 * PACKET + 6_000_000 - 40_000);
}

#[test]
fn drift_does_not_add_up_over_an_hour() {
    for ppm in [-200i64, -100, 0, 100, 200] {
        let mut timeline = Timeline::default();
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut end = None;
        for number in 0..180_000i64 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let jitter = if number == 0 { 0 } else { (state % 10_000) as i64 };
            let sent = PACKET * number + PACKET * number * ppm / 1_000_000;
            let start = at(&mut timeline, 160 * number as u32, sent + jitter);
            assert!((start - sent).abs() < 6_000, "{ppm} ppm: {} us off after {number} packets", start - sent);
            if let Some(end) = end {
                let gap: i64 = start - end;
                assert!(gap.abs() <= STEP, "a step of {gap} us");
            }
            end = Some(start + PACKET);
        }
    }
}

#[test]
fn a_time_stamp_that_jumps_ahead_is_put_where_it_arrived() {
    let mut timeline = Timeline::default();
    assert_eq!(at(&mut timeline, 0, 0), 0);
    assert_eq!(at(&mut timeline, 1_000_000_000, PACKET), PACKET);
    assert_eq!(at(&mut timeline, 1_000_000_160, 2 * PACKET), 2 * PACKET);
}

#[test]
fn what_comes_far_behind_is_in_doubt_and_sound_never_overlaps() {
    let mut timeline = Timeline::default();
    assert_eq!(at(&mut timeline, 16_000, 0), 0);
    assert_eq!(timeline.place(16_160, 8_000, wall(PACKET + JUMP + 1), PACKET), Placed::Doubtful);
    assert_eq!(timeline.place(0, 8_000, wall(PACKET), PACKET), Placed::Doubtful, "a time stamp set back");
    // A burst: by the anchor as it is.
    assert_eq!(timeline.settle(16_160, 8_000, wall(PACKET + 500_000), PACKET), wall(PACKET));
    // A time stamp repeated: after what was said, not over it.
    assert_eq!(at(&mut timeline, 16_160, 2 * PACKET), 2 * PACKET);
    assert_eq!(timeline.end(), wall(3 * PACKET));
}

#[test]
fn each_codec_counts_by_its_own_clock() {
    for (clock, units) in [(8_000u32, 160u32), (16_000, 320), (44_100, 882), (48_000, 960)] {
        let mut timeline = Timeline::default();
        for number in 0..2_000i64 {
            let timestamp = (u32::MAX - 5_000).wrapping_add(units * number as u32);
            assert_eq!(timeline.place(timestamp, clock, wall(PACKET * number), PACKET), Placed::At(wall(PACKET * number)), "{clock}");
        }
    }
}

#[test]
fn another_clock_in_the_middle_goes_on_where_the_sound_ended() {
    let mut timeline = Timeline::default();
    for number in 0..10 {
        timeline.place(160 * number, 8_000, wall(PACKET * i64::from(number)), PACKET);
    }
    // The time stamp starts anew, or goes on, or counts what has passed by the new rate: it says nothing.
    assert_eq!(timeline.place(77, 48_000, wall(10 * PACKET + 9_000), PACKET), Placed::At(wall(10 * PACKET)));
    assert_eq!(timeline.place(77 + 960, 48_000, wall(11 * PACKET), PACKET), Placed::At(wall(11 * PACKET)));
    // Back again, after a second of silence.
    assert_eq!(timeline.place(1_760, 8_000, wall(62 * PACKET), PACKET), Placed::At(wall(62 * PACKET)));
    assert_eq!(timeline.place(1_920, 8_000, wall(63 * PACKET), PACKET), Placed::At(wall(63 * PACKET)));
}
