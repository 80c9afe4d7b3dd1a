//! What bytes can be thrown at: each target passes them to the production parsers, through the same doors as the pipeline. No bytes may
//! make any of them panic. The fuzzers run them (`tests/fuzz.sh`), and so does the test over the committed corpora (`tests/corpus.rs`).

use std::net::SocketAddr;
use std::path::Path;

use sotto_capture::{Decap, Link, Next, PcapFile, Source};
use sotto_dialog::{Dialogs, EndCause, Limits, ServerOptions};
use sotto_private::{Datagram, Encoding, Segment, SegmentFlags, Wall};

use crate::decode_stream;

/// A target: its name, which is also its corpus' folder, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 10] = [
    ("sip", sip),
    ("sdp", sdp),
    ("siprec_xml", siprec_xml),
    ("multipart", multipart),
    ("rtp", rtp),
    ("decap", decap),
    ("tcp", tcp),
    ("pcap", pcap),
    ("g722", g722),
    ("opus", opus),
];

const ALICE: &str = "192.0.2.1:5060";
const BOB: &str = "192.0.2.2:5060";
const ALICE_MEDIA: &str = "192.0.2.1:4000";
const BOB_MEDIA: &str = "192.0.2.2:6000";
const START: i64 = 1_793_610_000_000_000;

/// One datagram that may be SIP, while a call is open.
pub fn sip(data: &[u8]) {
    let _ = sotto_dialog::sip::parse(data);
    let mut listener = Listener::with_call();
    listener.datagram(ALICE, BOB, data.to_vec());
    listener.datagram(BOB, ALICE, data.to_vec());
    listener.finish();
}

/// A session description, as the offer of a call and as its answer.
pub fn sdp(data: &[u8]) {
    let mut listener = Listener::new();
    listener.datagram(ALICE, BOB, message("INVITE sip:b@x SIP/2.0", "INVITE", "", "application/sdp", data));
    listener.datagram(BOB, ALICE, message("SIP/2.0 200 OK", "INVITE", ";tag=b", "application/sdp", data));
    listener.talk();
    listener.finish();
}

/// The metadata of a recording session (RFC 7865).
pub fn siprec_xml(data: &[u8]) {
    let mut body = b"--b\r\nContent-Type: application/sdp\r\n\r\n".to_vec();
    body.extend(description("192.0.2.1", 4_000).bytes());
    body.extend(b"\r\n--b\r\nContent-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n");
    body.extend(data);
    body.extend(b"\r\n--b--\r\n");
    multipart(&body);
}

/// The body of a recording session's INVITE, of several parts (RFC 2046 section 5.1).
pub fn multipart(data: &[u8]) {
    let mut listener = Listener { dialogs: Dialogs::recording_server(Limits::default(), ServerOptions::default()), at: START, number: 0 };
    listener.datagram(ALICE, BOB, message("INVITE sip:srs@x SIP/2.0", "INVITE", "", "multipart/mixed;boundary=b", data));
    listener.drain();
    listener.finish();
}

/// Datagrams between the media addresses of a call, RTP and RTCP. Each: a byte of where it goes and when, one of its length, and itself.
pub fn rtp(data: &[u8]) {
    let mut listener = Listener::with_call();
    let mut rest = data;
    while let [place, length, after @ ..] = rest {
        let (bytes, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let (from, to) = if place & 1 == 0 { (ALICE_MEDIA, BOB_MEDIA) } else { (BOB_MEDIA, ALICE_MEDIA) };
        let (mut from, mut to): (SocketAddr, SocketAddr) = (address(from), address(to));
        if place & 2 != 0 {
            from.set_port(from.port() + 1);
            to.set_port(to.port() + 1);
        }
        listener.at += i64::from(place >> 2) * 1_000;
        listener.deliver(from, to, bytes.to_vec());
    }
    listener.finish();
}

/// Frames. The first byte says the link; then each a byte of its length in units of eight, and itself.
pub fn decap(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else { return };
    let links = [1, 113, 101, 0, 276].map(Link::from_number);
    let Some(link) = links[usize::from(*first) % links.len()] else { return };
    let mut decap = Decap::default();
    let mut number = 0;
    while let Some((length, after)) = rest.split_first() {
        let (frame, after) = after.split_at((usize::from(*length) * 8).min(after.len()));
        rest = after;
        number += 1;
        drop(decap.frame(link, frame, Wall::from_micros(START + 10_000 * number as i64), number));
        while decap.more().is_some() {}
    }
}

/// Segments of two TCP streams between the parties. Each: a byte of control bits and direction, two of its place, one of its length, and itself.
pub fn tcp(data: &[u8]) {
    let mut listener = Listener::new();
    let mut rest = data;
    while let [control, high, low, length, after @ ..] = rest {
        let (bytes, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let (from, to) = if control & 1 == 0 { (ALICE, BOB) } else { (BOB, ALICE) };
        let flags = SegmentFlags { syn: control & 2 != 0, fin: control & 4 != 0, rst: control & 8 != 0 };
        let sequence = u32::from(u16::from_be_bytes([*high, *low])).wrapping_add(if control & 16 != 0 { u32::MAX - 0x8000 } else { 0 });
        listener.number += 1;
        listener.at += 1_000;
        let at = Wall::from_micros(listener.at);
        listener.dialogs.segment(Segment::new(at, listener.number, address(from), address(to), sequence, flags, bytes.to_vec()));
        listener.drain();
    }
    listener.finish();
}

/// A capture file, whole.
pub fn pcap(data: &[u8]) {
    let Ok(mut file) = PcapFile::from_reader(Path::new("bytes"), data, Some(data.len() as u64)) else { return };
    while let Ok(next) = file.next() {
        if matches!(next, Next::End) {
            break;
        }
    }
}

/// Payloads of G.722.
pub fn g722(data: &[u8]) {
    decode_stream(Encoding::G722, data.chunks(160));
}

/// Payloads of Opus: each a byte of its length, and itself.
pub fn opus(data: &[u8]) {
    let mut payloads = Vec::new();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first() {
        let (payload, after) = after.split_at(usize::from(*length).min(after.len()));
        payloads.push(payload);
        rest = after;
    }
    for payload in &payloads {
        let _ = Encoding::Opus.micros(payload);
    }
    decode_stream(Encoding::Opus, payloads);
}

struct Listener {
    dialogs: Dialogs,
    at: i64,
    number: u64,
}

impl Listener {
    fn new() -> Self {
        Self { dialogs: Dialogs::new(Limits::default()), at: START, number: 0 }
    }

    /// A listener in whose ears a call has just been answered.
    fn with_call() -> Self {
        let mut listener = Self::new();
        listener.datagram(ALICE, BOB, message("INVITE sip:b@x SIP/2.0", "INVITE", "", "application/sdp", description("192.0.2.1", 4_000).as_bytes()));
        listener.datagram(BOB, ALICE, message("SIP/2.0 200 OK", "INVITE", ";tag=b", "application/sdp", description("192.0.2.2", 6_000).as_bytes()));
        listener.datagram(ALICE, BOB, message("ACK sip:b@x SIP/2.0", "ACK", ";tag=b", "", b""));
        listener
    }

    fn datagram(&mut self, from: &str, to: &str, bytes: Vec<u8>) {
        self.deliver(address(from), address(to), bytes);
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.number += 1;
        self.at += 1_000;
        self.dialogs.datagram(Datagram::new(Wall::from_micros(self.at), self.number, from, to, bytes));
        self.drain();
    }

    /// A little sound of both sides.
    fn talk(&mut self) {
        for sequence in 0..4_u16 {
            let mut packet = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            packet[6..8].copy_from_slice(&(sequence * 160).to_be_bytes());
            packet.resize(172, 0xd5);
            self.datagram(ALICE_MEDIA, BOB_MEDIA, packet.clone());
            self.datagram(BOB_MEDIA, ALICE_MEDIA, packet);
        }
    }

    fn drain(&mut self) {
        while self.dialogs.poll().is_some() {}
        while self.dialogs.errand().is_some() {}
    }

    /// A long time passes, and everything ends.
    fn finish(mut self) {
        self.dialogs.advance(Wall::from_micros(self.at + 3_000_000));
        self.drain();
        self.dialogs.finish(Wall::from_micros(self.at + 3_000_000), EndCause::CaptureEnded);
        self.drain();
        assert_eq!(self.dialogs.counters().calls_open, 0);
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| SocketAddr::from(([192, 0, 2, 9], 9)))
}

/// A message of the call, with a body.
fn message(first: &str, method: &str, to_tag: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let head = format!(
        "{first}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=a\r\nTo: <sip:b@x>{to_tag}\r\nCall-ID: one\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:a@192.0.2.1>\r\n{kind}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn description(address: &str, port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 9 111 101\r\n\
         a=rtpmap:111 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na=label:1\r\n"
    )
}
