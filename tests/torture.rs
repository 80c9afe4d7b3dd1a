//! Messages that try a parser (RFC 4475, RFC 5118): each valid one is read as the RFC says, each other is refused or read as the RFC
//! allows, none takes longer than a millisecond, and no mutation of any makes the listener panic or grow.
//!
//! `cargo test --release --test torture -- --nocapture` prints the table.

#[path = "torture/ours.rs"]
mod ours;
#[path = "torture/verdicts.rs"]
mod verdicts;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ours::OURS;
use sotto_dialog::sip::{Address, Message, SipFault, Start, parse};
use sotto_dialog::{Counters, Dialogs, EndCause, Limits, Output};
use sotto_private::{CallEvent, Datagram, Wall};
use sotto_tests::process::{shared_data, skip};
use verdicts::{Expected, RFC_4475, RFC_5118, Verdict};

/// No message may take longer.
const MOST: Duration = Duration::from_millis(1);
/// How often one that took longer is tried again: the machine does other things too.
const TRIES: usize = 40;

/// What must be read of a message. Each text is as the message writes it; `body` is its length, `None` where it is not whole.
struct Fields {
    /// Method and Request-URI; or the status code.
    start: (&'static str, &'static str),
    call_id: &'static str,
    cseq: u32,
    /// URI and tag.
    from: (&'static str, &'static str),
    to: (&'static str, &'static str),
    branch: &'static str,
    body: Option<usize>,
}

fn check(name: &str, message: &Message<'_>, wanted: &Fields) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let start = match message.start {
        Start::Request { method, uri } => (text(method), text(uri)),
        Start::Response { code } => (code.to_string(), String::new()),
    };
    let address = |value| {
        let address = Address::of(value);
        (text(address.uri), text(address.tag))
    };
    let own = |(one, other): (&str, &str)| (one.to_owned(), other.to_owned());
    assert_eq!(start, own(wanted.start), "{name}: first line");
    assert_eq!(text(message.call_id), wanted.call_id, "{name}: Call-ID");
    assert_eq!(message.cseq, wanted.cseq, "{name}: CSeq");
    assert_eq!(address(message.from), own(wanted.from), "{name}: From");
    assert_eq!(address(message.to), own(wanted.to), "{name}: To");
    assert_eq!(text(message.branch), wanted.branch, "{name}: the topmost Via's branch");
    assert_eq!(message.body.map(<[u8]>::len), wanted.body, "{name}: body");
}

/// The folder of the RFCs' messages, where it is at hand.
fn folder() -> Option<PathBuf> {
    shared_data().map(|data| data.join("sip")).filter(|folder| folder.is_dir())
}

/// A message as the only one on the wire: what the listener counts, and what it says.
fn hear(bytes: &[u8]) -> (Counters, Vec<&'static str>) {
    let mut dialogs = Dialogs::new(Limits::default());
    let addresses = ("192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap());
    dialogs.datagram(Datagram::new(Wall::from_micros(1), 1, addresses.0, addresses.1, bytes.to_vec()));
    let mut said = Vec::new();
    dialogs.finish(Wall::from_micros(2), EndCause::CaptureEnded);
    while let Some(output) = dialogs.poll() {
        if let Output::Event(event) = output {
            said.push(match event {
                CallEvent::Offered { .. } => "offered",
                CallEvent::Answered { .. } => "answered",
                CallEvent::Ended { .. } => continue,
                _ => "more",
            });
        }
    }
    (dialogs.counters(), said)
}

/// The least of several tries: another process that had the processor says nothing of the parser.
fn least(tries: usize, mut what: impl FnMut()) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..tries {
        let began = Instant::now();
        what();
        least = least.min(began.elapsed());
        if least < MOST {
            break;
        }
    }
    least
}

/// One row: what the RFC says, what came of it, and why.
fn row(name: &str, rfc: &str, expected: &Expected, bytes: &[u8]) {
    let parsed = parse(bytes);
    let ours = match (&parsed, &expected.verdict) {
        (Ok(message), Verdict::Read(fields)) => {
            if let Some(fields) = fields {
                check(name, message, fields);
            }
            "read".to_owned()
        }
        (Err(error), Verdict::Refused(fault)) => {
            assert_eq!(error.fault, *fault, "{name}: {error}");
            error.to_string()
        }
        (Ok(_), Verdict::Refused(fault)) => panic!("{name} was read, not refused with {fault:?}"),
        (Err(error), Verdict::Read(_)) => panic!("{name} was refused: {error}"),
    };
    let (counters, said) = hear(bytes);
    assert_eq!(said, expected.said, "{name}: what the listener says");
    assert_eq!(counters.sip_messages, u64::from(parsed.is_ok()), "{name}");
    assert!(least(TRIES, || drop(std::hint::black_box(hear(bytes)))) < MOST, "{name} takes longer than a millisecond");
    let said = if said.is_empty() { "nothing".to_owned() } else { said.join(", ") };
    println!("| {name:<30} | {rfc:<18} | {ours:<75} | {said:<17} | {} |", expected.why);
}

#[test]
fn the_messages_of_rfc_4475_and_5118() {
    let Some(folder) = folder() else { return skip("the messages of RFC 4475 and 5118 are not at hand") };
    let manifest = std::fs::read_to_string(folder.join("rfc4475/MANIFEST.tsv")).unwrap();
    let classes: BTreeMap<&str, &str> = manifest.lines().skip(1).filter_map(|line| {
        let mut columns = line.split('\t');
        Some((columns.next()?, columns.nth(1)?))
    }).collect();
    println!("| message | RFC | ours | the listener says | why |\n|---|---|---|---|---|");
    let mut counts = BTreeMap::<(&str, &str), u32>::new();
    for (part, table) in [("rfc4475", RFC_4475), ("rfc5118", RFC_5118)] {
        let mut names: Vec<String> = std::fs::read_dir(folder.join(part)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.ends_with(".dat") && (part == "rfc5118" || classes.contains_key(name.as_str())));
        names.sort();
        assert_eq!(names, table.iter().map(|(name, _)| format!("{name}.dat")).collect::<Vec<_>>(), "every message has its row");
        for (name, expected) in table {
            let file = format!("{name}.dat");
            let class = expected.class;
            assert!(part == "rfc5118" || class == classes[file.as_str()], "{name}");
            let bytes = std::fs::read(folder.join(part).join(&file)).unwrap();
            row(name, class, expected, &bytes);
            let is_read = matches!(expected.verdict, Verdict::Read(_));
            assert!(is_read || class != "valid", "{name}: what is valid is read");
            *counts.entry((class, if is_read { "read" } else { "refused" })).or_default() += 1;
        }
    }
    for ((class, ours), count) in counts {
        println!("{class}: {count} {ours}");
    }
}

#[test]
fn messages_of_our_own_of_the_same_shapes() {
    println!("| message | RFC | ours | the listener says | why |\n|---|---|---|---|---|");
    for (name, bytes, expected) in OURS {
        row(name, expected.class, expected, bytes);
    }
}

/// A stream of numbers that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

fn mutated(bytes: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes[at] = random.below(256) as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.drain(at..(at + random.below(40)).min(bytes.len()))),
            3 => bytes.insert(at, b"\r\n\t ,;:<>\"=@%[]\0\xff0"[random.below(18)]),
            4 => {
                let piece = bytes[at..(at + random.below(80)).min(bytes.len())].to_vec();
                let most = if random.below(50) == 0 { 400 } else { 3 };
                let times = 1 + random.below(most);
                bytes.splice(at..at, piece.repeat(times));
            }
            5 => bytes.truncate(at),
            // A line of another message.
            6 => {
                let lines: Vec<&[u8]> = other.split_inclusive(|byte| *byte == b'\n').collect();
                let line = lines.get(random.below(lines.len())).copied().unwrap_or_default();
                let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                bytes.splice(start..start, line.iter().copied());
            }
            _ => {
                if let Some(digit) = bytes.iter().skip(at).position(u8::is_ascii_digit) {
                    let number = ["0", "-1", "4294967296", "99999999999999999999", "65536", " 7"][random.below(6)];
                    bytes.splice(at + digit..=at + digit, number.bytes());
                }
            }
        }
    }
    bytes.truncate(65_507);
    bytes
}

#[test]
fn a_hundred_thousand_mutations() {
    let mut seeds: Vec<Vec<u8>> = OURS.iter().map(|(_, bytes, _)| bytes.to_vec()).collect();
    match folder() {
        Some(folder) => {
            for part in ["rfc4475", "rfc5118"] {
                let files = std::fs::read_dir(folder.join(part)).unwrap().map(|entry| entry.unwrap().path());
                let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "dat")).collect();
                files.sort();
                seeds.extend(files.iter().map(|file| std::fs::read(file).unwrap()));
            }
        }
        None => skip("the messages of RFC 4475 and 5118 are not at hand; mutating our own alone"),
    }
    let limits = Limits { calls: 500, ..Limits::default() };
    let mut dialogs = Dialogs::new(limits);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut slowest, mut at) = (Duration::ZERO, Wall::from_micros(1));
    for number in 1..=100_000u64 {
        let (one, other) = (random.below(seeds.len()), random.below(seeds.len()));
        let bytes = mutated(&seeds[one], &seeds[other], &mut random);
        at = at.plus(random.below(100_000) as i64);
        let addresses = ([192, 0, 2, random.below(3) as u8], 5060);
        let began = Instant::now();
        dialogs.datagram(Datagram::new(at, number, addresses.into(), ([192, 0, 2, 9], 5060).into(), bytes.clone()));
        let mut took = began.elapsed();
        if took >= MOST {
            took = least(TRIES, || drop(std::hint::black_box(hear(&bytes))));
        }
        slowest = slowest.max(took);
        assert!(took < MOST, "mutation {number} takes {took:?}");
        while dialogs.poll().is_some() {}
    }
    let counters = dialogs.counters();
    assert!(counters.calls_open <= 500, "{counters:?}");
    assert!(counters.sip_messages > 20_000 && counters.sip_malformed > 20_000, "{counters:?}");
    dialogs.finish(at, EndCause::CaptureEnded);
    while dialogs.poll().is_some() {}
    assert_eq!(dialogs.counters().calls_open, 0);
    println!("100000 mutations: {} read, {} refused, slowest {slowest:?}", counters.sip_messages, counters.sip_malformed);
}

#[test]
fn how_many_messages_a_second() {
    let bytes = OURS.iter().find(|(name, ..)| *name == "plain_invite").map(|(_, bytes, _)| *bytes).unwrap();
    let rounds = 200_000u32;
    let began = Instant::now();
    for _ in 0..rounds {
        assert!(std::hint::black_box(parse(std::hint::black_box(bytes))).is_ok());
    }
    let rate = f64::from(rounds) / began.elapsed().as_secs_f64();
    println!("{rate:.0} messages/s of {} bytes", bytes.len());
    // A tenth of what one slow core does, so that only a real loss is told.
    assert!(rate > 20_000.0, "{rate:.0} messages/s");
}

#[test]
fn a_fault_names_its_clause_and_quotes_nothing() {
    for (name, bytes, expected) in OURS {
        if let (Verdict::Refused(_), Err(error)) = (&expected.verdict, parse(bytes)) {
            let text = error.to_string();
            assert!(text.contains("RFC 3261 section") && !text.contains("example"), "{name}: {text}");
        }
    }
    assert!(OURS.iter().any(|(_, _, expected)| matches!(expected.verdict, Verdict::Refused(SipFault::Repeated))));
}
