//! The committed corpora, what is at hand of real captures and of the RFCs' torture messages, and a hundred thousand mutations of them,
//! through the production parsers: no panic, no message over a millisecond, no memory that grows.

// The fuzzers reach them from outside.
#[allow(unreachable_pub)]
#[path = "fuzz/targets.rs"]
mod targets;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sotto_measure::decode_stream;
use sotto_tests::process::{repository, shared_data, skip};
use sotto_tests::random::Random;
use targets::TARGETS;

/// Of all targets together.
const MUTATIONS: usize = 100_000;
/// The most that one message may take.
const MOST: Duration = Duration::from_millis(1);
/// How often a message that took longer is tried again: the machine does other things too.
const RETRIES: usize = 39;
/// What 100,000 inputs may leave behind, MiB.
const GROWTH_MIB: u64 = 64;

#[test]
fn the_corpora_and_their_mutations() {
    let folder = repository().join("tests/fuzz/corpus");
    let mut inputs: Vec<(usize, Vec<u8>)> = Vec::new();
    for (target, (name, _)) in TARGETS.iter().enumerate() {
        let files = files(&folder.join(name));
        assert!(!files.is_empty(), "{name} has no corpus");
        inputs.extend(files.iter().map(|path| (target, std::fs::read(path).unwrap())));
    }
    let own = inputs.len();
    inputs.extend(real());
    for (target, input) in &inputs {
        run(*target, input);
    }

    let mut random = Random::new(1, "mutations");
    // What is reserved once, the allocator keeps: what grows with the inputs shows after the first tenth.
    let mut settled = 0;
    for number in 0..MUTATIONS {
        if number == MUTATIONS / 10 {
            settled = resident_mib();
        }
        // Every other one is of our own corpora, so that each target has its share.
        let among = if number % 2 == 0 { own } else { inputs.len() };
        let (target, input) = &inputs[random.bits() as usize % among];
        run(*target, &mutated(input, &mut random));
    }
    let grown = resident_mib().saturating_sub(settled);
    println!("{} inputs of our own, {} real ones, {MUTATIONS} mutations; memory grew by {grown} MiB", own, inputs.len() - own);
    assert!(grown <= GROWTH_MIB, "{grown} MiB");
}

/// Passes bytes to a target. Messages are timed; captures and streams hold many of them, so their time is that of their bytes.
fn run(target: usize, input: &[u8]) {
    let (name, run) = TARGETS[target];
    // A target plays a whole scene around one message, and a stream of many: a microsecond a byte is allowed on top.
    let allowed = MOST + Duration::from_nanos(500) * u32::try_from(input.len()).unwrap();
    let mut took = time(run, input);
    for _ in 0..RETRIES {
        if took <= allowed {
            return;
        }
        took = took.min(time(run, input));
    }
    assert!(took <= allowed, "{name}: {} bytes took {took:?} at the best of {RETRIES} times", input.len());
}

fn time(run: fn(&[u8]), input: &[u8]) -> Duration {
    let began = Instant::now();
    run(input);
    began.elapsed()
}

/// Bits, bytes, pieces: changed, taken out, doubled, cut off.
fn mutated(input: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let mut below = |below: usize| (random.bits() % below.max(1) as u64) as usize;
    for _ in 0..1 + below(4) {
        if bytes.is_empty() {
            bytes.push(b'\n');
        }
        let at = below(bytes.len());
        let end = (at + 1 + below(40)).min(bytes.len());
        match below(7) {
            0 => bytes[at] = below(256) as u8,
            1 => bytes[at] ^= 1 << below(8),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.insert(at, b"\r\n ,;:<>\"=\0\xff&9"[below(14)]),
            4 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => bytes.truncate(at),
            _ => {
                let value: &[u8] = [&b"4294967296"[..], b"-1", b"65536", b"\xff\xff\xff\xff", b"\0\0\0\0", b"%00"][below(6)];
                bytes.splice(at..(at + value.len()).min(bytes.len()), value.iter().copied());
            }
        }
    }
    bytes
}

/// Captures of up to 64 KiB as files, all of their SIP and RTP as datagrams, and the torture messages.
fn real() -> Vec<(usize, Vec<u8>)> {
    let Some(data) = shared_data() else {
        skip("the real captures and the torture messages are not here: the committed corpora alone");
        return Vec::new();
    };
    let target = |name: &str| TARGETS.iter().position(|(known, _)| *known == name).unwrap();
    let mut inputs = Vec::new();
    for folder in ["sip/rfc4475", "sip/rfc5118"] {
        inputs.extend(files(&data.join(folder)).iter().filter(|path| has_extension(path, &["dat"])).map(|path| (target("sip"), std::fs::read(path).unwrap())));
    }
    for path in files(&data.join("pcap")).iter().filter(|path| has_extension(path, &["pcap", "cap", "pcapng"])) {
        let bytes = std::fs::read(path).unwrap();
        inputs.extend(payloads(&bytes).into_iter().map(|payload| (target("sip"), payload)));
        inputs.push((target("pcap"), bytes[..bytes.len().min(64 << 10)].to_vec()));
    }
    inputs
}

/// The first payloads of a capture.
fn payloads(file: &[u8]) -> Vec<Vec<u8>> {
    use sotto_capture::{Captured, Next, PcapFile, Source};
    let Ok(mut source) = PcapFile::from_reader(Path::new("real"), file, None) else { return Vec::new() };
    let mut payloads = Vec::new();
    while let Ok(next) = source.next() {
        match next {
            Next::Item(Captured::Datagram(datagram)) => payloads.push(datagram.payload().to_vec()),
            Next::Item(Captured::Segment(segment)) => payloads.push(segment.payload().to_vec()),
            Next::End => break,
            _ => {}
        }
        if payloads.len() == 100 {
            break;
        }
    }
    payloads
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension().is_some_and(|extension| known.iter().any(|known| extension == *known))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1_024
}
