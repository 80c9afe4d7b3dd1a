//! Signalling that is cut, or larger than anybody means it to be.

use std::time::{Duration, Instant};

use sotto_tests::make;
use sotto_tests::pcap::{Packet, to_bytes};
use sotto_tests::script::Script;

use crate::{call, ledger, quick_site, ran, replay, scores};

/// The longest payload of a UDP datagram in IPv4.
const LARGEST_DATAGRAM: usize = 65_507;

/// Each call has one of its messages cut at one place. The calls around it are none the worse for it, and every call is in the ledger.
#[test]
fn a_message_cut_anywhere_harms_no_other_call() {
    let site = quick_site();
    let messages = make(&Script::of(call(100))).unwrap().packets.into_iter().filter(Packet::is_signalling).count();
    for (message, length) in (0..messages).map(|message| (message, message_length(message))) {
        let cuts: Vec<usize> = (0..length).step_by(3).collect();
        let script = Script::repeated(&call(100), cuts.len() as u64 + 1, 400);
        let made = make(&script).unwrap();
        let mut packets = Vec::new();
        for (packet, (number, place)) in made.packets.iter().zip(places(&made.packets)) {
            let cut = cuts.get(number).filter(|_| place == Some(message));
            packets.push(cut.map_or_else(|| packet.clone(), |&cut| packet.with_payload(&packet.payload()[..cut])));
        }
        let path = site.write("cut.pcap", to_bytes(&packets)).unwrap();
        let ran = ran(&mut replay(&site, &path));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "message {message}");
        let ledger = ledger(&ran.out);
        assert_eq!(ledger["open"], 0, "message {message}: {ledger}");
        // Without its first message nobody can know of a call; without another everybody does.
        let least = if message == 0 { 1 } else { cuts.len() + 1 };
        let seen = ledger["calls_seen"].as_u64().unwrap() as usize;
        assert!((least..=cuts.len() + 1).contains(&seen), "message {message}: {seen} of {} calls", cuts.len() + 1);
        let whole = scores(&ran.out).into_iter().filter(|score| score["end_cause"] == "hung_up" && score["call_duration_ms"] == 100).count();
        assert!(whole >= 1, "message {message}: the whole call was not scored");
        let counted = crate::ran(replay(&site, &path).args(["--until", "dialog"]));
        let counts: serde_json::Value = serde_json::from_str(&counted.out).unwrap();
        assert!(counts["sip_malformed"].as_u64().unwrap() > 0, "message {message}: {counts}");
    }
}

/// An offer with as many media as fit into a datagram, well written or not.
#[test]
fn a_session_of_thousands_of_media_takes_no_time() {
    let site = quick_site();
    let made = make(&Script::repeated(&call(500), 2, 1_000)).unwrap();
    for line in ["m=audio 9 RTP/AVP 0\r\n", "m=a 9 a 0\n", "m=a\n", "m=\n", "a=rtpmap:0 PCMU/8000\r\n", "c=IN IP4 192.0.2.9\r\n"] {
        let mut packets = made.packets.clone();
        let first = packets.iter().position(|packet| packet.payload().starts_with(b"INVITE")).unwrap();
        let text = String::from_utf8(packets[first].payload().to_vec()).unwrap();
        let room = (LARGEST_DATAGRAM - text.len() - 8) / line.len();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let body = body.to_owned() + &line.repeat(room.min(10_000));
        let (head, _) = head.split_once("Content-Length:").unwrap();
        packets[first] = packets[first].with_payload(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        let path = site.write("media.pcap", to_bytes(&packets)).unwrap();
        let began = Instant::now();
        let ran = ran(&mut replay(&site, &path));
        let took = began.elapsed();
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line:?}");
        assert!(took < Duration::from_secs(5), "{line:?}: {took:?}");
        assert_eq!(ledger(&ran.out)["open"], 0, "{line:?}");
        assert!(scores(&ran.out).iter().any(|score| score["call_duration_ms"] == 500 && score["end_cause"] == "hung_up"), "{line:?}: {}", ran.out);
    }
}

/// Of each packet: the number of its call, and which of the call's messages it is.
fn places(packets: &[Packet]) -> Vec<(usize, Option<usize>)> {
    let mut number = 0;
    let mut message = 0;
    let mut places = Vec::with_capacity(packets.len());
    for packet in packets {
        if !packet.is_signalling() {
            places.push((number, None));
            continue;
        }
        if packet.payload().starts_with(b"INVITE") {
            number += usize::from(!places.is_empty());
            message = 0;
        }
        places.push((number, Some(message)));
        message += 1;
    }
    places
}

fn message_length(message: usize) -> usize {
    let made = make(&Script::of(call(100))).unwrap();
    made.packets.iter().filter(|packet| packet.is_signalling()).nth(message).unwrap().payload().len()
}
