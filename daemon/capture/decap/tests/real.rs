//! Real captures, where they are at hand: `SOTTO_DATA`, or `shared/data` beside the repository.

use std::path::{Path, PathBuf};

use super::*;
use crate::{Next, PcapFile, Source};

/// The folder, or a word that the test is skipped.
fn captures() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("SOTTO_DATA").map_or_else(beside, PathBuf::from).join("pcap");
    if folder.exists() {
        return Some(folder);
    }
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: pcap is not at hand");
    None
}

/// Of a file: datagrams, segments, and the counters.
fn read(path: &Path) -> (u64, u64, Counters) {
    let mut source = PcapFile::open(path).unwrap();
    let (mut datagrams, mut segments) = (0, 0);
    loop {
        match source.next().unwrap_or_else(|error| panic!("{error}")) {
            Next::Item(Captured::Datagram(_)) => datagrams += 1,
            Next::Item(Captured::Segment(_)) => segments += 1,
            Next::End => break,
            other => panic!("a file said {other:?}"),
        }
    }
    (datagrams, segments, source.counters())
}

#[test]
fn every_capture_is_read_to_its_end_and_adds_up() {
    let Some(folder) = captures() else { return };
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| !["pcap", "pcapng", "cap"].iter().any(|known| extension == *known)) {
            continue;
        }
        let (datagrams, segments, counters) = read(&path);
        assert!(adds_up(&counters), "{}: {counters:?}", path.display());
        assert_eq!((datagrams + segments, segments), (counters.delivered, counters.segments), "{}", path.display());
        assert!(counters.frames > 0, "{}", path.display());
        files += 1;
    }
    assert!(files >= 44, "only {files} captures");
}

/// What tshark 4 says of the same files: `-Y "udp && !icmp"`, and `tcp` with `tcp.len > 0` or one of SYN, FIN, RST.
#[test]
fn counts_are_those_of_another_tool() {
    let Some(folder) = captures() else { return };
    for (name, datagrams, segments, repeats) in [
        ("SIP_CALL_RTP_G711.pcap", 3_583, 343, 0),
        ("suricata-sip-body-large.pcap", 0, 10, 0),
        ("suricata-sip-tcp-method.pcap", 0, 6, 0),
        ("voicecmd_combined.pcap", 2_832, 0, 0),
        ("c07-sip-r2.cap", 39, 0, 0),
    ] {
        let (found, pieces, counters) = read(&folder.join(name));
        assert_eq!((found, pieces, counters.duplicates), (datagrams, segments, repeats), "{name}: {counters:?}");
    }
}
