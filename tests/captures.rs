//! Two readers of the same captures, tshark and `sotto`, and a reason for every place where they differ: by file, field and both numbers.
//!
//! `cargo test --release --workspace --test captures -- --nocapture` prints the table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sotto_tests::process::{installed, run, shared_data, skip};
use sotto_tests::site::{CHARTER_WITHOUT_SOUND, Site, config};

/// How far two jitters of one stream may lie apart, milliseconds.
const JITTER_MS: f64 = 1.0;

/// An INVITE that opens a dialog, in tshark's words.
const OPENING: &str = r#"sip.Method=="INVITE" && !sip.to.tag"#;

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
    /// Dialogs that INVITEs open.
    calls: u64,
    /// By the addresses at both ends; several SSRCs of a path, one after the other, are one leg of a call.
    streams: Vec<Stream>,
}

/// A difference that is known: the file (or what its name begins with), the field, what tshark says and what sotto says, and why. One that is not
/// found any more is as wrong as one that is not in here.
const KNOWN: [(&str, &str, &str, &str); 19] = [
    ("SIP_CALL_RTP_G711.pcap", "calls", "2 / 3", "the PBX's other leg carries the same sound, and its SIP was not captured: a call of sound alone, until it is known for a copy"),
    ("SIP_CALL_RTP_G711.pcap", "tshark alone", "6 packets, 0 lost", "six packets of a leg whose SIP was not captured, too few for a call of sound alone"),
    ("SIP_CALL_RTP_G711.pcap", "sotto alone", "107 packets, 0 lost; 149 packets, 1 lost", "the PBX's other leg: tshark does not look for RTP that no SIP announced"),
    ("c07-sip-r2.cap", "SIP messages", "12 / 1", "a test suite's broken messages: 30 are refused, of which tshark takes 11 for SIP"),
    ("h263-over-rtp.pcap", "tshark alone", "45 packets, 0 lost", "video only: no leg of sound"),
    ("ndpi-fuzz-2006-06-26-2594.pcap", "SIP messages", "28 / 16", "damaged on purpose: tshark counts what begins like SIP, sotto what has all that names a dialog"),
    ("ndpi-fuzz-2006-06-26-2594.pcap", "calls", "4 / 2", "two of four INVITEs are damaged beyond reading"),
    ("ndpi-fuzz-2006-06-26-2594.pcap", "tshark alone", "1 packets, 0 lost; 1 packets, 0 lost; 5 packets, 0 lost", "what is left of one stream whose addresses were damaged: no call names them"),
    ("ndpi-sip.pcap", "calls", "4 / 6", "two callers come with their credentials 33 and 51 s after the challenge: by then a call that was refused is over (RFC 3261 timer B)"),
    ("ndpi-sip.pcap", "tshark alone", "9 packets, 0 lost", "it begins a second after the last call was refused (480): sound of no call"),
    ("sip-rtp-opus-hybrid.pcap", "tshark alone", "5 packets, 311 lost", "five packets out of 316 were kept, each 160 ms or more after the other: a source on probation until two come in a row"),
    ("sipp-dtmf_2833_", "tshark alone", "10 packets, 0 lost", "one key by RFC 4733, and no call: an event is no sound"),
    ("sipp-g711a.pcap", "calls", "0 / 1", "sound without SIP: a call of sound alone"),
    ("speech_8k_ulaw.pcap", "calls", "0 / 1", "sound without SIP: a call of sound alone"),
    ("suricata-sip-header-multi-value.pcap", "SIP messages", "1 / 0", "two To headers that differ: nobody can say whose dialog it is (RFC 3261 section 7.3.1)"),
    ("suricata-sip-header-multi-value.pcap", "calls", "1 / 0", "its one INVITE is the message with two To headers"),
    ("suricata-sip-method.pcap", "calls", "4 / 6", "the same calls as in ndpi-sip.pcap"),
    ("suricata-sip-method.pcap", "tshark alone", "9 packets, 0 lost", "the same stream as in ndpi-sip.pcap"),
    ("voicecmd_combined.pcap", "calls", "0 / 1", "sound without SIP: a call of sound alone"),
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
    let (mut unexplained, mut is_found) = (Vec::new(), [false; KNOWN.len()]);
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
        let mut differences = Vec::new();
        for (field, tshark, sotto) in [("SIP messages", theirs.sip_messages, count("sip_messages")), ("calls", theirs.calls, count("calls"))] {
            if tshark != sotto {
                differences.push((field, format!("{tshark} / {sotto}")));
            }
        }
        for (field, streams) in [("tshark alone", &mut left), ("sotto alone", &mut extra)] {
            streams.sort_by_key(|stream| (stream.packets, stream.lost));
            if !streams.is_empty() {
                let told: Vec<_> = streams.iter().map(|stream| format!("{} packets, {} lost", stream.packets, stream.lost)).collect();
                differences.push((field, told.join("; ")));
            }
        }
        let mut reasons: Vec<&str> = Vec::new();
        for (field, what) in differences {
            let is_this = |(file, of, how, _): &(&str, &str, &str, &str)| name.starts_with(file) && *of == field && *how == what;
            match KNOWN.iter().position(is_this) {
                Some(at) => {
                    is_found[at] = true;
                    if !reasons.contains(&KNOWN[at].3) {
                        reasons.push(KNOWN[at].3);
                    }
                }
                None => unexplained.push(format!("{name}: {field}: {what}")),
            }
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
            theirs.calls,
            count("calls"),
            theirs.streams.len(),
            ours.len(),
            reasons.join("; "),
        );
    }
    println!("each cell: tshark / sotto; tshark's calls are the dialogs that its INVITEs without a tag of the called side open, by Call-ID and From tag");
    assert!(unexplained.is_empty(), "differences without a reason:\n{}", unexplained.join("\n"));
    let stale: Vec<_> = KNOWN.iter().zip(is_found).filter(|(_, is_found)| !is_found).collect();
    assert!(stale.is_empty(), "reasons without a difference: {stale:?}");
}

/// Loss exactly; the jitter within a millisecond. RFC 3550 counts a packet that came twice twice, sotto its sound once.
fn is_same(ours: Stream, theirs: Stream) -> bool {
    ours.packets == theirs.packets && ours.lost == theirs.lost && (ours.jitter_ms - theirs.jitter_ms).abs() <= JITTER_MS
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
    if told.calls == 0 { ask_tshark(path, &["--enable-heuristic", "rtp_udp"]) } else { Some(told) }
}

fn ask_tshark(path: &Path, more: &[&str]) -> Option<Tshark> {
    let output = run(Command::new("tshark").args(["-n", "-q", "-z", "sip,stat", "-z", "rtp,streams"]).args(more).arg("-r").arg(path)).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().find_map(|line| line.strip_prefix("Number of SIP messages: "))?.trim().parse().ok()?;
    let dialogs = run(Command::new("tshark").args(["-n", "-T", "fields", "-e", "sip.Call-ID", "-e", "sip.from.tag", "-Y", OPENING, "-r"]).arg(path)).unwrap();
    let dialogs: BTreeSet<&[u8]> = dialogs.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"\t")).collect();
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
    Some(Tshark { sip_messages: messages, calls: dialogs.len() as u64, streams: paths.into_values().collect() })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| ["pcap", "cap", "pcapng"].iter().any(|known| kind == *known))).collect();
    files.sort();
    files
}
