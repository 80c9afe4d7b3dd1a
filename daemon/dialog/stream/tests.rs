use sotto_private::SegmentFlags;

use super::*;

const SYN: SegmentFlags = SegmentFlags { syn: true, fin: false, rst: false };
const FIN: SegmentFlags = SegmentFlags { syn: false, fin: true, rst: false };
const RST: SegmentFlags = SegmentFlags { syn: false, fin: false, rst: true };
const NONE: SegmentFlags = SegmentFlags { syn: false, fin: false, rst: false };

/// A listener of one stream, and the CSeq and body length of each message that it read; a refused one is its fault.
struct Tap {
    streams: Streams,
    limits: Limits,
    at: Wall,
    read: Vec<Result<(u32, Option<usize>), SipFault>>,
}

impl Tap {
    fn new() -> Self {
        Self { streams: Streams::default(), limits: Limits::default(), at: Wall::default(), read: Vec::new() }
    }

    fn from(&mut self, port: u16, sequence: u32, flags: SegmentFlags, bytes: &[u8]) -> &mut Self {
        let segment = Segment::new(self.at, 1, ([192, 0, 2, 1], port).into(), ([192, 0, 2, 2], 5060).into(), sequence, flags, bytes.to_vec());
        let read = &mut self.read;
        self.streams.push(&segment, &self.limits, |_, message| read.push(heard(message)));
        self
    }

    fn push(&mut self, sequence: u32, bytes: &[u8]) -> &mut Self {
        self.from(5062, sequence, NONE, bytes)
    }

    fn wait(&mut self, micros: i64) -> &mut Self {
        self.at = self.at.plus(micros);
        let read = &mut self.read;
        self.streams.advance(self.at, &self.limits, |_, message| read.push(heard(message)));
        self
    }

    fn numbers(&self) -> Vec<u32> {
        self.read.iter().filter_map(|read| read.ok().map(|(number, _)| number)).collect()
    }
}

fn heard(message: Result<Message<'_>, SipError>) -> Result<(u32, Option<usize>), SipFault> {
    let message = message.map_err(|error| error.fault)?;
    Ok((message.cseq, message.body.map(<[u8]>::len)))
}

fn message(number: u32, body: &str) -> String {
    format!(
        "INFO sip:1002@pbx.example SIP/2.0\r\nVia: SIP/2.0/TCP host;branch=z9hG4bK{number}\r\nFrom: <sip:1001@h>;tag=a\r\n\
         To: <sip:1002@h>;tag=b\r\nCall-ID: one\r\nCSeq: {number} INFO\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Five messages with keep-alives between, as one stream.
fn stream() -> String {
    (1..=5).map(|number| format!("{}\r\n\r\n", message(number, &"SIP/2.0 200 OK\r\n".repeat(number as usize)))).collect()
}

#[test]
fn several_messages_in_a_segment_and_one_over_many() {
    let text = stream();
    for size in [1, 2, 7, 100, 500, text.len()] {
        let mut tap = Tap::new();
        tap.from(5062, u32::MAX - 300, SYN, b"");
        let mut sequence = u32::MAX - 299;
        for piece in text.as_bytes().chunks(size) {
            tap.push(sequence, piece);
            sequence = sequence.wrapping_add(piece.len() as u32);
        }
        assert_eq!(tap.read, (1..=5).map(|number| Ok((number, Some(16 * number as usize)))).collect::<Vec<_>>(), "{size}");
        let counters = tap.streams.counters();
        assert_eq!((counters.gaps, counters.lost, counters.joined), (0, 0, 0));
        assert!(counters.keep_alives >= 5);
        tap.from(5062, sequence, FIN, b"");
        assert!(tap.streams.streams.is_empty(), "closed");
        assert_eq!(tap.streams.bytes, 0);
    }
}

#[test]
fn a_body_of_65_kilobytes_is_one_message() {
    let mut tap = Tap::new();
    let text = format!("{}{}", message(1, &"x".repeat(66_000)), message(2, ""));
    for (index, piece) in text.as_bytes().chunks(1_460).enumerate() {
        tap.push(index as u32 * 1_460, piece);
    }
    assert_eq!(tap.read, [Ok((1, Some(66_000))), Ok((2, Some(0)))]);
    // What is longer than is read is stepped over, and the next one is found.
    let mut tap = Tap::new();
    let text = format!("{}{}", message(1, &"INFO x SIP/2.0\r\n\r\n".repeat(20_000)), message(2, ""));
    for (index, piece) in text.as_bytes().chunks(1_460).enumerate() {
        tap.push(index as u32 * 1_460, piece);
    }
    assert_eq!(tap.read, [Ok((1, None)), Ok((2, Some(0)))]);
    assert!(tap.streams.bytes < 10_000);
}

#[test]
fn any_order_and_any_overlap_give_the_same_messages() {
    let text = stream();
    let bytes = text.as_bytes();
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for _ in 0..500 {
        let mut pieces: Vec<(usize, usize)> = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let end = (at + 1 + random(200)).min(bytes.len());
            pieces.push((at, end));
            if random(3) == 0 {
                pieces.push((at.saturating_sub(random(100)), (end + random(100)).min(bytes.len())));
            }
            at = end;
        }
        // The first one says where the stream begins; the others come as they like.
        for _ in 0..pieces.len() {
            let (one, other) = (1 + random(pieces.len() - 1), 1 + random(pieces.len() - 1));
            if one.abs_diff(other) < 20 {
                pieces.swap(one, other);
            }
        }
        let mut tap = Tap::new();
        for (start, end) in pieces {
            tap.push(1_000 + start as u32, &bytes[start..end]);
        }
        assert_eq!(tap.numbers(), [1, 2, 3, 4, 5]);
        assert_eq!(tap.streams.counters().gaps, 0);
    }
}

#[test]
fn a_gap_that_nobody_fills_costs_the_message_that_it_lies_in() {
    let text: String = (1..=5).map(|number| message(number, &"x".repeat(300))).collect();
    let one = message(1, &"x".repeat(300)).len();
    for cut in 0..4 * one {
        let (missing, rest) = (one + cut / 4, one + cut / 4 + 40);
        let mut tap = Tap::new();
        tap.push(0, &text.as_bytes()[..missing]).push(rest as u32, &text.as_bytes()[rest..]);
        assert_eq!(tap.numbers()[0], 1);
        tap.wait(tap.limits.gap_micros);
        let numbers = tap.numbers();
        assert!(numbers.ends_with(&[4, 5]) || numbers.ends_with(&[5]), "{cut}: {:?}", tap.read);
        assert!(numbers.len() >= 3, "{cut}: {:?}", tap.read);
        assert_eq!(tap.streams.counters().gaps, 1);
    }
    // In a body whose end is known, its headers count and nothing behind it is lost.
    let mut tap = Tap::new();
    let missing = 2 * one - 200;
    tap.push(0, &text.as_bytes()[..missing]).push(missing as u32 + 100, &text.as_bytes()[missing + 100..]).wait(tap_gap());
    assert_eq!(tap.read, [Ok((1, Some(300))), Ok((2, None)), Ok((3, Some(300))), Ok((4, Some(300))), Ok((5, Some(300)))]);
}

fn tap_gap() -> i64 {
    Limits::default().gap_micros
}

#[test]
fn a_stream_that_was_running_is_joined_at_its_next_message() {
    let text = stream();
    let second = message(1, "SIP/2.0 200 OK\r\n").len() + 4;
    for from in 1..second {
        let mut tap = Tap::new();
        tap.push(7, &text.as_bytes()[from..]);
        let numbers = tap.numbers();
        assert!(numbers.ends_with(&[2, 3, 4, 5]), "{from}: {:?}", tap.read);
        assert_eq!(tap.streams.counters().joined, 1);
    }
}

#[test]
fn no_length_no_end() {
    let without = message(1, "").replace("Content-Length: 0\r\n", "");
    let mut tap = Tap::new();
    tap.push(0, format!("{without}some body\r\n{}", message(2, "")).as_bytes());
    assert_eq!(tap.read, [Err(SipFault::Length), Ok((2, Some(0)))]);
    assert_eq!(tap.streams.counters().lost, 1);
}

#[test]
fn what_is_encrypted_or_framed_is_counted_and_left_alone() {
    let mut tap = Tap::new();
    tap.from(1, 0, NONE, &[0x16, 3, 1, 2, 0, 1]).from(1, 6, NONE, &[0; 2_000]);
    tap.from(2, 0, NONE, b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n").from(2, 40, NONE, message(9, "").as_bytes());
    tap.from(3, 0, NONE, &[0x16]).from(3, 1, NONE, &[3, 3, 0, 0]);
    let counters = tap.streams.counters();
    assert_eq!((counters.tls, counters.websocket, tap.read.len(), tap.streams.bytes), (2, 1, 0, 0));
}

#[test]
fn ports_that_are_used_again_begin_anew() {
    let mut tap = Tap::new();
    tap.push(5, message(1, "").as_bytes()).push(2_000_000_000, message(2, "").as_bytes()).push(4_000_000_000, message(3, "").as_bytes());
    tap.from(5062, 77, SYN, b"").push(78, &message(4, "").as_bytes()[..30]).from(5062, 108, RST, b"");
    tap.from(5062, 900, SYN, b"").push(901, message(5, "").as_bytes());
    assert_eq!(tap.numbers(), [1, 2, 3, 5]);
}

#[test]
fn a_million_streams_keep_to_their_bounds() {
    let mut tap = Tap::new();
    tap.limits = Limits { streams: 1_000, stream_bytes: 1 << 20, ..Limits::default() };
    tap.push(0, message(1, "").as_bytes());
    for stream in 0..1_000_000u32 {
        let source = ([10, (stream >> 16) as u8, (stream >> 8) as u8, stream as u8], 5060);
        let bytes = if stream % 2 == 0 { b"INVITE sip:x SIP/2.0\r\nX: ".as_slice() } else { b"" };
        let flags = if bytes.is_empty() { SYN } else { NONE };
        let segment = Segment::new(tap.at, 1, source.into(), ([192, 0, 2, 2], 5060).into(), stream, flags, bytes.to_vec());
        tap.streams.push(&segment, &tap.limits, |_, _| {});
        if stream % 1_000 == 0 {
            let sequence = message(1, "").len() as u32 * (1 + stream / 1_000);
            tap.push(sequence, message(1, "").as_bytes());
        }
    }
    assert!(tap.streams.streams.len() <= 1_000 && tap.streams.bytes <= 1 << 20 && tap.streams.order.len() <= 2_001);
    assert_eq!(tap.numbers().len(), 1_001, "the true stream is joined again wherever it was given up");
    tap.wait(tap.limits.stream_micros);
    assert!(tap.streams.streams.is_empty() && tap.streams.order.is_empty());
}

#[test]
fn any_bytes_in_any_order() {
    let text = stream();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for _ in 0..2_000 {
        let mut tap = Tap::new();
        tap.limits = Limits { stream_bytes: 4_000, ..Limits::default() };
        for _ in 0..60 {
            let start = random(text.len());
            let mut bytes = text.as_bytes()[start..(start + random(400)).min(text.len())].to_vec();
            if random(4) == 0 && !bytes.is_empty() {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            let flags = [NONE, NONE, NONE, NONE, SYN, FIN, RST][random(7)];
            let sequence = if random(20) == 0 { random(u32::MAX as usize) } else { start };
            tap.from(random(3) as u16, sequence as u32, flags, &bytes).wait(random(100_000) as i64);
            let kept: usize = tap.streams.streams.values().map(Stream::bytes).sum();
            assert_eq!(kept, tap.streams.bytes, "the account of bytes is true");
        }
    }
}
