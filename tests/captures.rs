//! Two readers of the same captures, tshark and `sotto`, and a reason for every place where they differ.
//!
//! `cargo test --release --workspace --test captures -- --nocapture` prints the table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sotto_tests::process::{installed, run, shared_data, skip};
use sotto_tests::site::{CHARTER_WITHOUT_SOUND, Site, config};

/// How far two jitters of one stream may lie apart, milliseconds.
const JITTER_MS: f64 = 1.0;

/// One direction of sound: distinct packets, packets lost, the largest jitter in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stream {
    packets: u64,
    lost: u64,
    jitter_ms: f64,
}

/// What tshark says of a file: by its own dissectors and stream table.
struct Tshark {
    sip_messages: u64,
    invites: u64,
    /// By the addresses at both ends; several SSRCs of a path, one after the other, are one leg of a call.
    streams: Vec<Stream>,
}

/// Where a file is known to be odd: what it is, and which differences follow from it.
const ODD: [(&str, &str); 7] = [
    ("SIP_CALL_RTP_G711.pcap", "the PBX's other leg carries the same sound and its SIP was not captured: a call of sound alone, until it is known for a copy"),
    ("ndpi-fuzz-2006-06-26-2594.pcap", "damaged on purpose: tshark counts what a conversation's port names, sotto what reads as SIP"),
    ("ndpi-ip_fragmented_garbage.pcap", "fragments of nothing"),
    ("sip-rtp-opus-hybrid.pcap", "five packets out of 316 were kept, each 160 ms or more after the other: a source on probation until two come in a row"),
    ("suricata-sip-ssdp-pm.pcap", "SSDP looks like SIP to tshark's heuristics"),
    ("h263-over-rtp.pcap", "video only: no leg of sound"),
    ("voicecmd_combined.pcap", "sound without SIP"),
];

#[test]
fn every_difference_to_tshark_has_a_reason() {
    let Some(folder) = shared_data().map(|data| data.join("pcap")).filter(|folder| folder.is_dir()) else {
        return skip("the captures are not here");
    };
    if !installed("tshark") {
        return skip("tshark is not installed");
    }
    let site = Site::new(&config(None, None), CHARTER_WITHOUT_SOUND).unwrap();
    let mut unexplained = Vec::new();
    println!(
        "{:34}|{:^13}|{:^13}|{:^11}|{:^15}|{:^11}|{:^17}| why they differ",
        "file", "SIP messages", "calls", "streams", "packets", "lost", "jitter ms"
    );
    for path in files(&folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(theirs) = tshark(&path) else { continue };
        let (ours, counts) = sotto(&site, &path);
        let (mut left, mut extra) = (theirs.streams.clone(), Vec::new());
        for stream in &ours {
            match left.iter().position(|other| is_same(*stream, *other)) {
                Some(at) => drop(left.remove(at)),
                None => extra.push(*stream),
            }
        }
        let count = |name: &str| counts[name].as_u64().unwrap_or_default();
        let mut reasons = Vec::new();
        explain_signalling(&theirs, &count, &mut reasons);
        explain_streams(&left, &extra, &count, &mut reasons);
        if let Some((_, odd)) = ODD.iter().find(|(odd, _)| *odd == name) {
            reasons.retain(|(_, is_reason)| *is_reason);
            reasons.push(((*odd).to_owned(), true));
        }
        if reasons.iter().any(|(_, is_reason)| !is_reason) {
            unexplained.push(name.clone());
        }
        let sums = |streams: &[Stream]| {
            let jitter = streams.iter().map(|stream| stream.jitter_ms).fold(0.0, f64::max);
            (streams.iter().map(|stream| stream.packets).sum::<u64>(), streams.iter().map(|stream| stream.lost).sum::<u64>(), jitter)
        };
        let ((packets, lost, jitter), (our_packets, our_lost, our_jitter)) = (sums(&theirs.streams), sums(&ours));
        println!(
            "{name:34}|{:5} /{:5} |{:5} /{:5} |{:4} /{:4} |{packets:6} /{our_packets:6} |{lost:4} /{our_lost:4} |{jitter:7.2} /{our_jitter:7.2} | {}",
            theirs.sip_messages,
            count("sip_messages"),
            theirs.invites,
            count("calls"),
            theirs.streams.len(),
            ours.len(),
            reasons.iter().map(|(reason, _)| reason.as_str()).collect::<Vec<_>>().join("; "),
        );
    }
    println!("each cell: tshark / sotto; tshark's calls are its INVITE requests, re-INVITEs and repetitions among them");
    assert!(unexplained.is_empty(), "differences without a reason: {unexplained:?}");
}

/// Loss exactly; the jitter within a millisecond. RFC 3550 counts a packet that came twice twice, sotto its sound once.
fn is_same(ours: Stream, theirs: Stream) -> bool {
    ours.packets == theirs.packets && ours.lost == theirs.lost && (ours.jitter_ms - theirs.jitter_ms).abs() <= JITTER_MS
}

fn explain_signalling(theirs: &Tshark, count: &dyn Fn(&str) -> u64, reasons: &mut Vec<(String, bool)>) {
    let (messages, ours) = (theirs.sip_messages, count("sip_messages"));
    if messages != ours {
        let apart = messages.abs_diff(ours);
        let (malformed, duplicates) = (count("sip_malformed"), count("duplicates"));
        let accounted = messages > ours && apart <= malformed + duplicates;
        let what = match accounted {
            true => format!("of {apart} SIP messages: {malformed} malformed, {duplicates} copies of a mirror"),
            false => format!("{apart} SIP messages apart"),
        };
        reasons.push((what, accounted));
    }
    let calls = count("calls");
    if theirs.invites != calls {
        // A call is an INVITE that opens a dialog; all others belong to one.
        let (what, is_reason) = match calls {
            calls if calls < theirs.invites => (format!("{} INVITEs are re-INVITEs, repetitions, or answers to a challenge", theirs.invites - calls), true),
            _ if count("calls_without_invite") > 0 || theirs.invites == 0 => ("calls that were running already: sound or a dialog without an INVITE".to_owned(), true),
            _ => (format!("{} calls more than INVITEs", calls - theirs.invites), false),
        };
        reasons.push((what, is_reason));
    }
}

fn explain_streams(left: &[Stream], extra: &[Stream], count: &dyn Fn(&str) -> u64, reasons: &mut Vec<(String, bool)>) {
    let packets: u64 = left.iter().map(|stream| stream.packets).sum();
    if packets > 0 && extra.is_empty() {
        let told = ["rtp_unbound", "rtp_early", "rtp_probation", "rtp_other_source", "duplicates"].map(count).iter().sum::<u64>();
        reasons.push((format!("{} streams, {packets} packets that are sound of no call", left.len()), packets <= told));
    }
    for stream in extra {
        reasons.push((format!("no stream of tshark's has {} packets, {} lost, {:.2} ms: {left:?}", stream.packets, stream.lost, stream.jitter_ms), false));
    }
}

fn sotto(site: &Site, path: &Path) -> (Vec<Stream>, Value) {
    let output = run(site.sotto().unwrap().args(["replay", "--until", "dialog", "--streams"]).arg(path)).unwrap();
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{path:?}: {}", String::from_utf8_lossy(&output.stderr)));
    let streams = counts["streams"].as_array().unwrap().iter().map(|stream| Stream {
        packets: stream["packets"].as_u64().unwrap(),
        lost: stream["lost"].as_u64().unwrap(),
        jitter_ms: stream["jitter_ms"].as_f64().unwrap(),
    });
    (streams.collect(), counts)
}

/// `None` where tshark itself finds nothing to read. Without an INVITE it is told to look for RTP by its shape, as sotto does.
fn tshark(path: &Path) -> Option<Tshark> {
    let told = ask_tshark(path, &[])?;
    if told.invites == 0 { ask_tshark(path, &["--enable-heuristic", "rtp_udp"]) } else { Some(told) }
}

fn ask_tshark(path: &Path, more: &[&str]) -> Option<Tshark> {
    let output = run(Command::new("tshark").args(["-n", "-q", "-z", "sip,stat", "-z", "rtp,streams"]).args(more).arg("-r").arg(path)).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().find_map(|line| line.strip_prefix("Number of SIP messages: "))?.trim().parse().ok()?;
    let invites = text.lines().find_map(|line| line.trim().strip_prefix("INVITE").and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok()));
    let mut paths: BTreeMap<String, Stream> = BTreeMap::new();
    for line in text.lines().skip_while(|line| !line.contains("RTP Streams")).skip(2).take_while(|line| !line.starts_with("====")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        // A payload of several kinds is told in several words; from the packets on, the columns are counted from the end.
        let Some(lost_at) = words.iter().position(|word| word.ends_with("%)")).map(|at| at - 1) else { continue };
        let packets: u64 = words[lost_at - 1].parse().unwrap();
        let jitter_ms: f64 = words[lost_at + 7].parse().unwrap();
        let lost: i64 = words[lost_at].parse().unwrap();
        let leg = paths.entry(words[2..6].join(" ")).or_insert(Stream { packets: 0, lost: 0, jitter_ms: 0.0 });
        leg.packets += packets;
        leg.lost += lost.max(0).unsigned_abs();
        leg.jitter_ms = leg.jitter_ms.max(jitter_ms);
    }
    Some(Tshark { sip_messages: messages, invites: invites.unwrap_or_default(), streams: paths.into_values().collect() })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| ["pcap", "cap", "pcapng"].iter().any(|known| kind == *known))).collect();
    files.sort();
    files
}
