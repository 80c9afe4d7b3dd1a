//! Sound under attack, under keys, without signalling, and twice.

use super::*;
use crate::rtp::Key;

const TELEPHONE: &str = "192.0.2.1:4000";

/// A packet whose payload tells it from all others.
fn telling(payload_type: u8, sequence: i64, ssrc: u32, seed: u64) -> Vec<u8> {
    let mut bytes = rtp(payload_type, sequence, ssrc);
    let mut state = (seed << 32 | sequence as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for byte in &mut bytes[12..] {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
    bytes
}

/// A receiver report of one block.
fn report(from: u32, about: u32, highest: u32, lost: u32) -> Vec<u8> {
    let words = [0x81c9_0007, from, about, lost, highest, 0, 0, 0];
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Both sides talk for 20 s; the tap misses every tenth packet of the calling side, and its receiver reports on the way.
fn reported(rtcp: impl Fn(&mut Tap, i64, u32)) -> (Option<sotto_private::FarEnd>, u64) {
    let mut tap = Tap::new();
    tap.call();
    for sequence in 0..1_000i64 {
        if sequence % 10 != 5 {
            tap.rtp(ALICE_MEDIA, BOB_MEDIA, 7, sequence);
        }
        tap.rtp(BOB_MEDIA, ALICE_MEDIA, 8, sequence);
        if sequence % 100 == 99 {
            // Every hundredth was lost for the receiver too.
            rtcp(&mut tap, sequence, report_lost(sequence));
        }
        tap.wait(20_000);
    }
    tap.sip(&request("BYE", 2, true)).wait(3 * SECOND);
    let [calling, called] = tap.streams(1).map(Option::unwrap);
    assert_eq!((calling.lost, called.lost, called.far_end), (100, 0, None));
    (calling.far_end, tap.counters().rtcp_reports)
}

fn report_lost(sequence: i64) -> u32 {
    (sequence as u32 + 1) / 100
}

#[test]
fn loss_that_the_receiver_does_not_confirm_is_the_taps() {
    let expected = Some(sotto_private::FarEnd { expected: 900, lost: 9, missed: 90 });
    // On a port of its own, on the RTP port, and after a sender report and a name.
    let above = reported(|tap, sequence, lost| {
        tap.bytes("192.0.2.2:6001", "192.0.2.1:4001", report(8, 7, sequence as u32, lost));
    });
    assert_eq!(above, (expected, 10));
    let same = reported(|tap, sequence, lost| {
        let mut compound = vec![0x80, 200, 0, 6, 0, 0, 0, 8];
        compound.extend([0; 20]);
        compound.extend(report(8, 7, sequence as u32, lost));
        compound.extend([0x81, 203, 0, 1, 0, 0, 0, 8]);
        tap.bytes(BOB_MEDIA, ALICE_MEDIA, compound);
    });
    assert_eq!(same, (expected, 10));
    // From another host, about another source, or about its own sound: nobody's word.
    let foreign = reported(|tap, sequence, lost| {
        tap.bytes("203.0.113.9:6001", "192.0.2.1:4001", report(8, 7, sequence as u32, lost));
        tap.bytes("192.0.2.2:6001", "192.0.2.1:4001", report(8, 9, sequence as u32, lost));
        tap.bytes("192.0.2.1:4001", "192.0.2.2:6001", report(7, 7, sequence as u32, lost));
    });
    assert_eq!(foreign, (None, 0));
}

#[test]
fn rtcp_goes_where_the_description_says_and_its_bye_ends_nothing() {
    let mut tap = Tap::new();
    let invite = request("INVITE", 1, false).body(&format!("{}a=rtcp:5555\r\n", alice_sdp()));
    tap.sip(&invite).sip(&response(200, &invite).body(&bob_sdp()));
    for sequence in 0..500 {
        tap.rtp(ALICE_MEDIA, BOB_MEDIA, 7, sequence).rtp(BOB_MEDIA, ALICE_MEDIA, 8, sequence);
        if sequence % 100 == 99 {
            tap.bytes("192.0.2.2:6001", "192.0.2.1:5555", report(8, 7, sequence as u32, 0));
            tap.bytes("192.0.2.2:6001", "192.0.2.1:5555", vec![0x81, 203, 0, 1, 0, 0, 0, 8]);
        }
        tap.wait(20_000);
    }
    assert_eq!((tap.counters().rtcp, tap.counters().rtcp_reports, tap.counters().calls_open), (10, 5, 1));
    tap.finish();
    assert_eq!(tap.streams(1)[0].unwrap().far_end, Some(sotto_private::FarEnd { expected: 400, lost: 0, missed: 0 }));
}

/// 50 calls of ten seconds, with or without a thousand packets a second of attack on their ports; what was heard of each.
fn fifty(attack: bool) -> (Vec<(u64, Side, i64, u64)>, u64, u64) {
    let mut tap = Tap::new();
    let place = |call: usize, side: usize| format!("10.0.{side}.{call}:{}", 4_000 + 2 * call);
    let describe = |call: usize, side: usize| sdp(&format!("10.0.{side}.{call}"), 4_000 + 2 * call as u16, "sendrecv");
    for call in 0..50 {
        let invite = request("INVITE", 1, false).call_id(&format!("call {call}")).body(&describe(call, 1));
        tap.sip(&invite).sip(&response(200, &invite).body(&describe(call, 2)));
    }
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut heard = Vec::new();
    let mut old: Vec<Vec<u8>> = Vec::new();
    for sequence in 0..500i64 {
        for call in 0..50usize {
            let (from, to) = (place(call, 1), place(call, 2));
            let (ssrc, back) = (2 * call as u32, 2 * call as u32 + 1);
            let own = telling(0, sequence, ssrc, u64::from(ssrc));
            if attack {
                // Before and after the own packet: other sources from its address and from elsewhere, its own name from elsewhere with
                // numbers that collide, its old packets again, and noise.
                if sequence >= 2 {
                    // Who takes the very address before its owner has said anything cannot be told from it.
                    feed(&mut tap, &from, &to, telling(0, sequence, 900, 1));
                }
                feed(&mut tap, "203.0.113.9:9999", &to, telling(0, sequence, ssrc, 2));
                old.push(own.clone());
                let replayed = old[random() as usize % old.len()].clone();
                let is_of_call = u32::from_be_bytes([replayed[8], replayed[9], replayed[10], replayed[11]]) == ssrc;
                if is_of_call {
                    feed(&mut tap, &from, &to, replayed);
                }
            }
            feed(&mut tap, &from, &to, own);
            feed(&mut tap, &to, &from, telling(0, sequence, back, u64::from(back)));
            if attack {
                for _ in 0..8 {
                    let mut noise: Vec<u8> = (0..172).map(|_| random() as u8).collect();
                    noise[0] = 0x80 | (noise[0] & 0x3f);
                    noise[1] &= 0x80;
                    let stranger = format!("198.51.100.{}:{}", random() % 250, 1_024 + random() % 60_000);
                    let (from, to) = if random() % 2 == 0 { (&from, &to) } else { (&stranger, &to) };
                    feed(&mut tap, from, to, noise);
                }
                feed(&mut tap, &stranger_rtcp(&mut random), &to, vec![0x81, 203, 0, 1, 0, 0, 0, 8]);
            }
        }
        tap.at = tap.at.plus(20_000);
        tap.dialogs.advance(tap.at);
        collect(&mut tap, &mut heard);
        if old.len() > 20_000 {
            old.drain(..10_000);
        }
    }
    tap.dialogs.finish(tap.at, EndCause::CaptureEnded);
    collect(&mut tap, &mut heard);
    let ended = tap.events.iter().filter_map(|event| match event {
        CallEvent::Ended { streams, .. } => Some(streams[0].map_or(0, |stream| stream.foreign)),
        _ => None,
    });
    (heard, ended.min().unwrap_or(0), tap.counters().calls)
}

fn stranger_rtcp(random: &mut impl FnMut() -> u64) -> String {
    format!("198.51.100.7:{}", 1_024 + random() % 60_000)
}

fn feed(tap: &mut Tap, from: &str, to: &str, bytes: Vec<u8>) {
    tap.number += 1;
    tap.dialogs.datagram(Datagram::new(tap.at, tap.number, from.parse().unwrap(), to.parse().unwrap(), bytes));
}

/// Call, side, start and a hash of the payload.
fn collect(tap: &mut Tap, heard: &mut Vec<(u64, Side, i64, u64)>) {
    while let Some(output) = tap.dialogs.poll() {
        match output {
            Output::Event(event) => tap.events.push(event),
            Output::Audio(audio) => {
                let hash = audio.payload().iter().fold(0u64, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte));
                heard.push((audio.call.0, audio.side, audio.start.since(wall(0)), hash));
            }
        }
    }
}

#[test]
fn fifty_calls_under_attack_sound_as_they_did() {
    let sorted = |attack| {
        let (mut heard, foreign, calls) = fifty(attack);
        heard.sort_unstable();
        (heard, foreign, calls)
    };
    let (plain, none, _) = sorted(false);
    let (attacked, foreign, calls) = sorted(true);
    assert_eq!(plain.len(), 50 * 2 * 500);
    assert!(attacked == plain, "{} pieces and {}", attacked.len(), plain.len());
    assert_eq!((none, calls), (0, 50), "no attack made a call");
    assert!(foreign > 1_000, "each is flagged: {foreign}");
}

#[test]
fn sound_without_signalling_is_a_call_from_its_first_packet() {
    let mut tap = Tap::new();
    for sequence in 0..500 {
        tap.rtp(TELEPHONE, BOB_MEDIA, 7, sequence);
        if sequence >= 10 {
            tap.rtp(BOB_MEDIA, TELEPHONE, 8, sequence);
        }
        tap.wait(20_000);
    }
    tap.wait(125 * SECOND);
    assert_eq!(tap.story(), ["offered 0.0 answered 0.0 SilenceTimeout 10.0"]);
    assert!(matches!(&tap.events[0], CallEvent::Offered { origin: sotto_private::Origin::SoundAlone, calling, called, .. } if calling.is_unnamed() && called.is_unnamed()));
    assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(1, Side::Called)), (10.0, 9.8));
    assert_eq!(tap.streams(1).map(|facts| facts.unwrap().packets), [500, 490]);
    let counters = tap.counters();
    assert_eq!((counters.unbound, counters.rtp_packets), (0, 990), "what was heard on probation is not lost");
}

#[test]
fn what_is_no_conversation_opens_no_call() {
    let mut tap = Tap::new();
    for sequence in 0..1_000i64 {
        // Under a second at a time, numbers at random, a type that needs negotiation, a size that no phone sends, another source each time.
        if sequence % 100 < 45 {
            tap.rtp("192.0.2.1:1000", "192.0.2.2:1000", 7, sequence);
        } else if sequence % 100 == 45 {
            tap.wait(2 * SECOND);
        }
        tap.rtp("192.0.2.1:1002", "192.0.2.2:1002", 7, sequence * 7_919);
        tap.bytes("192.0.2.1:1004", "192.0.2.2:1004", rtp(96, sequence, 7));
        let mut odd = rtp(0, sequence, 7);
        odd.truncate(150);
        tap.bytes("192.0.2.1:1006", "192.0.2.2:1006", odd);
        tap.rtp("192.0.2.1:1008", "192.0.2.2:1008", sequence as u32, sequence);
        tap.wait(20_000);
    }
    assert_eq!(tap.counters().calls, 0);
    // What goes on for a moment after a BYE is the end of that call, not another.
    let mut tap = Tap::new();
    tap.call().talk(50).sip(&request("BYE", 2, true)).sip(&response(200, &request("BYE", 2, true)));
    for sequence in 0..500 {
        if sequence > 100 {
            tap.rtp(ALICE_MEDIA, BOB_MEDIA, 7, sequence);
        }
        tap.wait(20_000);
    }
    assert_eq!(tap.counters().calls, 1, "{:?}", tap.story());
}

#[test]
fn signalling_that_is_seen_later_takes_the_sound_over() {
    let mut tap = Tap::new();
    for sequence in 0..100 {
        tap.rtp(ALICE_MEDIA, BOB_MEDIA, 7, sequence).rtp(BOB_MEDIA, ALICE_MEDIA, 8, sequence).wait(20_000);
    }
    let invite = request("INVITE", 1, false).body(&alice_sdp());
    tap.sip(&invite).sip(&response(200, &invite).body(&bob_sdp()));
    for sequence in 100..200 {
        tap.rtp(ALICE_MEDIA, BOB_MEDIA, 7, sequence).rtp(BOB_MEDIA, ALICE_MEDIA, 8, sequence).wait(20_000);
    }
    tap.wait(122 * SECOND);
    assert_eq!(tap.story()[0], "offered 0.0 answered 0.0 SilenceTimeout 2.0");
    assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(2, Side::Calling)), (2.0, 2.0));
}

#[test]
fn a_million_sources_cost_no_more_than_the_table_and_no_call_its_sound() {
    let limits = Limits { prospects: 512, prospect_packets: 4_096, flows: 4_096, ..Limits::default() };
    let mut tap = Tap::with(limits);
    tap.call();
    let mut sequence = 0;
    for number in 0..200_000u32 {
        let [_, a, b, c] = number.to_be_bytes();
        let bytes = rtp(0, i64::from(number), number);
        tap.number += 1;
        let to = BOB_MEDIA.parse().unwrap();
        // One in two at the ports of the call, and one in two elsewhere.
        let to = if number % 2 == 0 { to } else { "198.51.100.1:7000".parse().unwrap() };
        tap.dialogs.datagram(Datagram::new(tap.at, tap.number, ([10, a, b, c], 5_000).into(), to, bytes));
        if number % 400 == 0 {
            tap.rtp(ALICE_MEDIA, BOB_MEDIA, 7, sequence).rtp(BOB_MEDIA, ALICE_MEDIA, 8, sequence).wait(20_000);
            // And a call without signalling in the middle of it all.
            tap.rtp("192.0.2.77:4000", "192.0.2.78:4000", 77, sequence);
            sequence += 1;
        }
    }
    tap.finish();
    assert_eq!(tap.counters().calls, 2);
    assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(1, Side::Called)), (10.0, 10.0));
    assert!(tap.seconds(2, Side::Calling) > 9.0, "{}", tap.seconds(2, Side::Calling));
}

/// The legs of a PBX at 192.0.2.50: the phone's at `one`, the trunk's at `two`.
fn relayed(tap: &mut Tap, packets: std::ops::Range<i64>, transcoded: bool) {
    let (phone, inside, outside, trunk) = (ALICE_MEDIA, "192.0.2.50:5000", "192.0.2.51:5002", BOB_MEDIA);
    for sequence in packets {
        let other = if transcoded { 50 } else { 0 };
        tap.bytes(phone, inside, telling(0, sequence, 7, 1)).wait(300);
        tap.bytes(outside, trunk, telling(0, sequence + 4_000, 17, 1 + other)).wait(9_700);
        tap.bytes(trunk, outside, telling(0, sequence, 8, 2)).wait(300);
        tap.bytes(inside, phone, telling(0, sequence + 9_000, 18, 2 + other)).wait(9_700);
    }
}

fn offer_both(tap: &mut Tap) {
    let two = request("INVITE", 1, false);
    offer_legs(tap, &two.to);
}

/// Two dialogs, the second one to somebody else.
fn offer_legs(tap: &mut Tap, to: &str) {
    let one = request("INVITE", 1, false).body(&alice_sdp());
    let mut two = request("INVITE", 1, false).call_id("two").body(&sdp("192.0.2.51", 5_002, "sendrecv"));
    two.to = to.into();
    tap.sip(&one).wait(50_000).sip(&two).wait(50_000);
    tap.sip(&response(200, &two).body(&bob_sdp())).sip(&response(200, &one).body(&sdp("192.0.2.50", 5_000, "sendrecv")));
}

/// Twelve seconds of a conversation that passes both legs. The payload's own number is in what it is made of, so that both legs carry the same.
fn pass_on(tap: &mut Tap) {
    for sequence in 0..600i64 {
        let sound = |ssrc: u32, shift: i64, seed: u64| {
            let mut bytes = telling(0, sequence, ssrc, seed);
            bytes[2..4].copy_from_slice(&((sequence + shift) as u16).to_be_bytes());
            bytes
        };
        tap.bytes(ALICE_MEDIA, "192.0.2.50:5000", sound(7, 0, 1)).wait(300).bytes("192.0.2.51:5002", BOB_MEDIA, sound(17, 4_000, 1)).wait(9_700);
        tap.bytes(BOB_MEDIA, "192.0.2.51:5002", sound(8, 0, 2)).wait(300).bytes("192.0.2.50:5000", ALICE_MEDIA, sound(18, 9_000, 2)).wait(9_700);
    }
}

#[test]
fn both_legs_of_a_pbx_are_one_call() {
    let mut tap = Tap::new();
    offer_both(&mut tap);
    pass_on(&mut tap);
    assert_eq!((tap.counters().calls_same, tap.counters().calls_open), (1, 1), "{:?}", tap.story());
    let second = tap.story()[1].clone();
    assert!(second.contains("SameCall"), "{second}");
    let bye = request("BYE", 2, true);
    tap.sip(&bye.clone().call_id("two")).sip(&response(200, &bye).call_id("two")).sip(&bye).sip(&response(200, &bye)).wait(5 * SECOND);
    assert_eq!(tap.story()[1], second, "nothing more is told of the other leg");
    assert!(tap.story()[0].ends_with("HungUp 12.1"), "{:?}", tap.story());
    assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(1, Side::Called)), (12.0, 12.0));
    assert_eq!((tap.counters().calls_open, tap.counters().calls), (0, 2));
}

/// The trunk's leg goes to a queue; the one to a telephone begins later, and names its agent.
fn queued() -> Tap {
    let mut tap = Tap::new();
    tap.dialogs = Dialogs::new(Limits::default()).with_agents(Box::new(|party| party.identity().starts_with("sip:42")));
    offer_legs(&mut tap, "<sip:4242@pbx.example>");
    pass_on(&mut tap);
    tap
}

#[test]
fn of_two_legs_the_one_that_names_an_agent_counts() {
    let mut tap = queued();
    assert_eq!((tap.counters().calls_same, tap.counters().calls_open), (1, 1), "{:?}", tap.story());
    assert!(tap.story()[0].contains("SameCall"), "{:?}", tap.story());
    let mut bye = request("BYE", 2, true).call_id("two");
    bye.to = "<sip:4242@pbx.example>;tag=b".into();
    tap.sip(&request("BYE", 2, true)).sip(&response(200, &request("BYE", 2, true))).sip(&bye).sip(&response(200, &bye)).wait(5 * SECOND);
    assert!(tap.story()[1].ends_with("HungUp 12.1"), "{:?}", tap.story());
    assert_eq!((tap.seconds(2, Side::Calling), tap.seconds(2, Side::Called)), (12.0, 12.0), "all of it, from its first packet");
    assert_eq!((tap.counters().calls_open, tap.counters().calls), (0, 2));
}

#[test]
fn a_transfer_on_the_leg_that_does_not_count_is_the_other_ones() {
    for is_replaced in [false, true] {
        let mut tap = queued();
        let mut invite = request("INVITE", 1, false).call_id("three").body(&sdp("192.0.2.1", 4_002, "sendrecv"));
        (invite.first, invite.to) = ("INVITE sip:1003@192.0.2.3 SIP/2.0".into(), "<sip:1003@pbx.example>".into());
        if is_replaced {
            invite = invite.header("Replaces: one;to-tag=b;from-tag=a");
        } else {
            let refer = back("REFER", 5).header("Refer-To: <sip:1003@pbx.example>");
            tap.sip(&refer).sip(&response(202, &refer));
        }
        tap.bytes(ALICE, "192.0.2.3:5060", invite.text().into_bytes());
        tap.bytes("192.0.2.3:5060", ALICE, response(200, &invite).body(&sdp("192.0.2.3", 8_000, "sendrecv")).text().into_bytes());
        let mut bye = request("BYE", 2, true).call_id("two");
        bye.to = "<sip:4242@pbx.example>;tag=b".into();
        tap.wait(SECOND).sip(&bye).sip(&response(200, &bye)).wait(5 * SECOND);
        let continues = tap.events.iter().find_map(|event| match event {
            CallEvent::Offered { call, continues, .. } if call.0 == 3 => *continues,
            _ => None,
        });
        assert_eq!(continues, Some(Call(2)), "{is_replaced}");
        assert!(tap.story()[1].contains("Transferred"), "{is_replaced}: {:?}", tap.story());
    }
}

#[test]
fn legs_that_a_pbx_encodes_anew_are_not_known_to_be_one() {
    let mut tap = Tap::new();
    offer_both(&mut tap);
    relayed(&mut tap, 0..600, true);
    assert_eq!((tap.counters().calls_same, tap.counters().calls_open), (0, 2));
}

const INLINE: [&str; 2] = ["d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"];

#[test]
fn a_description_gives_its_key_away() {
    let keys: Vec<Key> = INLINE.iter().flat_map(|inline| Key::all(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{inline}"))).collect();
    assert_eq!(keys.len(), 2);
    // Sound that no key opens, as long as none was ever good, is encrypted, and not an attack.
    let mut tap = Tap::new();
    let secure = |text: String, inline: &str| {
        text.replace("RTP/AVP", "RTP/SAVP").replace("a=sendrecv", &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{inline}\r\na=sendrecv"))
    };
    let invite = request("INVITE", 1, false).body(&secure(alice_sdp(), INLINE[0]));
    tap.sip(&invite).sip(&response(200, &invite).body(&secure(bob_sdp(), INLINE[1]))).talk(100).finish();
    let streams = tap.streams(1).map(Option::unwrap);
    assert_eq!(streams.map(|stream| (stream.encrypted, stream.undecodable, stream.foreign)), [(100, 100, 0); 2]);
    assert_eq!((tap.audio.len(), tap.counters().rtp_forged), (0, 0));
}
