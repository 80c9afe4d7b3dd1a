//! Strangers on the wire: foreign sources of sound, forged hang-ups, packets sent again, noise. Not one sample of the true calls changes.

#[path = "attack/heard.rs"]
mod heard;

use std::net::SocketAddr;

use heard::{CALLS, Listener, TALK_MS, assert_same, calls, undisturbed};
use sotto_tests::Made;
use sotto_tests::frame::{self, DSCP_MEDIA, DSCP_SIGNALLING, Path};
use sotto_tests::pcap::Packet;
use sotto_tests::random::Random;

/// Where the stranger sits.
const STRANGER: &str = "203.0.113.66:5060";

/// The true calls with the packets of an attack among them, in order of time.
fn among(made: &Made, attack: Vec<Packet>) -> Vec<Packet> {
    let mut all = made.packets.clone();
    all.extend(attack);
    all.sort_by_key(|packet| packet.at_us);
    all
}

fn check(attack: impl FnOnce(&Made) -> Vec<Packet>) -> sotto_dialog::Counters {
    let made = calls();
    let without = undisturbed(&made);
    let packets = among(&made, attack(&made));
    let mut listener = Listener::new();
    packets.iter().for_each(|packet| listener.frame(packet));
    let (with, counters) = listener.finish();
    assert_same(&with, &without);
    counters
}

/// The RTP packets of each true stream, by the path that they take.
fn streams(made: &Made) -> Vec<(Path, Vec<&Packet>)> {
    let mut streams: Vec<(Path, Vec<&Packet>)> = Vec::new();
    for packet in made.packets.iter().filter(|packet| !packet.is_signalling()) {
        let path = packet.path();
        match streams.iter_mut().find(|(known, _)| (known.source, known.destination) == (path.source, path.destination)) {
            Some((_, packets)) => packets.push(packet),
            None => streams.push((path, vec![packet])),
        }
    }
    assert_eq!(streams.len(), 2 * CALLS);
    streams
}

/// Sources of their own, in the very rhythm of the true ones, between the very same addresses, from a second on.
fn foreign_sources(made: &Made) -> Vec<Packet> {
    let mut random = Random::new(1, "foreign");
    let mut attack = Vec::new();
    for (_, packets) in streams(made) {
        let ssrc = (random.bits() as u32).to_be_bytes();
        for packet in packets.iter().skip(50) {
            let mut rtp = packet.payload().to_vec();
            rtp[8..12].copy_from_slice(&ssrc);
            rtp[12..].fill(0x2a);
            attack.push(Packet { at_us: packet.at_us + 1_000, ..packet.with_payload(&rtp) });
        }
    }
    attack
}

/// For each call and each second: a BYE with tags of its own from where the true one would come, and the dialog's own BYE from somewhere else.
fn forged_byes(made: &Made) -> Vec<Packet> {
    let mut attack = Vec::new();
    let bye = |packet: &&Packet| packet.is_signalling() && packet.payload().starts_with(b"BYE ");
    for packet in made.packets.iter().filter(bye) {
        let text = String::from_utf8_lossy(packet.payload()).into_owned();
        for second in 1..i64::from(TALK_MS) / 1_000 {
            let at_us = packet.at_us - 1_000_000 * second;
            let forged = text.replace(";tag=", ";tag=f").replace("branch=z9hG4bK", &format!("branch=z9hG4bKf{second}"));
            attack.push(Packet { at_us, ..packet.with_payload(forged.as_bytes()) });
            let path = Path { source: STRANGER.parse().unwrap(), dscp: DSCP_SIGNALLING, ..packet.path() };
            attack.push(Packet { at_us: at_us + 3_000, frame: frame::build(&path, 7, text.as_bytes()) });
        }
    }
    assert_eq!(attack.len(), CALLS * 2 * 5);
    attack
}

/// Each packet of sound once more, a quarter of a second to two seconds later; each message once more.
fn replays(made: &Made) -> Vec<Packet> {
    let mut random = Random::new(2, "replay");
    let last = made.packets.iter().map(|packet| packet.at_us).max().unwrap();
    let again = made.packets.iter().map(|packet| Packet { at_us: packet.at_us + 250_000 + (random.unit() * 1_750_000.0) as i64, ..packet.clone() });
    again.filter(|packet| packet.at_us < last).collect()
}

/// A thousand packets a second on the ports of the calls, half of them from the true sender's address: bytes without meaning, and RTP headers without a stream.
fn noise(made: &Made) -> Vec<Packet> {
    let mut random = Random::new(3, "noise");
    let streams = streams(made);
    let first = streams.iter().map(|(_, packets)| packets[0].at_us).max().unwrap() + 100_000;
    let count = u64::from(TALK_MS) - 1_500;
    let packets = (0..count).map(|number| {
        let (true_path, _) = &streams[random.bits() as usize % streams.len()];
        let source: SocketAddr = if number % 2 == 0 { true_path.source } else { STRANGER.parse().unwrap() };
        let mut payload: Vec<u8> = (0..1 + random.bits() % 300).map(|_| random.bits() as u8).collect();
        if number % 4 < 2 && payload.len() > 12 {
            payload[..2].copy_from_slice(&[0x80, 0]);
        }
        Packet { at_us: first + 1_000 * number as i64, frame: frame::build(&Path { source, dscp: DSCP_MEDIA, ..*true_path }, 9, &payload) }
    });
    packets.collect()
}

#[test]
fn foreign_sources_are_kept_apart() {
    let counters = check(foreign_sources);
    assert!(counters.rtp_other_source > 0, "{counters:?}");
}

#[test]
fn a_forged_bye_ends_no_call() {
    check(forged_byes);
}

#[test]
fn what_is_sent_again_is_not_heard_again() {
    let counters = check(replays);
    assert!(counters.rtp_duplicated + counters.rtp_late > 0, "{counters:?}");
}

#[test]
fn noise_on_the_ports_is_not_heard() {
    check(noise);
}

#[test]
fn all_of_it_at_once() {
    check(|made| [foreign_sources(made), forged_byes(made), replays(made), noise(made)].concat());
}
