//! Bytes that mean harm: nothing panics, nothing takes long, nothing grows.
//!
//! What "long" is: a millisecond a message is the promise, and it is printed. A machine that is too slow for it fails no test: what is asserted
//! then is that the time grows with the message, not with its square.

use std::time::{Duration, Instant};

use super::{Client, MULTIPART, PEOPLE, STREAMS, body, sdp};
use crate::ServerOptions;
use sotto_private::Transport;

/// What one message may take, wherever the machine is fast enough.
const MOST: Duration = Duration::from_millis(1);
/// What a mutation may take on a slow machine, in times the median of all.
const TIMES_MEDIAN: u32 = 50;
/// What four times the message may take on a slow machine, in times the one. A square would be 16.
const TIMES_QUARTER: u32 = 9;

/// The same numbers in every run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// One to four changes: a byte, a piece cut, doubled or moved, a word that parsers stumble over.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    const WORDS: [&[u8]; 14] = [
        b"\r\n\r\n", b"--b", b"--b--", b"\n", b"<", b"<!DOCTYPE a>", b"&a;", b"\0", b"m=audio 1 RTP/AVP 0\r\n", b"4294967296", b"-1", b"]]>", b"\xff\xfe", b";tag=",
    ];
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let end = (at + random.below(60)).min(bytes.len());
        match random.below(5) {
            0 => bytes[at] = random.next() as u8,
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => {
                let piece: Vec<u8> = bytes.drain(at..end).collect();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
        }
        if bytes.is_empty() {
            bytes.push(b'I');
        }
    }
}

#[test]
fn mutations_neither_panic_nor_take_long_nor_grow() {
    const ROUNDS: usize = 100_000;
    let mut random = Random(0x5eed);
    let mut client = Client::with(ServerOptions { sessions: 64, ..ServerOptions::default() });
    client.invite(&sdp(STREAMS), PEOPLE);
    let seeds: Vec<String> = [
        client.text("INVITE", 2, MULTIPART, &body(&sdp(STREAMS), PEOPLE)),
        client.text("UPDATE", 3, MULTIPART, &body("", PEOPLE)),
        client.text("INVITE", 4, "Content-Type: application/sdp\r\nSession-Expires: 100\r\nSupported: timer\r\n", &sdp(STREAMS)),
        client.text("INVITE", 8, MULTIPART, &body(&sdp(STREAMS), PEOPLE)).replace(&format!(";tag={}", client.to_tag), ""),
        client.text("BYE", 5, "", ""),
        client.text("CANCEL", 6, "", ""),
        client.text("OPTIONS", 7, "", ""),
    ]
    .into_iter()
    .map(|seed| seed.replace(&format!(";tag={}", client.to_tag), ";tag=TAG"))
    .collect();
    let (mut times, mut slow, mut answered) = (Vec::with_capacity(ROUNDS), Vec::new(), 0);
    let remote = super::REMOTE.parse().unwrap();
    for round in 0..ROUNDS {
        // A branch and a number of its own, else it would be taken for one that was there before.
        let seed = &seeds[random.below(seeds.len())];
        let mut bytes = seed.replace("branch=z9hG4bK", &format!("branch=z9hG4bK{round}")).replace("CSeq: ", &format!("CSeq: {round}")).replace("TAG", &client.to_tag).into_bytes();
        mutate(&mut bytes, &mut random);
        if round % 50 == 0 {
            client.server.finish(client.now, crate::EndCause::Stopped);
            let (invite, local) = (client.text("INVITE", 1, MULTIPART, &body(&sdp(STREAMS), PEOPLE)), super::LOCAL.parse().unwrap());
            let invite = invite.replace(&format!(";tag={}", client.to_tag), "").replace("z9hG4bK", &format!("z9hG4bKnew{round}"));
            client.server.datagram(sotto_private::Datagram::new(client.now, 1, remote, local, invite.into_bytes()));
        }
        client.now = client.now.plus(1_000);
        let local = super::LOCAL.parse().unwrap();
        let copy = bytes.clone();
        let began = Instant::now();
        if round % 4 == 0 {
            let flags = sotto_private::SegmentFlags { syn: round % 64 == 0, ..Default::default() };
            client.server.segment(sotto_private::Segment::new(client.now, 1, remote, local, 0, flags, bytes));
        } else {
            client.server.datagram(sotto_private::Datagram::new(client.now, 1, remote, local, bytes));
        }
        let took = began.elapsed();
        times.push(took);
        if took >= MOST {
            slow.push(copy);
        }
        while client.server.poll().is_some() {}
        while let Some(errand) = client.server.errand() {
            answered += 1;
            // The tag of the newest dialog, for what follows to be in it.
            if let crate::Errand::Send(reply) = errand
                && reply.payload().starts_with(b"SIP/2.0 200")
                && let Some(tag) = String::from_utf8_lossy(reply.payload()).split("\r\nTo: ").nth(1).and_then(|to| to.split(";tag=").nth(1))
            {
                client.to_tag = tag.split("\r\n").next().unwrap_or_default().to_owned();
            }
        }
    }
    let counters = client.server.counters();
    times.sort_unstable();
    let [median, most, slowest] = [ROUNDS / 2, ROUNDS - ROUNDS / 1_000, ROUNDS - 1].map(|index| times[index]);
    println!("{ROUNDS} mutations, {answered} errands, median {median:?}, 99.9 % under {most:?}, slowest {slowest:?}, {counters:?}");
    assert!(answered > ROUNDS / 4, "most mutations should still be answered somehow");
    for count in [counters.sip_malformed, counters.siprec_bodies_malformed, counters.sdp_malformed, counters.siprec_refused, counters.calls] {
        assert!(count > 300, "{counters:?}");
    }
    // Some meet a moment at which the machine does something else. Those are looked at again: the best of twenty is what they take.
    println!("{} took over {MOST:?} at first", slow.len());
    for bytes in slow {
        let best = (0..20).map(|_| {
            let mut client = Client::new();
            client.invite(&sdp(STREAMS), PEOPLE);
            let datagram = sotto_private::Datagram::new(client.now, 1, remote, super::LOCAL.parse().unwrap(), bytes.clone());
            let began = Instant::now();
            client.server.datagram(datagram);
            began.elapsed()
        });
        let best = best.min().unwrap_or_default();
        assert!(best < MOST || best < TIMES_MEDIAN * median, "{best:?} for {} bytes, where the median is {median:?}", bytes.len());
    }
    client.server.finish(client.now, crate::EndCause::Stopped);
    assert_eq!(client.server.counters().calls_open, 0);
}

#[test]
fn the_worst_single_messages_take_a_millisecond_or_grow_with_their_length() {
    println!("{:<28} {:>10} {:>10}", "", "a quarter", "whole");
    let whole = bombs(1);
    for ((name, body), (_, quarter)) in whole.into_iter().zip(bombs(4)) {
        assert!(body.len() < 64 << 10, "{name}");
        let (short, _) = best(&quarter);
        let (long, answer) = best(&body);
        println!("{name:<28} {short:>10.1?} {long:>10.1?}  {}", answer.lines().next().unwrap_or("no answer"));
        assert!(long < MOST || long < TIMES_QUARTER * short, "{name}: {long:?}, a quarter of it {short:?}");
    }
}

/// The worst bodies that fit a message, or the same divided in length by `part`.
fn bombs(part: usize) -> [(&'static str, String); 12] {
    let many = |piece: &str, count: usize| piece.repeat(count / part);
    let offer = sdp(STREAMS);
    let attributes: String = (0..80_000 / part).map(|number| format!(" a{number}=''")).collect();
    let wide = body(&offer, &format!("<stream{attributes}/>"));
    [
        ("80,000 attributes", wide.get(..60_000 / part).unwrap().to_owned() + "/>\r\n--b--"),
        ("nesting", body(&offer, &many("<a>", 20_000))),
        ("attributes without number", body(&offer, &format!("<stream{}/>", many(" a=''", 11_000)))),
        ("an entity bomb", format!("--b\r\nContent-Type: application/sdp\r\n\r\n{offer}\r\n--b\r\nContent-Type: application/rs-metadata\r\n\r\n<!DOCTYPE a [{}]><recording>&a;</recording>\r\n--b--", many("<!ENTITY a '&a;&a;'>", 2_900))),
        ("references", body(&offer, &many("&amp;", 12_000))),
        ("participants", body(&offer, &many("<participant participant_id='x'/>", 1_800))),
        ("empty parts", many("--b\r\n", 12_000)),
        ("lines that are no delimiter", many("--c\n", 15_000)),
        ("empty lines", many("\n", 60_000)),
        ("media lines", body(&sdp(&many("m=audio 1 RTP/AVP 0\r\n", 2_900)), "")),
        ("rtpmaps", body(&sdp(&format!("m=audio 1 RTP/AVP 0\r\n{}", many("a=rtpmap:1 a/1\r\n", 3_700))), "")),
        ("formats", body(&sdp(&format!("m=audio 1 RTP/AVP{}\r\n", many(" 99", 19_000))), "")),
    ]
}

/// The least of several tries: what it takes where nothing else takes the machine away. And the answer.
fn best(body: &str) -> (Duration, String) {
    let mut best = Duration::MAX;
    let mut answer = String::new();
    for _ in 0..40 {
        let mut client = Client::new();
        let text = client.text("INVITE", 1, MULTIPART, body);
        let began = Instant::now();
        answer = client.raw(text.as_bytes()).unwrap_or_default();
        best = best.min(began.elapsed());
    }
    (best, answer)
}

#[test]
fn connections_and_unfinished_messages_are_bounded() {
    let mut client = Client::with(ServerOptions { connections: 8, ..ServerOptions::default() });
    client.transport = Transport::Tcp;
    let start = "INVITE sip:a SIP/2.0\r\n".to_owned() + &"X: y\r\n".repeat(10);
    for port in 0..10_000_u16 {
        let remote = std::net::SocketAddr::new("198.51.100.7".parse().unwrap(), port);
        let local = super::LOCAL.parse().unwrap();
        client.server.segment(sotto_private::Segment::new(client.now, 1, remote, local, 0, Default::default(), start.clone().into_bytes()));
    }
    client.drain();
    assert_eq!(client.server.server.as_ref().unwrap().streams.len(), 8);
    // A message that never ends is given up.
    let mut client = Client::new();
    client.transport = Transport::Tcp;
    client.raw(b"INVITE sip:a SIP/2.0\r\nContent-Length: 9999999\r\nCall-ID: a\r\nFrom: a\r\nTo: a\r\nCSeq: 1 INVITE\r\n\r\n");
    for _ in 0..200 {
        client.raw(&[b'x'; 1_000]);
    }
    let kept: usize = client.server.server.as_ref().unwrap().streams.values().map(|bytes| bytes.expose().len()).sum();
    assert!(kept <= 128 << 10, "{kept}");
    assert!(client.server.counters().sip_malformed > 0);
}
