//! Any bytes will do: nothing panics, every call that was offered ends, and the counts add up.

use super::*;

/// A whole call as datagrams.
fn conversation() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let invite = request("INVITE", 1, false).body(&alice_sdp()).header("P-Asserted-Identity: <sip:1001@pbx.example>");
    let held = request("INVITE", 2, true).body(&sdp("192.0.2.1", 4000, "sendonly"));
    let bye = request("BYE", 3, true);
    let mut all = vec![
        (ALICE, BOB, invite.text().into_bytes()),
        (BOB, ALICE, response(183, &invite).body(&bob_sdp()).text().into_bytes()),
        (BOB, ALICE, response(200, &invite).body(&bob_sdp()).text().into_bytes()),
        (ALICE, BOB, request("ACK", 1, true).text().into_bytes()),
    ];
    for sequence in 0..8 {
        all.push((ALICE_MEDIA, BOB_MEDIA, rtp(0, sequence, 7)));
        all.push((BOB_MEDIA, ALICE_MEDIA, rtp(0, sequence, 8)));
    }
    all.push((ALICE, BOB, held.text().into_bytes()));
    all.push((BOB, ALICE, response(200, &held).body(&bob_sdp()).text().into_bytes()));
    all.push((ALICE, BOB, bye.text().into_bytes()));
    all.push((BOB, ALICE, response(200, &bye).text().into_bytes()));
    all
}

/// What holds whatever came in.
pub(super) fn check(tap: &mut Tap, datagrams: u64) {
    tap.finish();
    let mut open = std::collections::BTreeSet::new();
    for event in &tap.events {
        match event {
            CallEvent::Offered { call, .. } => assert!(open.insert(*call), "offered twice"),
            CallEvent::Ended { call, .. } => assert!(open.remove(call), "ended without being open"),
            other => assert!(open.contains(&other.call()), "{other:?} of a call that is not open"),
        }
    }
    assert!(open.is_empty(), "calls without an end");
    assert!(tap.dialogs.calls.is_empty(), "a call was not let go altogether");
    let c = tap.counters();
    assert_eq!(c.calls_open, 0);
    assert_eq!(c.sip_messages + c.sip_malformed + c.rtcp + c.not_media + c.unbound + c.rtp_packets, datagrams, "{c:?}");
    let told = [
        c.rtp_sound,
        c.rtp_silent,
        c.rtp_early,
        c.rtp_after_end,
        c.rtp_undecodable,
        c.rtp_encrypted,
        c.rtp_forged,
        c.rtp_same_call,
        c.rtp_unknown_type,
        c.rtp_duplicated,
        c.rtp_late,
        c.rtp_other_source,
        c.rtp_probation,
        c.rtp_odd_size,
    ];
    assert_eq!(told.iter().sum::<u64>(), c.rtp_packets, "every packet has one fate: {c:?}");
    let mut ends = std::collections::BTreeMap::new();
    for (call, side, start, length) in &tap.audio {
        let end = ends.entry((*call, *side)).or_insert(i64::MIN);
        assert!(*start >= end.saturating_sub(1_000), "sound of {call} overlaps");
        *end = start + length;
    }
}

#[test]
fn the_conversation_itself_is_sound() {
    let mut tap = Tap::new();
    let all = conversation();
    for (from, to, bytes) in &all {
        tap.bytes(from, to, bytes.clone()).wait(10_000);
    }
    check(&mut tap, all.len() as u64);
    assert!(tap.story()[0].contains("answered") && tap.story()[0].contains("held") && tap.story()[0].contains("HungUp"));
    assert_eq!(tap.audio.len(), 16);
}

#[test]
fn every_datagram_cut_at_every_byte() {
    let all = conversation();
    for cut in 0..all.len() {
        let longest = all[cut].2.len();
        // Sound is alike: its first packet stands for all.
        for length in (0..longest).filter(|length| cut < 6 || longest != 172 || *length == 40) {
            let mut tap = Tap::new();
            for (index, (from, to, bytes)) in all.iter().enumerate() {
                let bytes = if index == cut { bytes[..length].to_vec() } else { bytes.clone() };
                tap.bytes(from, to, bytes).wait(10_000);
            }
            check(&mut tap, all.len() as u64);
        }
    }
}

#[test]
fn mutated_conversations() {
    let all = conversation();
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for _ in 0..4_000 {
        let mut tap = Tap::new();
        let mut count = 0;
        for (from, to, bytes) in &all {
            let mut bytes = bytes.clone();
            for _ in 0..random(3) {
                let at = random(bytes.len());
                match random(6) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes[at] ^= 1 << random(8),
                    2 => drop(bytes.drain(at..(at + random(20)).min(bytes.len()))),
                    3 => bytes.insert(at, b"\r\n ,;:<>\"=\0\xff9"[random(13)]),
                    4 => {
                        let piece = bytes[at..(at + random(40)).min(bytes.len())].to_vec();
                        bytes.splice(at..at, piece);
                    }
                    _ => bytes.truncate(at),
                }
                if bytes.is_empty() {
                    bytes.push(b'\n');
                }
            }
            for _ in 0..1 + random(2) {
                count += 1;
                tap.bytes(from, to, bytes.clone());
            }
            tap.wait([0, 10_000, 200_000, 40 * SECOND][random(4)]);
        }
        check(&mut tap, count);
    }
}

#[test]
fn packets_of_every_time_stamp_and_number() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..200u64 {
        let mut tap = Tap::new();
        tap.call();
        for _ in 0..300 {
            let mut bytes = rtp(0, 0, (random() % 3) as u32);
            let spread = if round % 2 == 0 { u64::MAX } else { 200 };
            bytes[2..4].copy_from_slice(&((random() % spread) as u16).to_be_bytes());
            bytes[4..8].copy_from_slice(&((random() % spread) as u32).wrapping_mul(160).to_be_bytes());
            tap.bytes(ALICE_MEDIA, BOB_MEDIA, bytes);
            // Time goes back and forth, as it does where a clock is set.
            tap.at = tap.at.plus((random() % 60_000) as i64 - 10_000);
        }
        check(&mut tap, 4 + 300);
    }
}

#[test]
fn an_sdp_of_ten_thousand_media_lines_costs_no_more_than_its_bytes() {
    let body = format!("{}{}", alice_sdp(), "m=audio 4000 RTP/AVP 0\r\n".repeat(2_500));
    let mut tap = Tap::new();
    tap.sip(&request("INVITE", 1, false).body(&body));
    assert_eq!((tap.counters().calls, tap.counters().sdp_media_left_out), (1, 2_501 - 16));
    // With ten thousand it is longer than a datagram.
    let body = format!("{}{}", alice_sdp(), "m=audio 4000 RTP/AVP 0\r\n".repeat(9_999));
    tap.sip(&request("INVITE", 1, false).call_id("two").body(&body));
    assert_eq!((tap.counters().calls, tap.counters().sip_malformed), (1, 1));
    let fault = tap.dialogs.last_fault().unwrap().to_string();
    assert_eq!(fault, "packet 2: SIP, byte 65536: over 64 KiB (RFC 3261 section 18.1.1)");
}

#[test]
fn nothing_that_can_be_printed_holds_what_was_said() {
    let canary = "canary1001";
    let mut tap = Tap::new();
    let mut invite = request("INVITE", 1, false).body(&alice_sdp().replace("s=-", "s=canary1001")).call_id(canary);
    invite.from = format!("\"{canary}\" <sip:{canary}@{canary}>;tag={canary}");
    tap.sip(&invite).sip(&response(200, &invite).body(&format!("{canary}\r\nm=audio {canary}")));
    invite.cseq = canary.to_owned();
    tap.sip(&invite).finish();
    let fault = tap.dialogs.last_fault().unwrap();
    for printed in [format!("{:?}", tap.dialogs), format!("{:?}", tap.events), format!("{fault:?}"), fault.to_string()] {
        assert!(!printed.contains(canary), "{printed}");
    }
}
