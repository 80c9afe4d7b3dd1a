//! Whole calls, as they pass the mirror.

mod dialogs;
mod flood;
mod flow;
mod hostile;
mod real;
mod sound;
mod streams;

use sotto_private::{Call, CallEvent, Datagram, EndCause, Pcm, Side, StreamFacts, Wall};

use crate::{Counters, Dialogs, Limits, Output};

/// Where the two parties signal.
const ALICE: &str = "192.0.2.1:5060";
const BOB: &str = "192.0.2.2:5060";
/// Where they receive sound.
const ALICE_MEDIA: &str = "192.0.2.1:4000";
const BOB_MEDIA: &str = "192.0.2.2:6000";

const SECOND: i64 = 1_000_000;

fn wall(micros: i64) -> Wall {
    Wall::from_micros(1_700_000_000_000_000 + micros)
}

/// A session description of one PCMU line.
fn sdp(address: &str, port: u16, direction: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    )
}

fn alice_sdp() -> String {
    sdp("192.0.2.1", 4000, "sendrecv")
}

fn bob_sdp() -> String {
    sdp("192.0.2.2", 6000, "sendrecv")
}

/// A message of a dialog, to be varied.
#[derive(Clone)]
struct Sip {
    first: String,
    branch: String,
    from: String,
    to: String,
    call_id: String,
    cseq: String,
    headers: String,
    body: String,
}

impl Sip {
    fn text(&self) -> String {
        let Self { first, branch, from, to, call_id, cseq, headers, body } = self;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let length = body.len();
        format!(
            "{first}\r\nVia: SIP/2.0/UDP host;branch={branch}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n\
             {headers}{kind}Content-Length: {length}\r\n\r\n{body}"
        )
    }

    fn body(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    fn header(mut self, line: &str) -> Self {
        self.headers.push_str(line);
        self.headers.push_str("\r\n");
        self
    }

    fn branch(mut self, branch: &str) -> Self {
        self.branch = branch.to_owned();
        self
    }

    fn tagged(mut self, tag: &str) -> Self {
        self.to = format!("<sip:1002@pbx.example>;tag={tag}");
        self
    }

    fn call_id(mut self, call_id: &str) -> Self {
        self.call_id = call_id.to_owned();
        self
    }
}

/// A request of the calling side; within the dialog where `tag` is set.
fn request(method: &str, cseq: u32, tag: bool) -> Sip {
    let to = if tag { "<sip:1002@pbx.example>;tag=b" } else { "<sip:1002@pbx.example>" };
    Sip {
        first: format!("{method} sip:1002@pbx.example SIP/2.0"),
        branch: format!("z9hG4bK-{method}-{cseq}"),
        from: "<sip:1001@pbx.example>;tag=a".into(),
        to: to.into(),
        call_id: "one".into(),
        cseq: format!("{cseq} {method}"),
        headers: String::new(),
        body: String::new(),
    }
}

/// A request of the called side within the dialog.
fn back(method: &str, cseq: u32) -> Sip {
    Sip {
        from: "<sip:1002@pbx.example>;tag=b".into(),
        to: "<sip:1001@pbx.example>;tag=a".into(),
        ..request(method, cseq, true)
    }
}

/// The answer to a request.
fn response(code: u16, to: &Sip) -> Sip {
    let tagged = if to.to.contains(";tag=") || code == 100 { to.to.clone() } else { format!("{};tag=b", to.to) };
    Sip { first: format!("SIP/2.0 {code} Whatever"), to: tagged, headers: String::new(), body: String::new(), ..to.clone() }
}

/// A listener, and what it heard.
struct Tap {
    dialogs: Dialogs,
    at: Wall,
    number: u64,
    events: Vec<CallEvent>,
    /// Call, side, start and length in microseconds.
    audio: Vec<(u64, Side, i64, i64)>,
}

impl Tap {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self { dialogs: Dialogs::new(limits), at: wall(0), number: 0, events: Vec::new(), audio: Vec::new() }
    }

    fn wait(&mut self, micros: i64) -> &mut Self {
        self.at = self.at.plus(micros);
        self.dialogs.advance(self.at);
        self.drain()
    }

    fn bytes(&mut self, from: &str, to: &str, bytes: Vec<u8>) -> &mut Self {
        self.number += 1;
        self.dialogs.datagram(Datagram::new(self.at, self.number, from.parse().unwrap(), to.parse().unwrap(), bytes));
        self.drain()
    }

    /// From Alice to Bob, if it is hers to send.
    fn sip(&mut self, message: &Sip) -> &mut Self {
        let alices = message.from.contains("tag=a") != message.first.starts_with("SIP/2.0");
        let (from, to) = if alices { (ALICE, BOB) } else { (BOB, ALICE) };
        self.bytes(from, to, message.text().into_bytes())
    }

    /// Both directions of sound for so many packets of 20 ms; time passes.
    fn talk(&mut self, packets: u32) -> &mut Self {
        for _ in 0..packets {
            let sequence = self.at.since(wall(0)) / 20_000;
            self.rtp(ALICE_MEDIA, BOB_MEDIA, 7, sequence).rtp(BOB_MEDIA, ALICE_MEDIA, 8, sequence).wait(20_000);
        }
        self
    }

    fn rtp(&mut self, from: &str, to: &str, ssrc: u32, sequence: i64) -> &mut Self {
        self.bytes(from, to, rtp(0, sequence, ssrc))
    }

    fn finish(&mut self) -> &mut Self {
        self.dialogs.finish(self.at, EndCause::CaptureEnded);
        self.drain()
    }

    fn drain(&mut self) -> &mut Self {
        while let Some(output) = self.dialogs.poll() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Audio(audio) => {
                    let length = audio.end().since(audio.start);
                    self.audio.push((audio.call.0, audio.side, audio.start.since(wall(0)), length));
                }
            }
        }
        self
    }

    /// The whole story in one line a call: `1 offered 0.0 ringing 0.1 ...`, times in seconds.
    fn story(&self) -> Vec<String> {
        let mut stories: Vec<(Call, String)> = Vec::new();
        for event in &self.events {
            let word = match event {
                CallEvent::Offered { .. } => "offered".into(),
                CallEvent::Ringing { .. } => "ringing".into(),
                CallEvent::Answered { .. } => "answered".into(),
                CallEvent::Held { .. } => "held".into(),
                CallEvent::Resumed { .. } => "resumed".into(),
                CallEvent::Objected { .. } => "objected".into(),
                CallEvent::Consented { .. } => "consented".into(),
                CallEvent::TakenOut { .. } => "taken_out".into(),
                CallEvent::Paused { .. } => "paused".into(),
                CallEvent::Continued { .. } => "continued".into(),
                CallEvent::Identified { .. } => "identified".into(),
                CallEvent::Mixed { .. } => "mixed".into(),
                CallEvent::Ended { cause, .. } => format!("{cause:?}"),
            };
            let text = format!(" {word} {:.1}", event.at().since(wall(0)) as f64 / 1e6);
            match stories.iter_mut().find(|(call, _)| *call == event.call()) {
                Some((_, story)) => story.push_str(&text),
                None => stories.push((event.call(), text)),
            }
        }
        stories.into_iter().map(|(_, story)| story.trim().to_owned()).collect()
    }

    /// Seconds of sound of a call's side.
    fn seconds(&self, call: u64, side: Side) -> f64 {
        self.audio.iter().filter(|audio| (audio.0, audio.1) == (call, side)).map(|audio| audio.3).sum::<i64>() as f64 / 1e6
    }

    fn streams(&self, call: u64) -> [Option<StreamFacts>; 2] {
        let ended = self.events.iter().find_map(|event| match event {
            CallEvent::Ended { call: of, streams, .. } if of.0 == call => Some(*streams),
            _ => None,
        });
        ended.unwrap()
    }

    fn counters(&self) -> Counters {
        self.dialogs.counters()
    }

    /// Offer, ringing, answer, ACK: half a second.
    fn call(&mut self) -> &mut Self {
        let invite = request("INVITE", 1, false).body(&alice_sdp());
        self.sip(&invite).wait(100_000).sip(&response(180, &invite)).wait(400_000);
        self.sip(&response(200, &invite).body(&bob_sdp())).sip(&request("ACK", 1, true))
    }
}

fn rtp(payload_type: u8, sequence: i64, ssrc: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type];
    bytes.extend((sequence as u16).to_be_bytes());
    bytes.extend((sequence as u32).wrapping_mul(160).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.resize(172, 0xd5);
    bytes
}

#[test]
fn a_recording_is_one_call_between_nobody_and_nobody() {
    let mut tap = Tap::new();
    for block in 0..100i64 {
        for channel in 0..2u8 {
            tap.dialogs.pcm(Pcm::new(wall(20_000 * block), 0, channel, 8_000, vec![1; 160]));
        }
    }
    tap.finish();
    assert_eq!(tap.story(), ["offered 0.0 answered 0.0 HungUp 2.0"]);
    assert_eq!((tap.seconds(1, Side::Calling), tap.seconds(1, Side::Called)), (2.0, 2.0));
    assert_eq!(tap.streams(1).map(|facts| facts.unwrap().packets), [100, 100]);
    assert_eq!((tap.counters().calls, tap.counters().calls_open), (1, 0));
    tap.dialogs.pcm(Pcm::new(wall(0), 0, 0, 8_000, vec![1; 160]));
    tap.dialogs.finish(wall(0), EndCause::Stopped);
    tap.drain();
    assert_eq!(tap.story()[1], "offered 0.0 answered 0.0 Stopped 0.0");
}
