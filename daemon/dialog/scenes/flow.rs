//! What happens to calls, in the order of RFC 3261.

use super::*;

#[test]
fn a_call_from_invite_to_bye() {
    let mut tap = Tap::new();
    let bye = back("BYE", 7);
    tap.call().talk(100).sip(&bye).sip(&response(200, &bye)).sip(&bye).wait(SECOND).finish();
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.1 answered 0.5 HungUp 2.5"]);
    assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(1, Side::Called)), (2.0, 2.0));
    let facts = tap.streams(1).map(Option::unwrap);
    assert_eq!(facts.map(|facts| (facts.packets, facts.lost, facts.jitter_micros)), [(100, 0, 0); 2]);
    let counters = tap.counters();
    assert_eq!((counters.calls, counters.calls_open, counters.rtp_sound, counters.sip_strays), (1, 0, 200, 0));
}

#[test]
fn parties_are_whom_the_network_vouches_for() {
    let mut tap = Tap::new();
    let invite = request("INVITE", 1, false).header("P-Asserted-Identity: \"A\" <sip:+15551001@carrier.example;user=phone>");
    let answer = response(200, &invite).header("P-Asserted-Identity: <tel:+15551002>");
    tap.sip(&invite).sip(&answer);
    let [CallEvent::Offered { calling, called, .. }, CallEvent::Answered { called: Some(answering), .. }] = tap.events.as_slice() else {
        panic!("{:?}", tap.events)
    };
    assert_eq!((calling.identity(), calling.user.expose().as_str()), ("sip:+15551001@carrier.example", "+15551001"));
    assert_eq!(calling.address.expose(), "sip:1001@pbx.example");
    assert_eq!((called.identity(), called.user.expose().as_str()), ("sip:1002@pbx.example", "1002"));
    assert_eq!((answering.identity(), answering.user.expose().as_str()), ("tel:+15551002", "+15551002"));
}

#[test]
fn an_offer_may_come_in_the_200() {
    let mut tap = Tap::new();
    let invite = request("INVITE", 1, false);
    tap.sip(&invite).sip(&response(200, &invite).body(&bob_sdp())).sip(&request("ACK", 1, true).body(&alice_sdp()));
    // Alice's sound is known by where it goes; Bob's by where he sends from and she receives.
    tap.talk(10).finish();
    assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(1, Side::Called)), (0.2, 0.2));
}

#[test]
fn early_media_is_followed_and_not_heard() {
    let mut tap = Tap::new();
    let invite = request("INVITE", 1, false).body(&alice_sdp());
    tap.sip(&invite).sip(&response(183, &invite).body(&bob_sdp())).talk(50);
    tap.sip(&response(200, &invite)).sip(&request("ACK", 1, true)).talk(10).finish();
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.0 answered 1.0 CaptureEnded 1.2"]);
    assert_eq!((tap.audio.len(), tap.counters().rtp_early), (20, 100));
    assert!(tap.audio.iter().all(|audio| audio.2 >= SECOND));
}

#[test]
fn the_fork_that_answers_is_the_one_that_is_heard() {
    let mut tap = Tap::new();
    let invite = request("INVITE", 1, false).body(&alice_sdp());
    let announcement = sdp("192.0.2.70", 7000, "sendrecv");
    tap.sip(&invite).sip(&response(183, &invite).tagged("x").body(&announcement)).sip(&response(200, &invite).body(&bob_sdp()));
    for sequence in 0..10 {
        tap.rtp(ALICE_MEDIA, BOB_MEDIA, 7, sequence).rtp("203.0.113.9:1", "192.0.2.70:7000", 9, sequence).wait(20_000);
    }
    assert_eq!((tap.seconds(1, Side::Calling), tap.counters().unbound), (0.2, 10));
}

#[test]
fn hold_begins_and_ends_with_the_answer_to_the_offer() {
    let mut tap = Tap::new();
    tap.call().talk(50);
    let held = request("INVITE", 2, true).body(&sdp("192.0.2.1", 4000, "sendonly"));
    tap.sip(&held).wait(100_000).sip(&response(200, &held).body(&sdp("192.0.2.2", 6000, "recvonly"))).sip(&request("ACK", 2, true));
    // All of it once more, as another mirrored leg shows it.
    tap.sip(&held).sip(&response(200, &held).body(&sdp("192.0.2.2", 6000, "recvonly")));
    tap.wait(2 * SECOND);
    let resumed = request("INVITE", 3, true).body(&alice_sdp());
    tap.sip(&resumed).sip(&response(200, &resumed).body(&bob_sdp())).talk(5);
    // And a very late copy.
    tap.sip(&held).sip(&response(200, &held).body(&sdp("192.0.2.2", 6000, "recvonly"))).finish();
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.1 answered 0.5 held 1.6 resumed 3.6 CaptureEnded 3.7"]);
}

#[test]
fn hold_of_every_kind() {
    let offers = [
        ("UPDATE", sdp("192.0.2.1", 4000, "sendonly"), sdp("192.0.2.2", 6000, "recvonly")),
        ("INVITE", sdp("0.0.0.0", 4000, "sendrecv"), bob_sdp()),
        ("INVITE", sdp("192.0.2.1", 4000, "inactive"), sdp("192.0.2.2", 6000, "inactive")),
        // The other side uses the refresh to hold.
        ("INVITE", alice_sdp(), sdp("192.0.2.2", 6000, "sendonly")),
    ];
    for (method, offer, answer) in offers {
        let mut tap = Tap::new();
        let held = request(method, 2, true).body(&offer);
        tap.call().talk(5).sip(&held).sip(&response(200, &held).body(&answer));
        let resumed = request("INVITE", 9, true).body(&alice_sdp());
        tap.wait(SECOND).sip(&resumed).sip(&response(200, &resumed).body(&bob_sdp()));
        assert!(tap.story()[0].ends_with("answered 0.5 held 0.6 resumed 1.6"), "{method} {offer}: {:?}", tap.story());
    }
}

#[test]
fn what_is_no_hold() {
    // Refused: everything stays.
    let mut tap = Tap::new();
    let refused = request("INVITE", 2, true).body(&sdp("192.0.2.77", 7777, "sendonly"));
    tap.call().talk(5).sip(&refused).sip(&response(488, &refused)).talk(5).finish();
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.1 answered 0.5 CaptureEnded 0.7"]);
    assert_eq!(tap.seconds(1, Side::Calling), 0.2);
    // One way from the start, and refreshed as such.
    let mut tap = Tap::new();
    let one_way = sdp("192.0.2.1", 4000, "sendonly");
    let invite = request("INVITE", 1, false).body(&one_way);
    let refresh = request("INVITE", 2, true).body(&one_way);
    let answer = sdp("192.0.2.2", 6000, "recvonly");
    tap.sip(&invite).sip(&response(200, &invite).body(&answer)).sip(&refresh).sip(&response(200, &refresh).body(&answer)).finish();
    assert_eq!(tap.story(), ["offered 0.0 answered 0.0 CaptureEnded 0.0"]);
}

#[test]
fn an_offer_in_the_200_to_a_re_invite_is_answered_in_its_ack() {
    let mut tap = Tap::new();
    let again = request("INVITE", 2, true);
    tap.call().talk(5).sip(&again).sip(&response(200, &again).body(&sdp("192.0.2.2", 6000, "sendonly")));
    assert!(!tap.story()[0].contains("held"));
    tap.sip(&request("ACK", 2, true).body(&sdp("192.0.2.1", 4000, "recvonly")));
    assert!(tap.story()[0].ends_with("held 0.6"), "{:?}", tap.story());
}

#[test]
fn sound_follows_to_a_new_address() {
    let mut tap = Tap::new();
    let moved = back("INVITE", 5).body(&sdp("192.0.2.9", 9000, "sendrecv"));
    tap.call().talk(10).sip(&moved).sip(&response(200, &moved).body(&alice_sdp()));
    for sequence in 35..45 {
        tap.rtp("192.0.2.1:4000", "192.0.2.9:9000", 7, sequence).rtp("192.0.2.9:9000", "192.0.2.1:4000", 99, 1_000 + sequence).wait(20_000);
    }
    tap.finish();
    assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(1, Side::Called)), (0.4, 0.4));
    assert_eq!(tap.counters().unbound, 0);
}

#[test]
fn a_challenge_is_part_of_the_call() {
    for code in [401, 407, 302, 422] {
        let mut tap = Tap::new();
        let first = request("INVITE", 1, false).body(&alice_sdp());
        let second = request("INVITE", 2, false).body(&alice_sdp());
        tap.sip(&first).sip(&response(code, &first)).sip(&request("ACK", 1, true).branch(&first.branch)).wait(SECOND);
        tap.sip(&second).sip(&response(180, &second)).sip(&response(200, &second).body(&bob_sdp())).talk(10);
        tap.sip(&request("BYE", 3, true)).wait(3 * SECOND);
        assert_eq!(tap.story(), ["offered 0.0 ringing 1.0 answered 1.0 HungUp 1.2"], "{code}");
        assert_eq!(tap.seconds(1, Side::Called), 0.2);
    }
    // Nobody comes back: it was refused when it was.
    let mut tap = Tap::new();
    let first = request("INVITE", 1, false);
    tap.sip(&first).wait(SECOND).sip(&response(401, &first)).wait(31 * SECOND);
    assert_eq!(tap.story(), ["offered 0.0"]);
    tap.wait(2 * SECOND);
    assert_eq!(tap.story(), ["offered 0.0 Rejected 1.0"]);
}

#[test]
fn refusals_and_cancellations() {
    let invite = request("INVITE", 1, false).body(&alice_sdp());
    let mut tap = Tap::new();
    let busy = response(486, &invite);
    tap.sip(&invite).wait(SECOND).sip(&busy).sip(&busy).sip(&request("ACK", 1, true).branch(&invite.branch)).sip(&invite);
    assert_eq!(tap.story(), ["offered 0.0 Rejected 1.0"], "a late copy of the INVITE opens nothing");
    assert_eq!(tap.counters().sip_strays, 1);

    let cancel = request("CANCEL", 1, false).branch(&invite.branch);
    let mut tap = Tap::new();
    tap.sip(&invite).wait(SECOND).sip(&cancel).sip(&response(200, &cancel)).wait(100_000).sip(&response(487, &invite));
    assert_eq!(tap.story(), ["offered 0.0 Cancelled 1.1"]);
    let mut tap = Tap::new();
    tap.sip(&invite).wait(SECOND).sip(&cancel).wait(40 * SECOND);
    assert_eq!(tap.story(), ["offered 0.0 Cancelled 1.0"], "without any answer");
    let mut tap = Tap::new();
    tap.sip(&invite).sip(&cancel).sip(&response(200, &invite).body(&bob_sdp())).wait(60 * SECOND).finish();
    assert_eq!(tap.story(), ["offered 0.0 answered 0.0 CaptureEnded 60.0"], "the 200 was faster");
    let mut tap = Tap::new();
    tap.sip(&invite).sip(&cancel).wait(SECOND).finish();
    assert_eq!(tap.story(), ["offered 0.0 Cancelled 0.0"], "also where the capture ends meanwhile");
}

#[test]
fn a_forked_call_is_over_when_its_last_branch_is() {
    let invite = request("INVITE", 1, false).body(&alice_sdp());
    let fork = |name: &str| invite.clone().branch(name);
    let mut tap = Tap::new();
    tap.sip(&invite).sip(&fork("f1")).sip(&fork("f2")).sip(&response(180, &fork("f1")).tagged("x")).sip(&response(180, &fork("f2")).tagged("b"));
    tap.wait(SECOND).sip(&response(486, &fork("f1")).tagged("x")).wait(40 * SECOND);
    tap.sip(&response(200, &fork("f2")).body(&bob_sdp())).sip(&response(200, &invite).body(&bob_sdp())).talk(5);
    // Another fork answers too and is hung up at once.
    tap.sip(&response(200, &fork("f1")).tagged("x")).sip(&request("BYE", 2, true).tagged("x")).talk(5).finish();
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.0 answered 41.0 CaptureEnded 41.2"]);
    assert_eq!((tap.counters().calls, tap.counters().sip_strays), (1, 2));
    let mut tap = Tap::new();
    tap.sip(&invite).sip(&fork("f1")).sip(&response(486, &fork("f1"))).wait(SECOND).sip(&response(603, &invite));
    assert_eq!(tap.story(), ["offered 0.0 Rejected 1.0"]);
    let mut tap = Tap::new();
    tap.sip(&invite).sip(&fork("f1")).sip(&response(486, &fork("f1"))).wait(SECOND).finish();
    assert_eq!(tap.story(), ["offered 0.0 CaptureEnded 1.0"], "the other branch was ringing");
    let mut tap = Tap::new();
    tap.sip(&invite).sip(&fork("f1")).wait(SECOND).sip(&response(486, &fork("f1"))).wait(400 * SECOND);
    assert_eq!(tap.story(), ["offered 0.0 Rejected 1.0"], "the answer to the other branch was never seen");
}

#[test]
fn two_mirrored_legs_with_a_relay_are_one_call() {
    // The proxy writes its relay's addresses into both descriptions.
    let mut tap = Tap::new();
    let invite = request("INVITE", 1, false).body(&alice_sdp());
    let onward = invite.clone().branch("proxy").body(&sdp("192.0.2.50", 5000, "sendrecv"));
    tap.sip(&invite).sip(&onward).sip(&response(200, &onward).body(&bob_sdp()));
    tap.sip(&response(200, &invite).body(&sdp("192.0.2.50", 5002, "sendrecv")));
    for sequence in 0..50 {
        tap.rtp(ALICE_MEDIA, "192.0.2.50:5002", 7, sequence).rtp("192.0.2.50:5000", BOB_MEDIA, 7, sequence);
        tap.rtp(BOB_MEDIA, "192.0.2.50:5000", 8, sequence).rtp("192.0.2.50:5002", ALICE_MEDIA, 8, sequence).wait(20_000);
    }
    tap.sip(&request("BYE", 2, true)).sip(&request("BYE", 2, true).branch("proxy")).wait(3 * SECOND);
    assert_eq!(tap.story(), ["offered 0.0 answered 0.0 HungUp 1.0"]);
    assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(1, Side::Called)), (1.0, 1.0));
    assert_eq!(tap.streams(1).map(|facts| facts.unwrap().duplicated), [0, 0]);
    assert_eq!(tap.counters().rtp_duplicated, 100);
}

#[test]
fn behind_nat_one_known_end_is_enough() {
    let mut tap = Tap::new();
    let invite = request("INVITE", 1, false).body(&sdp("10.0.0.5", 4000, "sendrecv"));
    tap.sip(&invite).sip(&response(200, &invite).body(&bob_sdp()));
    for sequence in 0..10 {
        tap.rtp("203.0.113.7:61000", BOB_MEDIA, 7, sequence).rtp(BOB_MEDIA, "203.0.113.7:61000", 8, sequence);
        tap.rtp("203.0.113.7:61000", "198.51.100.1:9", 9, sequence).wait(20_000);
    }
    assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(1, Side::Called)), (0.2, 0.2));
    assert_eq!(tap.counters().unbound, 10);
}

#[test]
fn the_next_call_at_the_same_address_has_its_own_sound() {
    let mut tap = Tap::new();
    tap.call().talk(10).sip(&request("BYE", 2, true));
    let invite = request("INVITE", 1, false).call_id("two").body(&alice_sdp());
    tap.sip(&invite).sip(&response(200, &invite).body(&bob_sdp())).talk(20).finish();
    assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(2, Side::Calling)), (0.2, 0.4));
    // Its BYE was lost; the next call takes over when it is answered, and an INVITE alone takes nothing away.
    let third = request("INVITE", 1, false).call_id("three").body(&alice_sdp());
    let fourth = request("INVITE", 1, false).call_id("four").body(&alice_sdp());
    tap.sip(&third).sip(&response(200, &third).body(&bob_sdp())).talk(10);
    tap.sip(&fourth).sip(&response(183, &fourth).body(&bob_sdp())).talk(10);
    tap.sip(&response(200, &fourth)).talk(10).finish();
    assert_eq!((tap.seconds(3, Side::Called), tap.seconds(4, Side::Called)), (0.4, 0.2));
}

#[test]
fn an_address_of_a_call_that_is_over_belongs_to_nobody() {
    let mut tap = Tap::new();
    tap.call().talk(10).sip(&request("BYE", 2, true)).talk(10);
    let invite = request("INVITE", 1, false).call_id("two").body(&sdp("192.0.2.30", 3000, "sendrecv"));
    tap.sip(&invite).sip(&response(200, &invite).body(&sdp("192.0.2.40", 4000, "sendrecv"))).talk(10);
    tap.finish();
    assert_eq!((tap.seconds(1, Side::Calling), tap.audio.len(), tap.counters().rtp_after_end), (0.2, 20, 40));
}

#[test]
fn calls_that_fall_silent_end_where_they_did() {
    let mut tap = Tap::new();
    tap.call().talk(50).wait(119 * SECOND);
    assert_eq!(tap.counters().calls_open, 1);
    tap.wait(3 * SECOND);
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.1 answered 0.5 SilenceTimeout 1.5"]);
    // On hold it may be silent for long, and without any sound seen at all for longer.
    let mut tap = Tap::new();
    let held = request("INVITE", 2, true).body(&sdp("192.0.2.1", 4000, "inactive"));
    tap.call().talk(5).sip(&held).sip(&response(200, &held).body(&sdp("192.0.2.2", 6000, "inactive"))).wait(3_590 * SECOND);
    assert_eq!(tap.counters().calls_open, 1);
    let mut tap = Tap::new();
    tap.call().wait(3 * 3_600 * SECOND).sip(&request("BYE", 2, true));
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.1 answered 0.5 HungUp 10800.5"]);
}

#[test]
fn a_box_that_cannot_keep_up_follows_calls_by_their_signalling_alone() {
    let mut tap = Tap::new();
    tap.call().talk(50);
    tap.dialogs.be_deaf(true);
    tap.talk(50).wait(600 * SECOND);
    assert_eq!((tap.counters().calls_open, tap.counters().media_shed, tap.counters().rtp_packets), (1, 100, 100));
    tap.sip(&request("BYE", 2, true)).wait(3 * SECOND);
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.1 answered 0.5 HungUp 602.5"]);

    // Once it listens again, silence counts again, and from then on.
    let mut tap = Tap::new();
    tap.call().talk(50);
    tap.dialogs.be_deaf(true);
    tap.wait(600 * SECOND);
    tap.dialogs.be_deaf(false);
    tap.wait(119 * SECOND);
    assert_eq!(tap.counters().calls_open, 1);
    tap.wait(3 * SECOND);
    assert_eq!(tap.counters().calls_open, 0);
}

#[test]
fn a_call_that_nobody_answers_is_given_up() {
    let mut tap = Tap::new();
    let invite = request("INVITE", 1, false);
    tap.sip(&invite).sip(&response(180, &invite)).sip(&response(183, &invite)).wait(299 * SECOND).sip(&response(180, &invite));
    assert_eq!(tap.counters().calls_open, 1);
    tap.wait(2 * SECOND);
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.0 SilenceTimeout 300.0"]);
}

#[test]
fn one_direction_alone_tells_the_answer_by_its_ack() {
    let mut tap = Tap::new();
    let invite = request("INVITE", 1, false).body(&alice_sdp());
    tap.sip(&invite).wait(SECOND).sip(&request("ACK", 1, true)).talk(5).sip(&request("BYE", 2, true)).wait(3 * SECOND);
    assert_eq!(tap.story(), ["offered 0.0 answered 1.0 HungUp 1.1"]);
    // The ACK to a refusal has the INVITE's own branch.
    let mut tap = Tap::new();
    tap.sip(&invite).sip(&request("ACK", 1, true).branch(&invite.branch)).finish();
    assert_eq!(tap.story(), ["offered 0.0 CaptureEnded 0.0"]);
}

#[test]
fn srtp_is_seen_and_not_decoded() {
    let mut tap = Tap::new();
    let secure = |text: String| text.replace("RTP/AVP", "RTP/SAVP");
    let invite = request("INVITE", 1, false).body(&secure(alice_sdp()));
    tap.sip(&invite).sip(&response(200, &invite).body(&secure(bob_sdp()))).talk(10).finish();
    assert_eq!((tap.audio.len(), tap.counters().rtp_encrypted), (0, 20));
    assert_eq!(tap.streams(1).map(|facts| facts.unwrap().undecodable), [10, 10]);
    // Keys offered and not taken: plain.
    let mut tap = Tap::new();
    let invite = request("INVITE", 1, false).body(&format!("{}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n", alice_sdp()));
    tap.sip(&invite).sip(&response(200, &invite).body(&bob_sdp())).talk(10).finish();
    assert_eq!(tap.audio.len(), 20);
}

#[test]
fn payload_types_are_those_negotiated_and_rtcp_is_told_apart() {
    let mut tap = Tap::new();
    tap.call();
    for sequence in 25..35 {
        tap.bytes(ALICE_MEDIA, BOB_MEDIA, rtp(if sequence == 30 { 101 } else { 0 }, sequence, 7));
        tap.bytes(ALICE_MEDIA, BOB_MEDIA, rtp(96, sequence, 7)).bytes(ALICE_MEDIA, BOB_MEDIA, rtp(200, sequence, 7)).wait(20_000);
    }
    let counters = tap.counters();
    assert_eq!((counters.rtp_sound, counters.rtp_silent, counters.rtp_unknown_type, counters.rtcp), (9, 1, 10, 10));
}

#[test]
fn a_payload_type_may_be_given_another_codec() {
    let described = |codec: &str| bob_sdp().replace("RTP/AVP 0", "RTP/AVP 96").replace("a=rtpmap:0 PCMU/8000", &format!("a=rtpmap:96 {codec}"));
    let mut tap = Tap::new();
    let invite = request("INVITE", 1, false).body(&alice_sdp());
    let changed = back("INVITE", 5).body(&described("G729/8000"));
    tap.sip(&invite).sip(&response(200, &invite).body(&described("PCMU/8000")));
    for sequence in 0..10 {
        if sequence == 5 {
            tap.sip(&changed).sip(&response(200, &changed).body(&alice_sdp()));
        }
        tap.bytes(ALICE_MEDIA, BOB_MEDIA, rtp(96, sequence, 7)).wait(20_000);
    }
    assert_eq!((tap.counters().rtp_sound, tap.counters().rtp_undecodable), (5, 5));
}

#[test]
fn at_the_cap_the_call_that_can_best_be_spared_goes() {
    let mut tap = Tap::with(Limits { calls: 3, ..Limits::default() });
    let invite = |name: &str| request("INVITE", 1, false).call_id(name).body(&alice_sdp());
    tap.call().talk(5);
    for name in ["two", "three", "four", "five"] {
        tap.wait(SECOND).sip(&invite(name));
    }
    let ended: Vec<_> = tap.events.iter().filter(|event| matches!(event, CallEvent::Ended { .. })).map(|event| event.call().0).collect();
    assert_eq!((ended, tap.counters().calls_open, tap.counters().calls_evicted), (vec![2, 3], 3, 2));
    // All answered: the one that was never heard goes, not the one that talks.
    for name in ["four", "five"] {
        tap.sip(&response(200, &invite(name)));
    }
    tap.sip(&invite("six"));
    assert_eq!(tap.story()[3], "offered 3.6 answered 4.6 Evicted 4.6");
    assert!(tap.story()[0].ends_with("answered 0.5"));
}

#[test]
fn a_flood_of_invites_stays_within_its_bounds() {
    let mut tap = Tap::with(Limits { calls: 100, ..Limits::default() });
    for number in 0..5_000u32 {
        let address = format!("10.{}.{}.1", number / 250, number % 250);
        let invite = request("INVITE", 1, false).call_id(&number.to_string()).body(&sdp(&address, 4_000, "sendrecv"));
        tap.sip(&invite);
    }
    assert_eq!((tap.counters().calls, tap.counters().calls_open, tap.counters().calls_evicted), (5_000, 100, 4_900));
    tap.finish();
    assert_eq!(tap.events.len(), 10_000);
}

#[test]
fn a_stamp_from_the_future_ends_nothing() {
    let mut tap = Tap::new();
    tap.call().talk(10);
    let now = tap.at;
    tap.at = now.plus(365 * 86_400 * SECOND);
    tap.rtp(ALICE_MEDIA, BOB_MEDIA, 7, 35);
    tap.at = now.plus(20_000);
    tap.talk(10).finish();
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.1 answered 0.5 CaptureEnded 0.9"]);
    // A second one that agrees: time has passed.
    let mut tap = Tap::new();
    tap.call().talk(10);
    tap.at = tap.at.plus(365 * 86_400 * SECOND);
    tap.bytes(ALICE, BOB, vec![0]).bytes(ALICE, BOB, vec![0]);
    assert!(tap.story()[0].ends_with("SilenceTimeout 0.7"));
}
