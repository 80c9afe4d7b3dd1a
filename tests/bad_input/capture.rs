//! Captures that are cut, empty, of another kind or not there.

use sotto_tests::pcap::{Packet, to_bytes};
use sotto_tests::random::Random;

use crate::{calls, ledger, quick_site, ran, refused, replay, scores};

/// Where a capture that is cut to `length` bytes cannot be read on: the packet, from 1, and its first byte. `None` where the cut falls between two.
fn broken_at(packets: &[Packet], length: usize) -> Option<(usize, usize)> {
    let mut offset = 24;
    for (number, packet) in (1..).zip(packets) {
        let end = offset + 16 + packet.frame.len();
        if length < end {
            return (length > offset).then_some((number, offset));
        }
        offset = end;
    }
    None
}

#[test]
fn a_capture_cut_anywhere_says_where_and_scores_the_rest() {
    let made = calls(2, 500);
    let whole = made.pcap();
    let site = quick_site();
    let mut random = Random::new(7, "cuts");
    let anywhere = (0..60).map(|_| (random.unit() * whole.len() as f64) as usize);
    // All around the first packets, in their headers and frames; and anywhere.
    let cuts: Vec<usize> = (24..60).chain(396..440).chain(anywhere).chain([whole.len() - 1, whole.len()]).collect();
    for length in cuts {
        let path = site.write("cut.pcap", &whole[..length]).unwrap();
        let ran = ran(&mut replay(&site, &path));
        let invites = made.packets.iter().filter(|packet| packet.is_signalling() && packet.payload().starts_with(b"INVITE"));
        let seen = invites.filter(|invite| end_of(&made.packets, invite) <= length).count();
        let answers = made.packets.iter().filter(|packet| packet.is_signalling() && packet.payload().starts_with(b"SIP/2.0 200") && contains(packet.payload(), b"CSeq: 1 INVITE"));
        let answered = answers.filter(|answer| end_of(&made.packets, answer) <= length).count();
        assert_eq!(ledger(&ran.out)["calls_seen"], seen, "{length}: {}", ran.out);
        assert_eq!(scores(&ran.out).len(), answered, "{length}: {}", ran.out);
        match broken_at(&made.packets, length) {
            None => assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{length}"),
            Some((packet, offset)) => {
                let place = format!("sotto: {}: packet {packet} at byte {offset}: ", path.display());
                assert_eq!(ran.code, 1, "{length}: {}", ran.err);
                assert!(ran.err.starts_with(&place) && ran.err.lines().count() == 1, "{length}: {} is not at {place}", ran.err);
            }
        }
    }
    for length in 0..24 {
        let path = site.write("cut.pcap", &whole[..length]).unwrap();
        assert!(refused(1, &mut replay(&site, &path)).contains("cut.pcap: "));
    }
}

#[test]
fn what_a_cut_capture_holds_is_committed() {
    let made = calls(3, 500);
    let whole = made.pcap();
    let site = quick_site();
    let path = site.write("cut.pcap", &whole[..whole.len() - 100]).unwrap();
    refused(1, replay(&site, &path).arg("--publish"));
    let ran = ran(site.sotto().unwrap().args(["status", "--json"]));
    let status: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&status["calls_seen"], &status["backlog"], &status["ledger"]["open"]), (&3.into(), &3.into(), &0.into()), "{status}");
}

/// One wrong file among others: the others are scored.
#[test]
fn a_file_that_is_none_is_named_and_the_others_are_scored() {
    let made = calls(1, 500);
    let site = quick_site();
    let good = site.write("good.pcap", made.pcap()).unwrap();
    site.write("empty.pcap", "").unwrap();
    site.write("text.pcap", "no capture at all\n".repeat(100)).unwrap();
    site.write("text.wav", "no sound at all\n".repeat(100)).unwrap();
    site.write("link.pcap", header_of_link_type(&made.pcap(), 147)).unwrap();
    made.write_wav(&site.path("good.wav")).unwrap();
    let wav = std::fs::read(site.path("good.wav")).unwrap();
    site.write("cut.wav", &wav[..wav.len() / 2]).unwrap();
    for (name, said) in [
        ("nowhere.pcap", "No such file"),
        ("empty.pcap", "is not a pcap"),
        ("text.pcap", "is not a pcap"),
        ("text.wav", "is not a "),
        ("link.pcap", "link type 147"),
        ("cut.wav", "byte "),
        ("/dev/null", "is not a pcap"),
        (".", "directory"),
    ] {
        let path = if name == "." { site.folder().to_owned() } else { site.path(name) };
        let why = refused(1, &mut replay(&site, &path));
        assert!(why.contains(path.to_str().unwrap()) && why.contains(said), "{name}: {why}");
        let ran = ran(replay(&site, &path).arg(&good));
        assert_eq!(ran.code, 1);
        assert!(scores(&ran.out).iter().any(|score| score["call_duration_ms"] == 500 && score["end_cause"] == "hung_up"), "{name}: {}", ran.out);
    }
    let ran = ran(&mut replay(&site, &good));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn a_capture_of_noise_is_no_capture_of_calls() {
    let site = quick_site();
    let mut random = Random::new(3, "noise");
    let mut noise = |length: usize| (0..length).map(|_| random.bits() as u8).collect::<Vec<u8>>();
    let packets: Vec<Packet> = (0..2_000).map(|at| Packet { at_us: at * 100, frame: noise(1 + at as usize % 300) }).collect();
    let ran = ran(&mut replay(&site, &site.write("noise.pcap", to_bytes(&packets)).unwrap()));
    assert_eq!((ran.code, ran.err.as_str(), &ledger(&ran.out)["calls_seen"]), (0, "", &0.into()));
}

/// The first byte after a packet in the file.
fn end_of(packets: &[Packet], packet: &Packet) -> usize {
    let place = packets.iter().position(|other| std::ptr::eq(other, packet)).unwrap();
    24 + packets[..=place].iter().map(|packet| 16 + packet.frame.len()).sum::<usize>()
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn header_of_link_type(pcap: &[u8], number: u8) -> Vec<u8> {
    let mut changed = pcap.to_vec();
    changed[20] = number;
    changed
}

#[test]
fn the_oracle_knows_where_packets_lie() {
    let packets = [3, 5].map(|length| Packet { at_us: 0, frame: vec![0; length] });
    let places = [24, 25, 42, 43, 44, 63, 64].map(|length| broken_at(&packets, length));
    assert_eq!(places, [None, Some((1, 24)), Some((1, 24)), None, Some((2, 43)), Some((2, 43)), None]);
}
