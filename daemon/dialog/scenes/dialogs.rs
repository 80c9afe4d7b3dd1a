//! Dialogs that are not as simple: said to be over, transferred, running already, refreshed, on TCP, with keys.

use sotto_private::{Origin, Segment, SegmentFlags};

use super::*;
use crate::{ConsentHeader, Keys};

/// Where somebody else signals.
const CAROL: &str = "192.0.2.3:5060";
const MALLORY: &str = "203.0.113.66:5060";

impl Tap {
    fn from(&mut self, from: &str, to: &str, message: &Sip) -> &mut Self {
        self.bytes(from, to, message.text().into_bytes())
    }

    fn continues(&self, call: u64) -> Option<u64> {
        self.events.iter().find_map(|event| match event {
            CallEvent::Offered { call: of, continues, .. } if of.0 == call => continues.map(|before| before.0),
            _ => None,
        })
    }

    fn origins(&self) -> Vec<Origin> {
        let origin = |event: &CallEvent| if let CallEvent::Offered { origin, .. } = event { Some(*origin) } else { None };
        self.events.iter().filter_map(origin).collect()
    }

    /// What was heard, as the audio of each side in order.
    fn sound(&self) -> Vec<(u64, Side, i64, i64)> {
        let mut audio = self.audio.clone();
        audio.sort_by_key(|(call, side, start, _)| (*call, *side, *start));
        audio
    }
}

#[test]
fn a_bye_ends_a_call_when_it_falls_silent_and_not_when_it_goes_on() {
    // True: what still comes belongs to nobody.
    let mut tap = Tap::new();
    let bye = request("BYE", 2, true);
    tap.call().talk(50).sip(&bye).sip(&response(200, &bye)).talk(3).wait(600_000);
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.1 answered 0.5 HungUp 1.5"]);
    assert_eq!((tap.seconds(1, Side::Calling), tap.counters().rtp_after_end), (1.0, 6));
    // One side falls silent, the other has not noticed yet.
    let mut tap = Tap::new();
    tap.call().talk(50).sip(&bye);
    for _ in 0..110 {
        let sequence = tap.at.since(wall(0)) / 20_000;
        tap.rtp(BOB_MEDIA, ALICE_MEDIA, 8, sequence).wait(20_000);
    }
    assert!(tap.story()[0].ends_with("HungUp 1.5"), "{:?}", tap.story());
    assert_eq!(tap.seconds(1, Side::Called), 1.0);
    // Untrue, from an address that is believed: both go on.
    let mut tap = Tap::new();
    tap.call().talk(50).sip(&bye).sip(&response(200, &bye)).talk(200).finish();
    let mut without = Tap::new();
    without.call().talk(250).finish();
    assert_eq!((tap.story(), tap.sound()), (without.story(), without.sound()), "not one packet is missing");
    assert_eq!((tap.counters().byes_untrue, tap.counters().rtp_after_end), (1, 0));
    // A hold begins while it is in doubt: in order, once it is clear.
    let held = request("INVITE", 3, true).body(&sdp("192.0.2.1", 4000, "sendonly"));
    let mut tap = Tap::new();
    tap.call().talk(50).sip(&bye).talk(10).sip(&held).sip(&response(200, &held).body(&sdp("192.0.2.2", 6000, "recvonly"))).talk(150).finish();
    assert!(tap.story()[0].ends_with("answered 0.5 held 1.7 CaptureEnded 4.7"), "{:?}", tap.story());
    // Challenged: the call goes on until it comes again with credentials.
    let mut tap = Tap::new();
    tap.call().talk(50).sip(&bye).sip(&response(407, &bye)).talk(5).sip(&request("BYE", 3, true)).wait(3 * SECOND);
    assert!(tap.story()[0].ends_with("HungUp 1.6"), "{:?}", tap.story());
}

#[test]
fn a_forged_bye_ends_nothing() {
    let mut tap = Tap::new();
    tap.call();
    // Without sound, all depends on the name and the address.
    tap.from(MALLORY, ALICE, &back("BYE", 9)).from(MALLORY, BOB, &request("BYE", 9, true));
    let mut guessed = back("BYE", 9);
    guessed.from = "<sip:1002@pbx.example>;tag=guess".into();
    tap.from(BOB, ALICE, &guessed).from(BOB, ALICE, &request("BYE", 9, false)).wait(5 * SECOND);
    let mut other = request("BYE", 9, true);
    other.call_id = "two".into();
    tap.sip(&other);
    assert_eq!((tap.counters().calls_open, tap.counters().byes_foreign, tap.counters().sip_strays), (1, 3, 2));
    // From a new address, and agreed to by who is known: the phone has moved.
    tap.from(MALLORY, ALICE, &back("BYE", 10)).from(ALICE, MALLORY, &response(200, &back("BYE", 10)));
    assert!(tap.story()[0].ends_with("HungUp 5.5"), "{:?}", tap.story());
}

#[test]
fn a_dialog_that_the_other_side_has_forgotten_is_over() {
    for code in [481, 408] {
        let mut tap = Tap::new();
        let again = request("INVITE", 2, true).body(&alice_sdp());
        tap.call().talk(50).sip(&again).sip(&response(code, &again)).wait(3 * SECOND);
        assert!(tap.story()[0].ends_with("HungUp 1.5"), "{code}: {:?}", tap.story());
        let mut tap = Tap::new();
        let bye = request("BYE", 2, true);
        tap.call().talk(50).from(MALLORY, BOB, &bye).sip(&response(code, &bye)).wait(3 * SECOND);
        assert!(tap.story()[0].ends_with("HungUp 1.5"), "{code}: {:?}", tap.story());
    }
}

/// Alice is told to call Carol instead of Bob.
fn refer() -> Sip {
    back("REFER", 5).header("Refer-To: \"Carol\" <sip:1003@pbx.example;user=phone>").header("Referred-By: <sip:1002@pbx.example>")
}

/// And does so.
fn onward() -> Sip {
    let mut invite = request("INVITE", 1, false).call_id("two").body(&sdp("192.0.2.1", 4002, "sendrecv"));
    (invite.first, invite.to) = ("INVITE sip:1003@192.0.2.3 SIP/2.0".into(), "<sip:1003@pbx.example>".into());
    invite
}

fn sipfrag(code: u16) -> Sip {
    let mut notify = request("NOTIFY", 9, true);
    notify.headers = "Event: refer\r\nContent-Type: message/sipfrag;version=2.0\r\n".into();
    notify.body = format!("SIP/2.0 {code} Whatever\r\n");
    notify
}

impl Sip {
    /// With the content type that its headers say.
    fn plain(&self) -> Vec<u8> {
        self.text().replacen("Content-Type: application/sdp\r\n", "", 1).into_bytes()
    }
}

#[test]
fn a_blind_transfer_is_one_story_in_two_calls() {
    let mut tap = Tap::new();
    tap.call().talk(50).sip(&refer()).sip(&response(202, &refer())).bytes(ALICE, BOB, sipfrag(100).plain());
    let bye = back("BYE", 6);
    tap.sip(&bye).sip(&response(200, &bye)).wait(SECOND);
    tap.from(ALICE, CAROL, &onward()).from(CAROL, ALICE, &response(200, &onward()).body(&sdp("192.0.2.3", 8000, "sendrecv"))).finish();
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.1 answered 0.5 Transferred 1.5", "offered 2.5 answered 2.5 CaptureEnded 2.5"]);
    assert_eq!((tap.continues(1), tap.continues(2)), (None, Some(1)));
    // The PBX calls on Alice's behalf, and the old call ends when the new one stands.
    let mut tap = Tap::new();
    let mut invite = onward();
    invite.from = "<sip:pbx@192.0.2.1>;tag=p".into();
    tap.call().talk(50).sip(&refer()).sip(&response(202, &refer())).from(ALICE, CAROL, &invite);
    tap.from(CAROL, ALICE, &response(200, &invite)).bytes(ALICE, BOB, sipfrag(200).plain()).wait(SECOND).sip(&bye).finish();
    assert_eq!(tap.story()[0], "offered 0.0 ringing 0.1 answered 0.5 Transferred 2.5");
    assert_eq!(tap.continues(2), Some(1));
}

#[test]
fn a_transfer_that_fails_is_none() {
    let bye = request("BYE", 6, true);
    let failed: [&dyn Fn(&mut Tap); 4] = [
        &|tap| _ = tap.sip(&response(603, &refer())),
        &|tap| _ = tap.sip(&response(202, &refer())).bytes(ALICE, BOB, sipfrag(486).plain()),
        &|tap| _ = tap.sip(&response(202, &refer())).from(ALICE, CAROL, &onward()).from(CAROL, ALICE, &response(486, &onward())),
        // To send something else than INVITE is no transfer.
        &|_| {},
    ];
    for (index, failed) in failed.into_iter().enumerate() {
        let mut tap = Tap::new();
        tap.call().talk(50).sip(&refer());
        failed(&mut tap);
        tap.talk(10).sip(&bye).wait(3 * SECOND);
        assert_eq!(tap.story()[0], "offered 0.0 ringing 0.1 answered 0.5 HungUp 1.7", "{index}");
    }
    // Somebody else's call to the same number, and a call much later, are stories of their own.
    let mut tap = Tap::new();
    let mut other = onward();
    other.from = "<sip:1009@pbx.example>;tag=z".into();
    tap.call().sip(&refer()).sip(&response(202, &refer())).from("192.0.2.9:5060", CAROL, &other);
    tap.wait(40 * SECOND).from(ALICE, CAROL, &onward().call_id("three"));
    assert_eq!((tap.continues(2), tap.continues(3)), (None, None));
}

#[test]
fn an_attended_transfer_takes_over_the_call_that_replaces_names() {
    // Bob talks with Alice (1), asks Carol (2), and connects the two (3).
    let mut asked = request("INVITE", 1, false).call_id("ask@192.0.2.2").body(&sdp("192.0.2.2", 6002, "sendrecv"));
    (asked.from, asked.to) = ("<sip:1002@pbx.example>;tag=q".into(), "<sip:1003@pbx.example>".into());
    let mut asked_answer = response(200, &asked).body(&sdp("192.0.2.3", 8000, "sendrecv"));
    asked_answer.to = "<sip:1003@pbx.example>;tag=c".into();
    let mut refer = back("REFER", 5);
    refer.headers = "Refer-To: <sip:1003@192.0.2.3?Replaces=ask%40192.0.2.2%3Bto-tag%3Dc%3Bfrom-tag%3Dq&Require=replaces>\r\n".into();
    let connected = onward().header("Replaces: ask@192.0.2.2;from-tag=q;to-tag=c");
    let mut asked_bye = asked.clone().branch("bye").body("");
    (asked_bye.first, asked_bye.from) = ("BYE sip:1002@pbx.example SIP/2.0".into(), "<sip:1003@pbx.example>;tag=c".into());
    (asked_bye.to, asked_bye.cseq) = ("<sip:1002@pbx.example>;tag=q".into(), "1 BYE".into());

    let mut tap = Tap::new();
    tap.call().talk(50).from(BOB, CAROL, &asked).from(CAROL, BOB, &asked_answer).wait(SECOND);
    tap.sip(&refer).sip(&response(202, &refer)).from(ALICE, CAROL, &connected).from(CAROL, ALICE, &response(200, &connected));
    tap.from(CAROL, BOB, &asked_bye).sip(&back("BYE", 6)).finish();
    assert_eq!(
        tap.story(),
        [
            "offered 0.0 ringing 0.1 answered 0.5 Transferred 2.5",
            "offered 1.5 answered 1.5 Transferred 2.5",
            "offered 2.5 answered 2.5 CaptureEnded 2.5"
        ]
    );
    assert_eq!(tap.continues(3), Some(1), "the story of who was transferred");
    // Seen without its REFER, and with tags that are not the dialog's.
    for (replaces, continues, end) in [
        ("ask@192.0.2.2;to-tag=q;from-tag=c", Some(1), "Transferred"),
        ("ask@192.0.2.2;to-tag=c;from-tag=wrong", None, "HungUp"),
        ("ask@192.0.2.2;to-tag=wrong;from-tag=q", None, "HungUp"),
        ("other;to-tag=c;from-tag=q", None, "HungUp"),
        ("ask@192.0.2.2;to-tag=c", None, "HungUp"),
        ("ask@192.0.2.2;to-tag=c;from-tag=q;early-only", None, "HungUp"),
    ] {
        let mut tap = Tap::new();
        let connected = onward().header(&format!("Replaces: {replaces}"));
        tap.from(BOB, CAROL, &asked).from(CAROL, BOB, &asked_answer).from(ALICE, CAROL, &connected);
        tap.from(CAROL, ALICE, &response(200, &connected)).from(CAROL, BOB, &asked_bye).finish();
        assert_eq!(tap.continues(2), continues, "{replaces}");
        assert!(tap.story()[0].ends_with(&format!("{end} 0.0")), "{replaces}: {:?}", tap.story());
    }
    // A call that rings is picked up elsewhere.
    let mut tap = Tap::new();
    let mut ringing = response(180, &asked);
    ringing.to.clone_from(&asked_answer.to);
    let picked = onward().header("Replaces: ask@192.0.2.2;to-tag=q;from-tag=c;early-only");
    let mut refused = response(487, &asked);
    refused.to.clone_from(&asked_answer.to);
    tap.from(BOB, CAROL, &asked).from(CAROL, BOB, &ringing).from(ALICE, BOB, &picked).from(BOB, ALICE, &response(200, &picked));
    tap.from(CAROL, BOB, &refused).finish();
    assert_eq!((tap.story()[0].as_str(), tap.continues(2)), ("offered 0.0 ringing 0.0 Transferred 0.0", Some(1)));
}

#[test]
fn a_call_that_was_running_is_known_by_what_it_says_next() {
    let again = back("INVITE", 5).body(&bob_sdp()).header("P-Asserted-Identity: <tel:+15551002>");
    let openings: [Vec<Sip>; 4] = [
        vec![again.clone(), response(200, &again).body(&alice_sdp())],
        vec![back("UPDATE", 5).body(&bob_sdp()), response(200, &back("UPDATE", 5)).body(&alice_sdp())],
        vec![response(200, &request("INVITE", 1, true)).body(&bob_sdp()), request("ACK", 1, true).body(&alice_sdp())],
        vec![request("ACK", 1, true).body(&alice_sdp()), back("INVITE", 5).body(&bob_sdp()), response(200, &back("INVITE", 5)).body(&alice_sdp())],
    ];
    for (index, opening) in openings.into_iter().enumerate() {
        let mut tap = Tap::new();
        for message in &opening {
            tap.sip(message);
        }
        let bye = request("BYE", 6, true);
        tap.talk(50).sip(&bye).sip(&response(200, &bye)).finish();
        assert_eq!((tap.story(), tap.origins()), (vec!["offered 0.0 answered 0.0 HungUp 1.0".to_owned()], vec![Origin::MidDialog]), "{index}");
        assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(1, Side::Called)), (1.0, 1.0), "{index}");
    }
    let mut tap = Tap::new();
    tap.sip(&again);
    let CallEvent::Offered { calling, called, .. } = &tap.events[0] else { panic!() };
    assert_eq!((calling.identity(), called.identity()), ("tel:+15551002", "sip:1001@pbx.example"));
    // It was being put on hold, and comes back.
    let mut tap = Tap::new();
    let held = request("INVITE", 5, true).body(&sdp("192.0.2.1", 4000, "sendonly"));
    let resumed = request("INVITE", 6, true).body(&alice_sdp());
    tap.sip(&held).sip(&response(200, &held).body(&sdp("192.0.2.2", 6000, "recvonly"))).wait(SECOND);
    tap.sip(&resumed).sip(&response(200, &resumed).body(&bob_sdp())).finish();
    assert_eq!(tap.story(), ["offered 0.0 answered 0.0 held 0.0 resumed 1.0 CaptureEnded 1.0"]);
}

#[test]
fn what_opens_no_call() {
    let mut tap = Tap::new();
    let one_tag = response(200, &request("INVITE", 1, false)).body(&bob_sdp());
    let mut no_from = one_tag.clone();
    no_from.from = "<sip:1001@pbx.example>".into();
    tap.sip(&request("BYE", 6, true)).sip(&request("INVITE", 5, true)).sip(&request("CANCEL", 5, false)).sip(&no_from);
    tap.sip(&response(183, &request("INVITE", 1, true)).body(&bob_sdp())).sip(&response(486, &request("INVITE", 1, true)));
    assert_eq!((tap.events.len(), tap.counters().sip_strays), (0, 6));
    // The tail of a call that is over.
    tap.call().sip(&request("BYE", 2, true)).sip(&request("INVITE", 3, true).body(&alice_sdp()));
    assert_eq!(tap.counters().calls, 1);
}

#[test]
fn an_early_fork_that_answers_without_a_description_has_said_it_before() {
    let invite = request("INVITE", 1, false).body(&alice_sdp());
    let mut tap = Tap::new();
    tap.sip(&invite).sip(&response(183, &invite).tagged("x").body(&sdp("192.0.2.70", 7000, "sendrecv")));
    tap.sip(&response(183, &invite).body(&bob_sdp())).sip(&response(183, &invite).tagged("y").body(&sdp("192.0.2.71", 7000, "sendrecv")));
    tap.sip(&response(200, &invite)).sip(&request("ACK", 1, true));
    for sequence in 0..10 {
        tap.rtp(BOB_MEDIA, "192.0.2.1:9", 8, sequence).rtp("192.0.2.70:7000", "192.0.2.1:9", 9, sequence).wait(20_000);
    }
    assert_eq!((tap.seconds(1, Side::Called), tap.counters().unbound), (0.2, 10));
    // One of several that ring is given up; the other one rings on.
    let mut tap = Tap::new();
    tap.sip(&invite).sip(&response(183, &invite).tagged("x").body(&bob_sdp())).sip(&response(183, &invite).body(&bob_sdp()));
    tap.sip(&request("BYE", 2, true).tagged("x")).sip(&response(200, &invite).body(&bob_sdp())).finish();
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.0 answered 0.0 CaptureEnded 0.0"]);
}

#[test]
fn a_session_that_nobody_refreshes_is_over() {
    let invite = request("INVITE", 1, false).body(&alice_sdp());
    let mut tap = Tap::new();
    tap.sip(&invite).sip(&response(200, &invite).header("Session-Expires: 1800;refresher=uac").body(&bob_sdp()));
    let refresh = request("UPDATE", 2, true);
    tap.wait(900 * SECOND).sip(&refresh).sip(&response(200, &refresh).header("x: 1800"));
    tap.wait(1_830 * SECOND);
    assert_eq!(tap.counters().calls_open, 1);
    tap.wait(5 * SECOND);
    assert_eq!(tap.story(), ["offered 0.0 answered 0.0 SilenceTimeout 900.0"]);
    // It is still heard: the refresh passed by.
    let mut tap = Tap::new();
    tap.sip(&invite).sip(&response(200, &invite).header("Session-Expires: 90").body(&bob_sdp())).talk(50 * 150).finish();
    assert_eq!(tap.story(), ["offered 0.0 answered 0.0 CaptureEnded 150.0"]);
    // Said no more: it needs no refresh.
    let mut tap = Tap::new();
    tap.sip(&invite).sip(&response(200, &invite).header("Session-Expires: 90").body(&bob_sdp()));
    tap.sip(&refresh).sip(&response(200, &refresh)).wait(3_000 * SECOND);
    assert_eq!(tap.counters().calls_open, 1);
}

#[test]
fn the_charters_keys_are_heard_in_info_and_no_others() {
    let info = |cseq: u32, kind: &str, body: &str| {
        let mut info = back("INFO", cseq);
        (info.headers, info.body) = (format!("Content-Type: {kind}\r\n"), body.to_owned());
        info.plain()
    };
    let mut tap = Tap::new();
    tap.dialogs = Dialogs::new(Limits::default()).with_keys(Keys::new("*9", "*7", "*8"));
    tap.call();
    let relay = "application/dtmf-relay";
    for (number, body) in ["4", "1", "*", "1"].iter().enumerate() {
        tap.bytes(BOB, ALICE, info(number as u32 + 1, relay, &format!("Signal={body}\r\nDuration=160\r\n")));
    }
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.1 answered 0.5"]);
    tap.bytes(BOB, ALICE, info(5, "application/dtmf", "*")).wait(SECOND).bytes(BOB, ALICE, info(5, "application/dtmf", "*"));
    tap.bytes(BOB, ALICE, info(6, relay, "Signal = 7\r\n")).wait(SECOND).bytes(BOB, ALICE, info(7, relay, "Duration=1\nsignal=10"));
    tap.bytes(BOB, ALICE, info(8, "APPLICATION/DTMF ;x", " 8\r\n")).wait(SECOND);
    tap.bytes(BOB, ALICE, info(9, relay, "Signal=*")).bytes(BOB, ALICE, info(10, "text/plain", "9")).bytes(BOB, ALICE, info(11, relay, "Signal=9")).finish();
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.1 answered 0.5 paused 1.5 continued 2.5 objected 3.5 CaptureEnded 3.5"]);
}

#[test]
fn the_pbx_says_in_a_header_what_the_customer_said() {
    let listening = || {
        let mut tap = Tap::new();
        tap.dialogs = Dialogs::new(Limits::default()).with_consent_header(ConsentHeader::new("x-consent", "yes", "no"));
        tap
    };
    let mut tap = listening();
    let invite = request("INVITE", 1, false).header("X-CONSENT : yes").body(&alice_sdp());
    tap.sip(&invite).sip(&invite).wait(SECOND).sip(&response(200, &invite).body(&bob_sdp()));
    tap.wait(SECOND).bytes(BOB, ALICE, back("INFO", 1).header("x-consent: No").plain()).finish();
    assert_eq!(tap.story(), ["offered 0.0 consented 0.0 answered 1.0 objected 2.0 CaptureEnded 2.0"]);
    // A stranger's yes is nobody's.
    let mut tap = listening();
    tap.call();
    tap.bytes(MALLORY, BOB, request("INFO", 2, true).header("X-Consent: yes").plain()).finish();
    assert!(!tap.story()[0].contains("consented"), "{:?}", tap.story());
}

#[test]
fn a_call_over_tcp_in_pieces() {
    let mut tap = Tap::new();
    let invite = request("INVITE", 1, false).body(&alice_sdp());
    let segment = |tap: &mut Tap, from: &str, to: &str, sequence: u32, bytes: &[u8]| {
        tap.number += 1;
        let flags = SegmentFlags::default();
        tap.dialogs.segment(Segment::new(tap.at, tap.number, from.parse().unwrap(), to.parse().unwrap(), sequence, flags, bytes.to_vec()));
        tap.drain();
    };
    let there = [invite.text(), "\r\n\r\n".to_owned()].concat();
    let back = [response(180, &invite).text(), response(200, &invite).body(&bob_sdp()).text()].concat();
    let half = there.len() / 2;
    segment(&mut tap, ALICE, BOB, 1, &there.as_bytes()[..half]);
    tap.wait(10_000);
    assert_eq!(tap.events.len(), 0);
    segment(&mut tap, ALICE, BOB, 1 + half as u32, &there.as_bytes()[half..]);
    segment(&mut tap, BOB, ALICE, 1, back.as_bytes());
    segment(&mut tap, ALICE, BOB, 1 + there.len() as u32, request("ACK", 1, true).text().as_bytes());
    tap.wait(10_000).talk(10).finish();
    assert_eq!(tap.story(), ["offered 0.0 ringing 0.0 answered 0.0 CaptureEnded 0.2"]);
    assert_eq!((tap.seconds(1, Side::Calling), tap.counters().sip_messages, tap.counters().tcp.segments), (0.2, 4, 4));
}

#[test]
fn a_flood_leaves_true_calls_as_they_were() {
    let mut tap = Tap::with(Limits { calls: 200, ..Limits::default() });
    tap.call().talk(5);
    let ringing = request("INVITE", 1, false).call_id("two").body(&sdp("192.0.2.1", 4002, "sendrecv"));
    tap.sip(&ringing).sip(&response(180, &ringing));
    for number in 0..2_000u32 {
        let flood = request("INVITE", 1, false).call_id(&format!("flood {number}")).body(&sdp("203.0.113.1", 9_000, "sendrecv"));
        tap.from(MALLORY, BOB, &flood);
        if number % 3 == 0 {
            tap.from(MALLORY, BOB, &response(200, &request("INVITE", 1, true).call_id(&format!("running {number}"))).body(&sdp("203.0.113.1", 9_000, "sendrecv")));
        }
    }
    tap.sip(&response(200, &ringing).body(&sdp("192.0.2.2", 6002, "sendrecv"))).talk(5).sip(&request("BYE", 2, true)).finish();
    let story = tap.story();
    assert_eq!(story[0], "offered 0.0 ringing 0.1 answered 0.5 HungUp 0.7");
    assert!(story[1].contains("ringing 0.6 answered 0.6 CaptureEnded"), "{}", story[1]);
    assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(1, Side::Called)), (0.2, 0.2));
}

/// Somebody outside the call, who knows its name, tells Alice to call Carol.
fn refer_from_outside(target_dialog: &str) -> Sip {
    let mut refer = request("REFER", 1, false).call_id("control").header("Refer-To: <sip:1003@pbx.example>");
    (refer.from, refer.to) = ("<sip:desk@pbx.example>;tag=d".into(), "<sip:1001@pbx.example>".into());
    if target_dialog.is_empty() { refer } else { refer.header(&format!("Target-Dialog: {target_dialog}")) }
}

#[test]
fn a_transfer_may_be_asked_for_from_outside_the_call() {
    const DESK: &str = "192.0.2.9:5060";
    let bye = back("BYE", 6);
    // By the names that either side has for the dialog.
    for named in ["one;local-tag=a;remote-tag=b", "one;remote-tag=a;local-tag=b"] {
        let mut tap = Tap::new();
        let refer = refer_from_outside(named);
        tap.call().talk(50).from(DESK, ALICE, &refer).from(ALICE, DESK, &response(202, &refer));
        tap.sip(&bye).sip(&response(200, &bye)).wait(SECOND).from(ALICE, CAROL, &onward()).from(CAROL, ALICE, &response(200, &onward())).finish();
        assert!(tap.story()[0].ends_with("Transferred 1.5"), "{named}: {:?}", tap.story());
        assert_eq!((tap.continues(2), tap.story().len()), (Some(1), 2), "{named}");
    }
    // Refused; accepted and failed, as Alice tells whoever asked; the call goes on and is hung up.
    let mut failed = sipfrag(486);
    failed.call_id = "control".into();
    (failed.from, failed.to) = ("<sip:1001@pbx.example>;tag=b".into(), "<sip:desk@pbx.example>;tag=d".into());
    let refer = refer_from_outside("one;local-tag=a;remote-tag=b");
    for is_refused in [true, false] {
        let mut tap = Tap::new();
        tap.call().talk(50).from(DESK, ALICE, &refer).from(ALICE, DESK, &response(if is_refused { 603 } else { 202 }, &refer));
        if !is_refused {
            tap.from(ALICE, CAROL, &onward()).bytes(ALICE, DESK, failed.plain());
        }
        tap.talk(10).sip(&bye).wait(3 * SECOND);
        assert!(tap.story()[0].ends_with("HungUp 1.7"), "{is_refused}: {:?}", tap.story());
    }
    // One that names no call, a wrong one, or one by wrong tags: the call that it asks for continues nothing.
    for named in ["", "two;local-tag=a;remote-tag=b", "one;local-tag=a;remote-tag=wrong", "one;local-tag=a"] {
        let mut tap = Tap::new();
        let refer = refer_from_outside(named);
        tap.call().talk(50).from(DESK, ALICE, &refer).from(ALICE, DESK, &response(202, &refer)).from(ALICE, CAROL, &onward());
        tap.sip(&bye).sip(&response(200, &bye)).wait(SECOND);
        assert!(tap.story()[0].ends_with("HungUp 1.5"), "{named}: {:?}", tap.story());
        assert_eq!(tap.continues(2), None, "{named}");
    }
}
