//! Recording clients against the server, message by message, in simulated time.

mod hostile;
mod vendors;

use std::net::SocketAddr;

use sotto_private::{CallEvent, Codec, Datagram, EndCause, Origin, Segment, SegmentFlags, Side, Transport, Wall};

use crate::{Dialogs, Errand, Limits, Output, ServerOptions};

/// A recording client, and the server that it talks to.
struct Client {
    server: Dialogs,
    now: Wall,
    packets: u64,
    cseq: u32,
    transport: Transport,
    /// What the server did since it was last asked.
    heard: Vec<CallEvent>,
    audio: Vec<(Side, i64)>,
    said: Vec<String>,
    open: Vec<SocketAddr>,
    to_tag: String,
}

const LOCAL: &str = "192.0.2.1:5060";
const REMOTE: &str = "198.51.100.7:5070";

impl Client {
    fn new() -> Self {
        Self::with(ServerOptions::default())
    }

    fn with(options: ServerOptions) -> Self {
        Self {
            server: Dialogs::recording_server(Limits::default(), options),
            now: Wall::from_micros(1_000_000_000),
            packets: 0,
            cseq: 0,
            transport: Transport::Udp,
            heard: Vec::new(),
            audio: Vec::new(),
            said: Vec::new(),
            open: Vec::new(),
            to_tag: String::new(),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.server.poll() {
            match output {
                Output::Event(event) => self.heard.push(event),
                Output::Audio(audio) => self.audio.push((audio.side, audio.start.millis())),
            }
        }
        while let Some(errand) = self.server.errand() {
            match errand {
                Errand::Listen(address) => self.open.push(address),
                Errand::Close(address) => self.open.retain(|open| *open != address),
                Errand::Send(reply) => {
                    assert_eq!((reply.source.to_string().as_str(), reply.transport), (LOCAL, self.transport));
                    assert_eq!(reply.destination.to_string(), REMOTE);
                    self.said.push(String::from_utf8(reply.payload().to_vec()).unwrap());
                }
            }
        }
    }

    fn raw(&mut self, bytes: &[u8]) -> Option<String> {
        self.packets += 1;
        let (remote, local) = (REMOTE.parse().unwrap(), LOCAL.parse().unwrap());
        match self.transport {
            Transport::Udp => self.server.datagram(Datagram::new(self.now, self.packets, remote, local, bytes.to_vec())),
            Transport::Tcp => self.server.segment(Segment::new(self.now, self.packets, remote, local, 0, SegmentFlags::default(), bytes.to_vec())),
        }
        self.drain();
        self.said.pop()
    }

    /// A request of the dialog, with this number.
    fn text(&self, method: &str, cseq: u32, extra: &str, body: &str) -> String {
        let tag = if self.to_tag.is_empty() { String::new() } else { format!(";tag={}", self.to_tag) };
        format!(
            "{method} sip:srs@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {REMOTE};branch=z9hG4bK{method}{cseq}\r\nVia: SIP/2.0/UDP other;branch=1\r\n\
             From: <sip:src@sbc>;tag=c\r\nTo: <sip:srs@192.0.2.1>{tag}\r\nCall-ID: one\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
             Contact: <sip:src@{REMOTE}>;+sip.src\r\n{extra}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// A new request; its answer.
    fn request(&mut self, method: &str, extra: &str, body: &str) -> String {
        self.cseq += 1;
        let text = self.text(method, self.cseq, extra, body);
        let answer = self.raw(text.as_bytes()).unwrap_or_default();
        if method == "INVITE" && self.to_tag.is_empty() && answer.starts_with("SIP/2.0 200") {
            self.to_tag = answer.split("\r\nTo: ").nth(1).and_then(|to| to.split(";tag=").nth(1)).unwrap().split("\r\n").next().unwrap().to_owned();
        }
        if method == "INVITE" && !answer.is_empty() {
            let ack = self.text("ACK", self.cseq, "", "").replace(&format!("bKACK{}", self.cseq), &format!("bKINVITE{}", self.cseq));
            assert_eq!(self.raw(ack.as_bytes()), None);
        }
        answer
    }

    fn invite(&mut self, sdp: &str, metadata: &str) -> String {
        self.request("INVITE", MULTIPART, &body(sdp, metadata))
    }

    fn wait(&mut self, millis: i64) {
        self.now = self.now.plus(millis * 1_000);
        self.server.advance(self.now);
        self.drain();
    }

    /// Twenty packets of G.711 to a port, 20 ms each.
    fn speak(&mut self, port: u16, ssrc: u32, first: u16) {
        for number in 0..20_u16 {
            let sequence = first + number;
            let mut bytes = vec![0x80, 8];
            bytes.extend(sequence.to_be_bytes());
            bytes.extend((u32::from(sequence) * 160).to_be_bytes());
            bytes.extend(ssrc.to_be_bytes());
            bytes.extend([0xd5; 160]);
            self.packets += 1;
            let source = "198.51.100.8:30000".parse().unwrap();
            self.server.datagram(Datagram::new(self.now, self.packets, source, SocketAddr::new("192.0.2.1".parse().unwrap(), port), bytes));
            self.wait(20);
        }
    }

    fn sounds(&mut self) -> [usize; 2] {
        let counts = Side::BOTH.map(|side| self.audio.iter().filter(|(heard, _)| *heard == side).count());
        self.audio.clear();
        counts
    }

    fn names(&mut self) -> Vec<&'static str> {
        self.heard.drain(..).map(|event| name(&event)).collect()
    }
}

fn name(event: &CallEvent) -> &'static str {
    match event {
        CallEvent::Offered { .. } => "offered",
        CallEvent::Answered { .. } => "answered",
        CallEvent::Identified { .. } => "identified",
        CallEvent::Mixed { .. } => "mixed",
        CallEvent::Held { .. } => "held",
        CallEvent::Resumed { .. } => "resumed",
        CallEvent::Paused { .. } => "paused",
        CallEvent::Continued { .. } => "continued",
        CallEvent::Consented { .. } => "consented",
        CallEvent::Objected { .. } => "objected",
        CallEvent::Ended { .. } => "ended",
        _ => "other",
    }
}

const MULTIPART: &str = "Require: siprec\r\nContent-Type: multipart/mixed;boundary=\"b\"\r\n";
const STREAM: &str = "m=audio 4000 RTP/AVP 8\r\na=sendonly\r\na=label:1\r\n";
const STREAMS: &str = "m=audio 4000 RTP/AVP 8\r\na=sendonly\r\na=label:1\r\nm=audio 4002 RTP/AVP 8\r\na=sendonly\r\na=label:2\r\n";
const PEOPLE: &str = "<participant participant_id='p1'><nameID aor='sip:1001@pbx'/></participant><participant participant_id='p2'><nameID aor='sip:+49301@pbx'/></participant>\
    <stream stream_id='s1'><label>1</label></stream><stream stream_id='s2'><label>2</label></stream>";

fn sdp(media: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 198.51.100.8\r\ns=-\r\nc=IN IP4 198.51.100.8\r\nt=0 0\r\n{media}")
}

fn body(sdp: &str, metadata: &str) -> String {
    let mut body = String::new();
    if !sdp.is_empty() {
        body += &format!("--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n");
    }
    if !metadata.is_empty() {
        body += &format!("--b\r\nContent-Type: application/rs-metadata\r\nContent-Disposition: recording-session\r\n\r\n<recording>{metadata}</recording>\r\n");
    }
    body + "--b--\r\n"
}

#[test]
fn a_session_is_a_call_of_two_parties_with_their_sound() {
    let mut client = Client::new();
    let answer = client.invite(&sdp(STREAMS), PEOPLE);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(head.lines().next(), Some("SIP/2.0 200 OK"));
    for line in ["Via: SIP/2.0/UDP other;branch=1", "Call-ID: one", "CSeq: 1 INVITE", "Contact: <sip:sotto@192.0.2.1:5060>;+sip.srs", "Content-Type: application/sdp"] {
        assert!(head.contains(&format!("\r\n{line}")), "{line} is not in {head}");
    }
    assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
    assert!(body.contains("m=audio 20000 RTP/AVP 8\r\na=label:1\r\na=recvonly\r\nm=audio 20002 RTP/AVP 8\r\na=label:2\r\na=recvonly\r\n"), "{body}");
    assert_eq!(client.open.len(), 4, "{:?}", client.open);
    let [CallEvent::Offered { calling, called, origin: Origin::RecordingSession, .. }, CallEvent::Answered { .. }] = &client.heard[..] else {
        panic!("{:?}", client.heard)
    };
    assert_eq!((calling.identity(), called.identity(), called.user.expose().as_str()), ("sip:1001@pbx", "sip:+49301@pbx", "+49301"));
    client.names();
    client.speak(20_000, 1, 10);
    client.speak(20_002, 2, 10);
    client.wait(500);
    assert_eq!(client.sounds(), [20, 20]);
    let answer = client.request("BYE", "", "");
    assert!(answer.starts_with("SIP/2.0 200 OK"), "{answer}");
    client.wait(1_000);
    let Some(CallEvent::Ended { cause: EndCause::HungUp, streams: [Some(calling), Some(called)], .. }) = client.heard.pop() else { panic!("{:?}", client.heard) };
    assert_eq!((calling.packets, calling.codec, called.packets), (20, Codec::Pcma, 20));
    assert_eq!(client.open, [], "all ports were given back");
    client.speak(20_000, 1, 100);
    assert_eq!(client.sounds(), [0, 0]);
}

#[test]
fn streams_go_by_their_senders_and_stay_when_others_leave() {
    let mut client = Client::new();
    let crossed = "<participantstreamassoc participant_id='p1'><send>s2</send></participantstreamassoc><participantstreamassoc participant_id='p2'><send>s1</send></participantstreamassoc>";
    client.invite(&sdp(STREAMS), &format!("{PEOPLE}{crossed}"));
    client.speak(20_000, 1, 10);
    assert_eq!(client.sounds(), [0, 20]);
    client.names();
    // The customer is transferred to another agent: who stays keeps the side.
    let update = "<datamode>partial</datamode><participantsessionassoc participant_id='p1'><disassociate-time>x</disassociate-time></participantsessionassoc>\
        <participant participant_id='p3'><nameID aor='sip:1002@pbx'/></participant><participantstreamassoc participant_id='p3'><send>s2</send></participantstreamassoc>";
    let answer = client.request("UPDATE", MULTIPART, &body("", update));
    assert!(answer.starts_with("SIP/2.0 200") && answer.ends_with("\r\n\r\n"), "{answer}");
    let [CallEvent::Identified { calling, called, .. }] = &client.heard[..] else { panic!("{:?}", client.heard) };
    assert_eq!((calling.identity(), called.identity()), ("sip:1002@pbx", "sip:+49301@pbx"));
    let answer = client.invite(&sdp(STREAMS), "");
    assert!(answer.contains("o=sotto 1 2 ") && answer.contains("m=audio 20000 ") && answer.contains("m=audio 20002 "), "{answer}");
    client.speak(20_000, 1, 40);
    client.speak(20_002, 2, 40);
    client.wait(500);
    assert_eq!(client.sounds(), [20, 20]);
}

#[test]
fn hold_pause_and_new_streams_are_followed() {
    let mut client = Client::new();
    let inactive = STREAMS.replace("sendonly", "inactive");
    let answer = client.invite(&sdp(&inactive), PEOPLE);
    assert_eq!(answer.matches("a=inactive\r\n").count(), 2);
    assert_eq!(client.names(), ["offered"], "nobody speaks yet");
    client.invite(&sdp(STREAMS), "");
    assert_eq!(client.names(), ["answered"]);
    client.invite(&sdp(&inactive), "");
    client.invite(&sdp(&inactive), "");
    client.invite(&sdp(STREAMS), "");
    assert_eq!(client.names(), ["held", "resumed"]);
    for (preference, event) in [("recordpref:off", "paused"), ("recordpref:nopreference", "continued"), ("record:paused", "paused"), ("recordpref:pause", ""), ("recordpref:on", "continued")] {
        client.invite(&sdp(&format!("{STREAMS}a={preference}\r\n")), "");
        assert_eq!(client.names().join(""), event, "{preference}");
    }
    // A third stream comes; the first one is given up.
    let third = format!("{}m=audio 4004 RTP/AVP 8\r\na=sendonly\r\na=label:3\r\n", STREAMS.replace("audio 4000", "audio 0"));
    let answer = client.invite(&sdp(&third), "");
    assert!(answer.contains("m=audio 0 RTP/AVP 8\r\nm=audio 20002 RTP/AVP 8\r\n") && answer.contains("m=audio 20004 RTP/AVP 8\r\n"), "{answer}");
    let ports: Vec<u16> = client.open.iter().map(SocketAddr::port).collect();
    assert_eq!(ports, [20_002, 20_003, 20_004, 20_005]);
    client.request("BYE", "", "");
    assert_eq!((client.names(), client.open.len()), (vec!["ended"], 0));
}

#[test]
fn a_recording_client_says_what_the_customer_said() {
    let mut client = Client::new();
    client.server = client.server.with_consent_header(crate::ConsentHeader::new("x-consent", "yes", "no"));
    client.invite(&sdp(STREAMS), PEOPLE);
    assert_eq!(client.names(), ["offered", "answered"]);
    let said = |value: &str| format!("X-Consent: {value}\r\nContent-Type: application/sdp\r\n");
    for (value, event) in [("perhaps", ""), ("YES;by=ivr", "consented"), ("yes", ""), ("no", "objected")] {
        client.request("INVITE", &said(value), &sdp(STREAMS));
        assert_eq!(client.names().join(""), event, "{value}");
    }
}

#[test]
fn without_metadata_a_call_is_a_call() {
    let mut client = Client::new();
    let asserted = "P-Asserted-Identity: <sip:1001@pbx>\r\nContent-Type: application/sdp\r\n";
    assert!(client.request("INVITE", asserted, &sdp(STREAM)).starts_with("SIP/2.0 200"));
    let [CallEvent::Offered { calling, called, .. }, CallEvent::Mixed { .. }, CallEvent::Answered { .. }] = &client.heard[..] else { panic!("{:?}", client.heard) };
    assert_eq!((calling.identity(), called.identity()), ("sip:1001@pbx", "sip:srs@192.0.2.1"));
    client.speak(20_000, 1, 10);
    assert_eq!(client.sounds(), [20, 0]);

    let mut client = Client::new();
    assert!(client.invite(&sdp(STREAMS), "<broken").starts_with("SIP/2.0 200"));
    assert_eq!((client.names(), client.server.counters().siprec_bodies_malformed), (vec!["offered", "answered"], 1));
    assert_eq!(client.server.last_fault().unwrap().to_string(), "packet 1: metadata, byte 32: not well formed");
}

#[test]
fn what_comes_again_is_answered_the_same_and_what_is_not_acknowledged_is_said_again() {
    let mut client = Client::new();
    let text = client.text("INVITE", 1, MULTIPART, &body(&sdp(STREAMS), PEOPLE));
    let first = client.raw(text.as_bytes()).unwrap();
    assert_eq!(client.raw(text.as_bytes()).as_ref(), Some(&first));
    assert_eq!(client.names(), ["offered", "answered"]);
    client.wait(500);
    assert_eq!(client.said, [first.clone()]);
    client.wait(1_000);
    assert_eq!(client.said.len(), 2);
    client.to_tag = first.split("\r\nTo: ").nth(1).and_then(|to| to.split(";tag=").nth(1)).unwrap().split("\r\n").next().unwrap().to_owned();
    let ack = client.text("ACK", 1, "", "");
    client.said.clear();
    assert_eq!(client.raw(ack.as_bytes()), None);
    client.wait(10_000);
    assert_eq!(client.said, [""; 0]);

    // A cancel that came too late changes nothing; one of nothing finds nothing.
    let cancel = text.replace("INVITE1\r\n", "INVITE1\r\n").replacen("INVITE sip", "CANCEL sip", 1).replace("1 INVITE", "1 CANCEL");
    assert!(client.raw(cancel.as_bytes()).unwrap().starts_with("SIP/2.0 200"));
    let stray = client.text("CANCEL", 77, "", "");
    assert!(client.raw(stray.as_bytes()).unwrap().starts_with("SIP/2.0 481"));
    assert_eq!(client.names(), [""; 0]);
}

#[test]
fn refusals_are_those_of_the_rules() {
    let code = |answer: &str| answer.get(8..11).unwrap_or_default().to_owned();
    let mut client = Client::with(ServerOptions { ports: 20_000..=20_005, sessions: 2, connections: 4 });
    let answer = client.request("OPTIONS", "", "");
    assert!(answer.starts_with("SIP/2.0 200") && answer.contains("\r\nAccept: application/sdp, application/rs-metadata") && answer.contains("\r\nAllow: INVITE"), "{answer}");
    assert_eq!(code(&client.request("SUBSCRIBE", "", "")), "405");
    for method in ["BYE", "UPDATE"] {
        assert_eq!(code(&client.request(method, "", "")), "481");
    }
    let answer = client.request("INVITE", "Require: siprec, x-teleport\r\n", &sdp(STREAM));
    assert!(answer.starts_with("SIP/2.0 420") && answer.contains("\r\nUnsupported: x-teleport\r\n"), "{answer}");
    assert_eq!(code(&client.request("INVITE", "Content-Type: text/plain\r\n", "hello")), "415");
    assert_eq!(code(&client.request("INVITE", "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "hello")), "415");
    assert_eq!(code(&client.request("INVITE", MULTIPART, "no boundary")), "400");
    assert_eq!(code(&client.request("INVITE", "", "")), "488", "the client offers");
    assert_eq!(code(&client.request("INVITE", "Content-Type: application/sdp\r\n", &sdp("m=video 1 RTP/AVP 31\r\n"))), "488");
    assert_eq!(code(&client.request("INVITE", "Content-Type: application/sdp\r\n", &sdp("m=audio x\r\n"))), "488");
    assert_eq!(code(&client.invite(&sdp(&STREAM.repeat(4)), "")), "486", "there are not as many ports");
    assert_eq!(client.names(), [""; 0], "nothing that was refused is a call");
    assert_eq!(client.server.counters().siprec_refused, 11);
    // Nor did it take ports.
    assert_eq!(code(&client.invite(&sdp(&STREAM.repeat(3)), "")), "200");
    assert_eq!(client.names().last(), Some(&"answered"));
    let old = client.text("INFO", 1, "", "");
    assert_eq!(code(&client.raw(old.as_bytes()).unwrap()), "405");
    client.cseq = 1;
    assert_eq!(code(&client.request("UPDATE", "", "")), "500", "a number that was there before");
    client.to_tag.push('x');
    client.cseq = 90;
    assert_eq!(code(&client.request("BYE", "", "")), "481");
    // Not even its CSeq can be read.
    let broken = client.text("INVITE", 99, "", "").replace("99 INVITE", "abc INVITE");
    assert_eq!(code(&client.raw(broken.as_bytes()).unwrap()), "400");
}

#[test]
fn a_full_table_is_busy() {
    let mut client = Client::with(ServerOptions { sessions: 1, ..ServerOptions::default() });
    assert!(client.invite(&sdp(STREAMS), PEOPLE).starts_with("SIP/2.0 200"));
    client.to_tag.clear();
    client.cseq += 1;
    let other = client.text("INVITE", client.cseq, MULTIPART, &body(&sdp(STREAMS), PEOPLE)).replace("Call-ID: one", "Call-ID: two");
    let answer = client.raw(other.as_bytes()).unwrap();
    assert!(answer.starts_with("SIP/2.0 486") && answer.contains("\r\nRetry-After: 60\r\n"), "{answer}");
}

#[test]
fn over_tcp_messages_are_what_their_lengths_say() {
    let mut client = Client::new();
    client.transport = Transport::Tcp;
    let invite = client.text("INVITE", 1, MULTIPART, &body(&sdp(STREAMS), PEOPLE));
    let options = client.text("OPTIONS", 2, "", "");
    let both = format!("\r\n\r\n{invite}\r\n\r\n{options}");
    let (start, end) = both.as_bytes().split_at(both.len() - 5);
    let mut answers = Vec::new();
    for piece in start.chunks(7).chain([end]) {
        answers.extend(client.raw(piece));
    }
    assert_eq!(answers.len(), 2);
    assert!(answers[0].contains("Contact: <sip:sotto@192.0.2.1:5060;transport=tcp>;+sip.srs"), "{}", answers[0]);
    assert_eq!(client.names(), ["offered", "answered"]);
}

#[test]
fn a_client_that_goes_silent_is_left_and_told() {
    let mut client = Client::new();
    client.request("INVITE", "Record-Route: <sip:proxy;lr>\r\nContent-Type: application/sdp\r\nSupported: timer\r\nSession-Expires: 180\r\n", &sdp(STREAMS));
    client.wait(179_000);
    assert_eq!(client.said, [""; 0]);
    client.wait(2_000);
    let bye = client.said.pop().unwrap();
    assert!(bye.starts_with(&format!("BYE sip:src@{REMOTE} SIP/2.0\r\n")) && bye.contains("\r\nRoute: <sip:proxy;lr>\r\n"), "{bye}");
    assert!(bye.contains("\r\nTo: <sip:src@sbc>;tag=c\r\n") && bye.contains(&format!("From: <sip:srs@192.0.2.1>;tag={}\r\n", client.to_tag)), "{bye}");
    assert_eq!((client.names().last(), client.open.len()), (Some(&"ended"), 0));

    // A box that stops tells it too.
    let mut client = Client::new();
    client.invite(&sdp(STREAMS), PEOPLE);
    client.server.finish(client.now, EndCause::Stopped);
    client.drain();
    assert!(client.said.pop().unwrap().starts_with("BYE "));
    assert!(matches!(client.heard.last(), Some(CallEvent::Ended { cause: EndCause::Stopped, .. })));
}
