//! A million Call-IDs thrown at the listener, while true calls are offered, ring, talk and end.

use super::*;

/// True calls at once.
const CALLS: u16 = 50;
/// Call-IDs of nobody.
const FLOOD: u32 = 1_000_000;
/// Steps of 20 ms: each true call rings for a while, talks, and ends.
const STEPS: u32 = 400;

struct Parties {
    offer: Sip,
    answer: String,
    alice: (String, String),
    bob: (String, String),
}

fn parties(number: u16) -> Parties {
    let (one, other) = (format!("198.51.100.{number}"), format!("203.0.113.{number}"));
    let offer = request("INVITE", 1, false).call_id(&format!("true {number}")).body(&sdp(&one, 4000, "sendrecv"));
    Parties {
        offer,
        answer: sdp(&other, 6000, "sendrecv"),
        alice: (format!("{one}:5060"), format!("{one}:4000")),
        bob: (format!("{other}:5060"), format!("{other}:6000")),
    }
}

/// What each of the true calls came to: its story, and the seconds of sound of its sides.
fn play(flood: u32) -> (Vec<(String, f64, f64)>, Counters) {
    let mut tap = Tap::new();
    let all: Vec<Parties> = (0..CALLS).map(parties).collect();
    let mut bare = request("INVITE", 1, false).call_id("flood 0000000");
    bare.from = "<sip:nobody@example.net>;tag=n".into();
    // It names both addresses of a true call as its own, too.
    let naming = [("198.51.100.1", 4_000), ("203.0.113.1", 6_000)].map(|(ip, port)| bare.clone().body(&sdp(ip, port, "sendrecv")).text().into_bytes());
    let bare = bare.text().into_bytes();
    let place = bare.windows(6).position(|part| part == b"flood ").unwrap() + 6;
    let (mut sent, mut mine) = (0, Vec::new());
    for step in 0..STEPS {
        for (number, call) in all.iter().enumerate() {
            // They begin one after the other, so that each state meets the flood.
            if let Some(own) = step.checked_sub(number as u32) {
                call.step(own, number as u32, &mut tap);
            }
        }
        while sent < flood / STEPS * (step + 1) {
            sent += 1;
            let mut noise = if sent % 16 == 0 { naming[sent as usize / 16 % 2].clone() } else { bare.clone() };
            for (digit, sign) in noise[place..place + 7].iter_mut().rev().enumerate() {
                *sign = b'0' + (sent / 10u32.pow(digit as u32) % 10) as u8;
            }
            tap.bytes("192.0.2.66:5060", BOB, noise);
        }
        tap.wait(20_000);
        forget_the_flood(&mut tap, &mut mine);
    }
    tap.finish();
    forget_the_flood(&mut tap, &mut mine);
    let heard = |call: &u64| (tap.seconds(*call, Side::Calling), tap.seconds(*call, Side::Called));
    let came = tap.story().into_iter().zip(mine.iter().map(heard)).map(|(story, (one, other))| (story, one, other));
    (came.collect(), tap.counters())
}

impl Parties {
    /// What happens in this step of the call.
    fn step(&self, own: u32, number: u32, tap: &mut Tap) {
        let Self { offer, answer, alice, bob } = self;
        let (from, to, message) = match own {
            0 => (alice, bob, offer.clone()),
            1 => (bob, alice, response(180, offer)),
            50 => (bob, alice, response(200, offer).body(answer)),
            300 => (alice, bob, request("BYE", 2, true).call_id(&offer.call_id)),
            51..300 => {
                let sequence = i64::from(own);
                tap.rtp(&alice.1, &bob.1, number + 1, sequence).rtp(&bob.1, &alice.1, number + 1_001, sequence);
                return;
            }
            _ => return,
        };
        tap.bytes(&from.0, &to.0, message.text().into_bytes());
    }
}

/// Drops the events of calls of nobody; there are millions.
fn forget_the_flood(tap: &mut Tap, mine: &mut Vec<u64>) {
    tap.events.retain(|event| {
        if let CallEvent::Offered { call, calling, .. } = event
            && calling.user.expose() == "1001"
        {
            mine.push(call.0);
        }
        mine.contains(&event.call().0)
    });
}

#[test]
fn true_calls_are_what_they_are_without_it() {
    let (calm, _) = play(0);
    assert_eq!(calm.len(), usize::from(CALLS));
    assert!(calm.iter().all(|(story, ..)| story.contains("ringing") && story.contains("answered") && story.contains("HungUp")), "{calm:?}");
    let (flooded, counters) = play(FLOOD);
    assert_eq!(calm, flooded);
    assert_eq!(counters.calls, u64::from(FLOOD) + u64::from(CALLS));
    assert_eq!((counters.calls_open, counters.rtp_sound), (0, 2 * 249 * u64::from(CALLS)));
}
