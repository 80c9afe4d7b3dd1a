use super::*;
use crate::rtp::{Kind, kind};

const PCMU: Coding = Coding::Sound(Codec::Pcmu, Encoding::Pcmu);

/// A leg and all that came of it.
struct Bench {
    leg: Leg,
    out: VecDeque<Output>,
    counters: Counters,
    limits: Limits,
    answered: Option<Wall>,
    number: u64,
    trust: Trust,
}

/// Where the leg's own source sends from.
const OWN: &str = "192.0.2.1:4000";

impl Bench {
    fn new() -> Self {
        let (out, counters, limits) = (VecDeque::new(), Counters::default(), Limits::default());
        Self { leg: Leg::default(), out, counters, limits, answered: Some(wall(0)), number: 0, trust: Trust::Named }
    }

    fn with<T>(&mut self, act: impl FnOnce(Leg, &mut Sink<'_>) -> (Leg, T)) -> T {
        let mut sink = Sink {
            call: Call(1),
            side: Side::Calling,
            answered: self.answered,
            out: &mut self.out,
            counters: &mut self.counters,
            limits: &self.limits,
        };
        let (leg, result) = act(std::mem::take(&mut self.leg), &mut sink);
        self.leg = leg;
        result
    }

    /// A packet of 20 ms, number `sequence` since the start in time stamp too, arriving then.
    fn push(&mut self, ssrc: u32, sequence: u32, arrival: i64, coding: Coding) {
        self.raw(ssrc, sequence as u16, sequence.wrapping_mul(160), arrival, coding, "192.0.2.1:4000");
    }

    fn raw(&mut self, ssrc: u32, sequence: u16, timestamp: u32, arrival: i64, coding: Coding, from: &str) {
        self.bytes(ssrc, sequence, timestamp, arrival, coding, from, &[sequence as u8; 160]);
    }

    #[expect(clippy::too_many_arguments)]
    fn bytes(&mut self, ssrc: u32, sequence: u16, timestamp: u32, arrival: i64, coding: Coding, from: &str, payload: &[u8]) {
        self.number += 1;
        let mut bytes = vec![0x80, 0];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend(payload);
        let datagram = Datagram::new(wall(arrival), self.number, from.parse().unwrap(), "192.0.2.2:5000".parse().unwrap(), bytes);
        let Kind::Rtp(header) = kind(datagram.payload()) else { panic!() };
        let trust = self.trust;
        self.with(|mut leg, sink| {
            leg.push(datagram, header, coding, trust, sink);
            (leg, ())
        });
    }

    fn advance(&mut self, now: i64) {
        self.with(|mut leg, sink| {
            leg.advance(wall(now), sink);
            (leg, ())
        });
    }

    fn finish(&mut self) -> Option<StreamFacts> {
        self.with(|leg, sink| (Leg::default(), leg.finish(sink)))
    }

    /// First byte of each piece (its sequence number's low byte) and where it starts, in units of 20 ms.
    fn heard(&mut self) -> Vec<(u8, i64)> {
        let audio = self.out.drain(..).map(|output| match output {
            Output::Audio(audio) => audio,
            Output::Event(event) => panic!("{event:?}"),
        });
        audio.map(|audio| (audio.payload()[0], audio.start.since(wall(0)) / 20_000)).collect()
    }

    /// The sequence numbers alone.
    fn order(&mut self) -> Vec<u8> {
        self.heard().into_iter().map(|(number, _)| number).collect()
    }
}

fn wall(micros: i64) -> Wall {
    Wall::from_micros(1_700_000_000_000_000 + micros)
}

#[test]
fn packets_on_probation_are_not_lost() {
    let mut bench = Bench::new();
    bench.push(7, 1, 20_000, PCMU);
    assert_eq!(bench.heard(), [], "one packet proves nothing");
    bench.push(7, 2, 40_000, PCMU);
    assert_eq!(bench.heard(), [(1, 1), (2, 2)]);
    bench.push(7, 3, 60_000, PCMU);
    assert_eq!(bench.heard(), [(3, 3)]);
    let facts = bench.finish().unwrap();
    assert_eq!((facts.packets, facts.lost, facts.reordered, facts.duplicated, facts.codec), (3, 0, 0, 0, Codec::Pcmu));
}

#[test]
fn a_lone_packet_is_no_stream() {
    let mut bench = Bench::new();
    bench.push(7, 1, 20_000, PCMU);
    assert!(bench.finish().is_none());
    assert_eq!(bench.counters.rtp_probation, 1);
}

#[test]
fn order_is_restored_doubles_go_and_loss_is_waited_for_100_ms() {
    let mut bench = Bench::new();
    for number in [1, 2, 4, 3, 3, 5, 7] {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
    }
    assert_eq!(bench.order(), [1, 2, 3, 4, 5]);
    bench.advance(7 * 20_000 + 99_000);
    assert_eq!(bench.order(), []);
    bench.advance(7 * 20_000 + 100_000);
    assert_eq!(bench.heard(), [(7, 7)], "the gap stays where the loss was");
    // What comes now is too late to be heard, and is not lost either.
    bench.push(7, 6, 260_000, PCMU);
    assert_eq!(bench.order(), []);
    let facts = bench.finish().unwrap();
    assert_eq!((facts.packets, facts.lost, facts.reordered, facts.duplicated), (7, 0, 2, 1));
    assert_eq!((bench.counters.rtp_late, bench.counters.rtp_duplicated), (1, 1));
}

#[test]
fn a_full_reorder_buffer_gives_up_on_what_is_missing() {
    let mut bench = Bench::new();
    bench.push(7, 1, 0, PCMU);
    bench.push(7, 2, 0, PCMU);
    for number in 4..=20 {
        bench.push(7, number, 0, PCMU);
    }
    assert_eq!(bench.order(), [1, 2].into_iter().chain(4..=20).collect::<Vec<u8>>());
    assert_eq!(bench.finish().unwrap().lost, 1);
}

#[test]
fn loss_is_counted_through_the_wrap_of_both_numbers() {
    let mut bench = Bench::new();
    let (mut sent, mut lost) = (0u64, 0u64);
    for number in 65_000u32..140_000 {
        let arrival = i64::from(number) * 20_000;
        if number.is_multiple_of(33) && number > 65_010 {
            lost += 1;
        } else {
            sent += 1;
            bench.raw(7, number as u16, number.wrapping_mul(160).wrapping_add(u32::MAX - 11_000_000), arrival, PCMU, "192.0.2.1:4000");
        }
    }
    let facts = bench.finish().unwrap();
    assert_eq!((facts.packets, facts.lost), (sent, lost));
    let heard = bench.heard();
    assert_eq!(heard.len() as u64, sent);
    assert!(heard.iter().all(|(number, start)| *number == *start as u8), "every piece lies where it was spoken");
}

#[test]
fn a_second_source_beside_the_first_is_not_heard() {
    let mut bench = Bench::new();
    for number in 1..50 {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
        bench.push(8, number + 100, 20_000 * i64::from(number) + 5_000, PCMU);
    }
    assert_eq!(bench.order(), (1..50).collect::<Vec<u8>>());
    let facts = bench.finish().unwrap();
    assert_eq!((facts.packets, facts.lost, facts.foreign), (49, 0, 49));
    assert_eq!(bench.counters.rtp_other_source, 49);
}

#[test]
fn a_source_that_takes_over_is_heard_from_its_first_packet() {
    let mut bench = Bench::new();
    for number in 1..=10 {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
    }
    for number in 11..=40 {
        bench.raw(9, 30_000 + number as u16, 77_777 + number * 160, 20_000 * i64::from(number), PCMU, "192.0.2.1:4000");
    }
    let heard = bench.heard();
    assert_eq!(heard.iter().map(|(_, start)| *start).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    let facts = bench.finish().unwrap();
    assert_eq!((facts.packets, facts.lost, facts.foreign), (40, 0, 0));
}

#[test]
fn a_source_that_talked_beside_the_own_one_is_heard_after_half_a_minute_of_silence_and_gives_way_at_once() {
    let mut bench = Bench::new();
    for number in 1..=20 {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
        bench.push(8, number + 100, 20_000 * i64::from(number) + 5_000, PCMU);
    }
    for number in 21..=1_550 {
        bench.push(8, number + 100, 20_000 * i64::from(number) + 5_000, PCMU);
    }
    let heard = bench.heard();
    let after: Vec<i64> = heard.iter().map(|(_, start)| *start).filter(|start| *start > 20).collect();
    assert_eq!((heard.len() - after.len(), after.len()), (20, 94), "the own one, and 30 packets after the half minute with the 64 kept");
    // The own source is back: it does not wait.
    for number in 1_551..=1_560 {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
        bench.push(8, number + 100, 20_000 * i64::from(number) + 5_000, PCMU);
    }
    assert_eq!(bench.order().len(), 9 + 1, "the own one has proven itself by its second packet, and the other had one more until then");
    assert!(bench.finish().unwrap().foreign > 1_400);
}

#[test]
fn after_a_new_offer_the_next_source_need_not_wait() {
    let mut bench = Bench::new();
    bench.push(7, 1, 20_000, PCMU);
    bench.push(7, 2, 40_000, PCMU);
    bench.leg.renegotiate();
    bench.push(9, 3, 60_000, PCMU);
    bench.push(9, 4, 80_000, PCMU);
    assert_eq!(bench.order(), [1, 2, 3, 4]);
}

#[test]
fn the_same_source_may_restart_its_numbers() {
    let mut bench = Bench::new();
    for number in 1..=5 {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
    }
    bench.raw(7, 40_000, 6 * 160, 120_000, PCMU, "192.0.2.1:4000");
    assert_eq!(bench.order(), [1, 2, 3, 4, 5], "one stray packet is held");
    for number in 7..=40u32 {
        bench.raw(7, 39_994 + number as u16, number * 160, 20_000 * i64::from(number), PCMU, "192.0.2.1:4000");
        assert!(number > 19 || bench.out.is_empty(), "not before the old numbers have been silent for 300 ms");
    }
    assert_eq!(bench.heard().iter().map(|(_, start)| *start).collect::<Vec<_>>(), (6..=40).collect::<Vec<_>>());
    let facts = bench.finish().unwrap();
    assert_eq!((facts.packets, facts.lost, facts.foreign), (40, 0, 0));
}

#[test]
fn a_burst_after_a_stall_keeps_its_place_and_a_clock_set_back_does_not() {
    let mut bench = Bench::new();
    for number in 1..=5 {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
    }
    // Half a second of nothing, then all of it within milliseconds.
    for number in 6..=30 {
        bench.push(7, number, 600_000 + 100 * i64::from(number), PCMU);
    }
    bench.push(7, 31, 620_000, PCMU);
    assert_eq!(bench.heard(), (1..=31).map(|number| (number as u8, number)).collect::<Vec<_>>());
    // Now the sender starts its clock anew, after a second of silence.
    for number in 32..=50u32 {
        bench.raw(7, number as u16, (number - 32) * 160, 20_000 * i64::from(number) + 1_000_000, PCMU, "192.0.2.1:4000");
    }
    bench.advance(5_000_000);
    assert_eq!(bench.heard(), (32..=50).map(|number| (number as u8, number + 50)).collect::<Vec<_>>());
}

#[test]
fn events_and_noise_are_no_sound_and_no_loss() {
    let mut bench = Bench::new();
    for number in 1..=3 {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
    }
    for number in 4..=8 {
        let coding = if number == 8 { Coding::Silent } else { Coding::Event };
        bench.bytes(7, number, 4 * 160, 20_000 * i64::from(number), coding, OWN, &[5, 10, 0, 160]);
    }
    bench.push(7, 9, 180_000, PCMU);
    assert_eq!(bench.heard(), [(1, 1), (2, 2), (3, 3), (9, 9)]);
    let facts = bench.finish().unwrap();
    assert_eq!((facts.packets, facts.lost, bench.counters.rtp_silent), (9, 0, 5));
    assert_eq!(facts.jitter_micros, 0);
}

#[test]
fn a_telephone_event_is_told_with_its_time_stamp_and_only_by_the_own_source() {
    let mut bench = Bench::new();
    for number in 1..=3 {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
    }
    for number in 4..=6u16 {
        bench.bytes(7, number, 640, 20_000 * i64::from(number), Coding::Event, OWN, &[5, 10, 0, 160]);
        bench.bytes(8, number, 640, 20_000 * i64::from(number), Coding::Event, OWN, &[9, 10, 0, 160]);
    }
    bench.bytes(7, 7, 640, 140_000, Coding::Event, OWN, &[5, 10, 0]);
    let events: Vec<_> = bench.leg.events().into_iter().map(|event| (event.ssrc, event.timestamp, event.event)).collect();
    assert_eq!(events, [(7, 640, 5); 3], "the one that was cut tells nothing");
    bench.answered = None;
    bench.bytes(7, 8, 1_280, 160_000, Coding::Event, OWN, &[5, 10, 0, 160]);
    assert!(bench.leg.events().is_empty(), "nor one before the answer");
}

#[test]
fn what_follows_a_gap_says_whether_anything_was_lost_in_it() {
    let mut bench = Bench::new();
    for number in [1, 2, 3, 6, 7] {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
    }
    bench.advance(400_000);
    // Silence suppression: numbers go on, time stamps leap.
    for number in 8..=9u16 {
        bench.raw(7, number, u32::from(number) * 160 + 8_000, 1_000_000 + 20_000 * i64::from(number), PCMU, OWN);
    }
    let missing: Vec<u32> = bench.out.drain(..).filter_map(|output| match output {
        Output::Audio(audio) => Some(audio.missing),
        Output::Event(_) => None,
    }).collect();
    assert_eq!(missing, [0, 0, 0, 2, 0, 0, 0]);
}

/// An intruder's packets beside 500 of the own source; what the leg passes on, and what it says of it all.
fn attacked(mut intrude: impl FnMut(&mut Bench, u32, i64)) -> (Vec<(u8, i64)>, StreamFacts) {
    let mut bench = Bench::new();
    for number in 1..=500u32 {
        let at = 20_000 * i64::from(number);
        // The own source is silent for a while, twice.
        if !(100..110).contains(&number) && !(200..350).contains(&number) {
            bench.push(7, number, at, PCMU);
        }
        intrude(&mut bench, number, at + 1_000);
        bench.trust = Trust::Named;
        bench.advance(at + 15_000);
    }
    bench.advance(20_000_000);
    let heard = bench.heard();
    (heard, bench.finish().unwrap())
}

#[test]
fn no_attack_changes_what_is_heard() {
    let (plain, facts) = attacked(|_, _, _| {});
    assert_eq!(facts.foreign, 0);
    let noise = |number: u32| number.wrapping_mul(2_654_435_761);
    let mut attacks: Vec<(&str, Box<dyn FnMut(&mut Bench, u32, i64)>)> = vec![
        ("another source from the own address", Box::new(|bench, number, at| bench.push(9, number, at, PCMU))),
        ("the own source from another address, with numbers that collide", Box::new(|bench, number, at| {
            bench.trust = Trust::Stranger;
            bench.bytes(7, number as u16, number * 160, at, PCMU, "203.0.113.9:9", &[0x55; 160]);
        })),
        ("the same from the next port, ahead of the own", Box::new(|bench, number, at| {
            bench.trust = Trust::Neighbour;
            bench.bytes(7, number as u16 + 20, (number + 20) * 160, at, PCMU, "192.0.2.1:4002", &[0x55; 160]);
        })),
        ("its own packets again, from long ago", Box::new(|bench, number, at| bench.push(7, number.saturating_sub(150).max(1), at, PCMU))),
        ("its own packets again, in their order and all at once", Box::new(|bench, number, at| {
            if number % 50 == 0 {
                for old in number.saturating_sub(450)..number.saturating_sub(110) {
                    bench.push(7, old, at, PCMU);
                }
            }
        })),
        ("numbers from elsewhere under its own name and address", Box::new(|bench, number, at| {
            bench.raw(7, 30_000 + number as u16, 99_999 + number * 160, at, PCMU, OWN);
        })),
        ("noise", Box::new(move |bench, number, at| {
            for part in 0..20 {
                let random = noise(number * 20 + part);
                bench.raw(random, (random >> 7) as u16, random, at + i64::from(part), PCMU, OWN);
            }
        })),
        ("many at once", Box::new(|bench, number, at| {
            for other in 0..8 {
                bench.raw(50 + other, number as u16, number * 160, at + i64::from(other), PCMU, if other % 2 == 0 { OWN } else { "192.0.2.1:9" });
            }
        })),
    ];
    for (name, attack) in &mut attacks {
        let (heard, facts) = attacked(attack);
        assert!(heard == plain, "{name}: {} and {} pieces", heard.len(), plain.len());
        assert!(facts.foreign > 100, "{name}: {} foreign", facts.foreign);
    }
}

#[test]
fn who_sends_from_where_it_should_is_heard_though_a_stranger_came_first() {
    for own in [1, 40, 200] {
        let mut bench = Bench::new();
        for number in 1..=300u32 {
            let at = 20_000 * i64::from(number);
            bench.trust = Trust::Stranger;
            bench.bytes(9, number as u16, number * 160, at - 1_000, PCMU, "203.0.113.9:9", &[0x55; 160]);
            bench.trust = Trust::Named;
            if number >= own {
                bench.push(7, number, at, PCMU);
            }
        }
        let heard = bench.heard();
        let strange = heard.iter().filter(|(byte, _)| *byte == 0x55).count();
        // Where nobody else is, a stranger is heard after a second: behind NAT that is how it must be.
        assert!(strange <= if own <= 40 { 1 } else { 202 }, "{own}: {strange}");
        assert_eq!(heard.iter().filter(|(_, start)| *start >= i64::from(own)).count(), 301 - own as usize, "{own}");
    }
}

#[test]
fn a_source_that_nat_gives_another_port_goes_on() {
    let mut bench = Bench::new();
    for number in 1..=50 {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
    }
    bench.trust = Trust::Neighbour;
    for number in 53..=150u32 {
        bench.raw(7, number as u16, number * 160, 20_000 * i64::from(number), PCMU, "192.0.2.1:61000");
    }
    assert_eq!(bench.heard(), (1..=50).chain(53..=150).map(|number| (number as u8, number)).collect::<Vec<_>>());
    let facts = bench.finish().unwrap();
    assert_eq!((facts.packets, facts.lost, facts.foreign), (148, 2, 0), "what was lost in between is lost");
}

#[test]
fn the_tail_of_a_source_that_was_replaced_is_nobodys_attack() {
    let mut bench = Bench::new();
    for number in 1..=50 {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
    }
    bench.leg.renegotiate();
    for number in 51..=100u32 {
        bench.trust = Trust::Named;
        bench.raw(9, number as u16, number * 160, 20_000 * i64::from(number) + 1_000, PCMU, "192.0.2.7:4000");
        if number < 55 {
            bench.trust = Trust::Stranger;
            bench.push(7, number, 20_000 * i64::from(number), PCMU);
        }
    }
    let facts = bench.finish().unwrap();
    assert!(facts.foreign == 0 && facts.packets >= 99, "{facts:?}");
    assert!(bench.counters.rtp_late > 0);
}

#[test]
fn what_cannot_be_decoded_is_counted_and_named() {
    let mut bench = Bench::new();
    for number in 1..=4 {
        bench.push(7, number, 20_000 * i64::from(number), Coding::Undecodable(Codec::G729, 8_000));
    }
    bench.push(7, 5, 100_000, Coding::Encrypted(Codec::Pcmu, 8_000));
    let facts = bench.finish().unwrap();
    assert_eq!((facts.codec, facts.packets, facts.undecodable), (Codec::G729, 5, 5));
    assert_eq!((bench.order(), bench.counters.rtp_undecodable, bench.counters.rtp_encrypted), (vec![], 4, 1));
}

#[test]
fn copies_on_another_path_are_not_the_networks_doubles() {
    let mut bench = Bench::new();
    for number in 1..=5u16 {
        let (timestamp, arrival) = (u32::from(number) * 160, 20_000 * i64::from(number));
        bench.raw(7, number, timestamp, arrival, PCMU, "192.0.2.1:4000");
        bench.raw(7, number, timestamp, arrival + 1_000, PCMU, "192.0.2.9:6000");
    }
    assert_eq!(bench.order(), [1, 2, 3, 4, 5]);
    let facts = bench.finish().unwrap();
    assert_eq!((facts.packets, facts.duplicated, facts.jitter_micros), (5, 0, 0));
}

#[test]
fn nothing_is_heard_before_the_answer() {
    let mut bench = Bench::new();
    bench.answered = None;
    for number in 1..=4 {
        bench.push(7, number, 20_000 * i64::from(number), PCMU);
    }
    bench.answered = Some(wall(90_000));
    bench.push(7, 5, 100_000, PCMU);
    assert_eq!(bench.heard(), [(5, 5)]);
    assert_eq!(bench.counters.rtp_early, 4);
    // Nor what was on probation then.
    let mut bench = Bench::new();
    bench.answered = None;
    bench.push(7, 4, 80_000, PCMU);
    bench.answered = Some(wall(90_000));
    bench.push(7, 5, 100_000, PCMU);
    assert_eq!((bench.heard(), bench.counters.rtp_early), (vec![(5, 5)], 1));
}

#[test]
fn jitter_is_that_of_rfc_3550() {
    let mut bench = Bench::new();
    // Every other packet 10 ms late: |D| is 10 ms each time, and J tends to it.
    for number in 1..=200 {
        bench.push(7, number, 20_000 * i64::from(number) + 10_000 * i64::from(number % 2), PCMU);
    }
    let jitter = bench.finish().unwrap().jitter_micros;
    assert!((9_900..=10_000).contains(&jitter), "{jitter}");
}

#[test]
fn odd_sizes_are_dropped() {
    let mut bench = Bench::new();
    bench.push(7, 1, 20_000, PCMU);
    bench.push(7, 2, 40_000, PCMU);
    let bytes = [0x80, 0, 0, 3, 0, 0, 1, 0xe0, 0, 0, 0, 7].to_vec();
    let datagram = Datagram::new(wall(60_000), 3, "192.0.2.1:4000".parse().unwrap(), "192.0.2.2:5000".parse().unwrap(), bytes);
    let Kind::Rtp(header) = kind(datagram.payload()) else { panic!() };
    bench.with(|mut leg, sink| {
        leg.push(datagram, header, PCMU, Trust::Named, sink);
        (leg, ())
    });
    assert_eq!((bench.order(), bench.counters.rtp_odd_size), (vec![1, 2], 1));
}
