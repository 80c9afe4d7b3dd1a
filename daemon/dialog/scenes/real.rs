//! Real material, where it is at hand: `SOTTO_DATA`, or `shared/data` beside the repository.

use std::path::{Path, PathBuf};

use super::hostile::check;
use super::*;

/// The folder, or a word that the test is skipped.
fn data(part: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("SOTTO_DATA").map_or_else(beside, PathBuf::from).join(part);
    if folder.exists() {
        return Some(folder);
    }
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: {part} is not at hand");
    None
}

fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted)));
    files.sort();
    files
}

/// UDP over IPv4 over Ethernet in a little-endian pcap: as much as these files need. `None` where it is another format.
fn datagrams(path: &Path) -> Option<Vec<Datagram>> {
    let file = std::fs::read(path).unwrap();
    let word = |at: usize| file.get(at..at + 4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
    (word(0)? == 0xa1b2_c3d4 && word(20)? == 1).then_some(())?;
    let (mut at, mut number, mut found) = (24, 0, Vec::new());
    while let (Some(seconds), Some(micros), Some(length)) = (word(at), word(at + 4), word(at + 8)) {
        let Some(frame) = file.get(at + 16..at + 16 + length as usize) else { break };
        at += 16 + length as usize;
        number += 1;
        if frame.len() < 42 || frame[12..14] != [8, 0] || frame[23] != 17 || frame[20] & 0x3f != 0 || frame[21] != 0 {
            continue;
        }
        let udp = 14 + 4 * usize::from(frame[14] & 15);
        let Some(header) = frame.get(udp..udp + 8) else { continue };
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let Some(payload) = frame.get(udp + 8..udp + length) else { continue };
        let address = |ip: usize, port: usize| {
            let ip: [u8; 4] = frame[ip..ip + 4].try_into().unwrap();
            (ip, u16::from_be_bytes([header[port], header[port + 1]])).into()
        };
        let wall = Wall::from_micros(i64::from(seconds) * SECOND + i64::from(micros));
        found.push(Datagram::new(wall, number, address(26, 0), address(30, 2), payload.to_vec()));
    }
    Some(found)
}

fn play(datagrams: Vec<Datagram>) -> Tap {
    let mut tap = Tap::new();
    tap.at = Wall::default();
    for datagram in datagrams {
        tap.at = tap.at.max(datagram.at);
        tap.dialogs.datagram(datagram);
        tap.drain();
    }
    tap
}

#[test]
fn every_capture_goes_through() {
    let Some(folder) = data("pcap") else { return };
    for path in files(&folder, &["pcap", "cap"]) {
        let Some(datagrams) = datagrams(&path) else { continue };
        let count = datagrams.len() as u64;
        check(&mut play(datagrams), count);
    }
}

#[test]
fn the_spanish_call_has_both_its_legs_and_the_next_one_rings_on() {
    let Some(path) = data("pcap/SIP_CALL_RTP_G711.pcap") else { return };
    let mut tap = play(datagrams(&path).unwrap());
    tap.finish();
    let first = tap.events[0].at();
    let times: Vec<_> = tap.events.iter().map(|event| (event.call().0, event.at().since(first) / 1_000)).collect();
    // Call 2 is the relay's other leg, of which there is no signalling: the same sound, and so the same call.
    assert_eq!(times, [(1, 0), (1, 47), (1, 8_477), (2, 9_621), (2, 9_621), (2, 13_709), (3, 24_665), (3, 24_692), (1, 34_908), (3, 34_908)]);
    assert!(matches!(tap.events[5], CallEvent::Ended { cause: EndCause::SameCall, .. }));
    assert!(tap.events[8..].iter().all(|event| matches!(event, CallEvent::Ended { cause: EndCause::CaptureEnded, .. })));
    // tshark 4.0 counts the same packets, no loss, and jitters of 0.251 and 7.407 ms.
    let facts = tap.streams(1).map(Option::unwrap);
    assert_eq!(facts.map(|facts| (facts.packets, facts.lost)), [(891, 0), (548, 0)]);
    assert_eq!(facts.map(|facts| facts.jitter_micros), [250, 7_406]);
    assert!((tap.seconds(1, Side::Calling) - 17.50).abs() < 0.01);
    assert!((tap.seconds(1, Side::Called) - 10.96).abs() < 0.01);
    assert_eq!(tap.streams(3), [None, None]);
}

#[test]
fn two_calls_to_one_port_one_after_the_other() {
    let Some(path) = data("pcap/sip-rtp-g711.pcap") else { return };
    let mut tap = play(datagrams(&path).unwrap());
    tap.finish();
    let packets = |call| tap.streams(call).map(|facts| facts.map(|facts| (facts.packets, facts.lost)));
    assert_eq!((packets(1), packets(2)), ([None, Some((425, 0))], [None, Some((414, 0))]));
    assert!((tap.seconds(1, Side::Called) - 8.50).abs() < 0.01 && (tap.seconds(2, Side::Called) - 8.28).abs() < 0.01);
}

#[test]
fn the_torture_messages_of_rfc_4475_and_5118() {
    let Some(folder) = data("sip") else { return };
    let manifest = std::fs::read_to_string(folder.join("rfc4475/MANIFEST.tsv")).unwrap();
    let is_valid = |name: &str| manifest.lines().any(|line| line.starts_with(name) && line.contains("\tvalid\t"));
    let mut read = Vec::new();
    for part in ["rfc4475", "rfc5118"] {
        for path in files(&folder.join(part), &["dat"]) {
            let bytes = std::fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            let parsed = crate::sip::parse(&bytes);
            assert!(parsed.is_ok() || !is_valid(name), "{name}: {}", parsed.unwrap_err());
            if parsed.is_ok() && part == "rfc4475" {
                read.push(name.to_owned());
            }
            for length in 0..=bytes.len() {
                let mut tap = Tap::new();
                tap.bytes(ALICE, BOB, bytes[..length].to_vec());
                check(&mut tap, 1);
            }
        }
    }
    assert!(!read.iter().any(|name| ["scalar02.dat", "scalarlg.dat", "insuf.dat", "badvers.dat"].contains(&name.as_str())), "{read:?}");
}
