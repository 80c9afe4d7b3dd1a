//! Real SIP over TCP, where it is at hand: `SOTTO_DATA`, or `shared/data` beside the repository.

use std::path::{Path, PathBuf};

use sotto_private::{Segment, SegmentFlags};

use super::*;

/// A capture's TCP segments: as much of pcap, Ethernet and IPv4 as these files need.
fn segments(name: &str) -> Option<Vec<Segment>> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = std::env::var_os("SOTTO_DATA").map_or_else(beside, PathBuf::from).join("pcap").join(name);
    let Ok(file) = std::fs::read(path) else {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped: {name} is not at hand");
        return None;
    };
    let word = |at: usize| file.get(at..at + 4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
    // Ethernet, or the loopback of BSD.
    let link = if word(20)? == 1 { 14 } else { 4 };
    let (mut at, mut found) = (24, Vec::new());
    while let (Some(seconds), Some(micros), Some(length)) = (word(at), word(at + 4), word(at + 8)) {
        let packet = file.get(at + 16 + link..at + 16 + length as usize)?;
        at += 16 + length as usize;
        if packet[0] >> 4 != 4 || packet[9] != 6 {
            continue;
        }
        let whole = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        let tcp = packet.get(4 * usize::from(packet[0] & 15)..whole)?;
        let payload = tcp.get(4 * usize::from(tcp[12] >> 4)..)?.to_vec();
        let address = |ip: usize, port: usize| {
            let ip: [u8; 4] = packet[ip..ip + 4].try_into().unwrap();
            (ip, u16::from_be_bytes([tcp[port], tcp[port + 1]])).into()
        };
        let flags = SegmentFlags { fin: tcp[13] & 1 != 0, syn: tcp[13] & 2 != 0, rst: tcp[13] & 4 != 0 };
        let sequence = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
        let wall = Wall::from_micros(i64::from(seconds) * SECOND + i64::from(micros));
        found.push(Segment::new(wall, found.len() as u64 + 1, address(12, 0), address(16, 2), sequence, flags, payload));
    }
    Some(found)
}

/// Cut into pieces of at most so many bytes.
fn cut(segments: &[Segment], most: usize) -> Vec<Segment> {
    let mut pieces = Vec::new();
    for segment in segments {
        let Segment { at, number, source, destination, sequence, flags, .. } = *segment;
        let first = sequence.wrapping_add(u32::from(flags.syn));
        if segment.payload().is_empty() {
            pieces.push(Segment::new(at, number, source, destination, sequence, flags, Vec::new()));
        }
        for (index, piece) in segment.payload().chunks(most).enumerate() {
            let offset = (index * most) as u32;
            let last = (index + 1) * most >= segment.payload().len();
            let flags = SegmentFlags { syn: flags.syn && index == 0, fin: flags.fin && last, rst: flags.rst && last };
            let sequence = if flags.syn { sequence } else { first.wrapping_add(offset) };
            pieces.push(Segment::new(at, number, source, destination, sequence, flags, piece.to_vec()));
        }
    }
    pieces
}

#[test]
fn the_captures_give_the_same_messages_however_they_are_cut() {
    // tshark 4.0 counts the same messages.
    for (name, messages, calls) in [
        ("suricata-sip-body-large.pcap", 2, 1),
        ("suricata-sip-tcp-method.pcap", 2, 0),
        ("suricata-sip-tcp-pattern-matching.pcap", 2, 0),
    ] {
        let Some(whole) = segments(name) else { return };
        for most in [usize::MAX, 1_460, 536, 100, 7] {
            let mut tap = Tap::new();
            for segment in cut(&whole, most) {
                tap.dialogs.segment(segment);
            }
            let counters = tap.counters();
            assert_eq!((counters.sip_messages, counters.sip_malformed, counters.calls), (messages, 0, calls), "{name} cut to {most}: {counters:?}");
            assert_eq!((counters.tcp.gaps, counters.tcp.lost, counters.tcp.messages_cut, counters.bodies_cut), (0, 0, 0, 0), "{name} cut to {most}");
        }
    }
}
