//! Calls on an imagined wire, as the bytes of a pcap file: SIP opens and ends each, and both legs send G.711 all the time.

use std::io::Read;

/// Half a minute of a call between two synthetic voices, µ-law: a sample of the customer's and one of the agent's in turn. Made of
/// `tests/calls` by `models/benches/talk.sh`.
const TALK: &[u8] = include_bytes!("talk.ulaw");
/// Samples in a packet, of 20 ms.
const SAMPLES: usize = 160;
const PTIME_US: i64 = 20_000;
/// The global header of pcap: microseconds, little endian, Ethernet.
const HEADER: [u8; 24] = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];

/// Gives its bytes as they are read; it holds those of 20 ms at most.
pub(super) struct Traffic {
    calls: u32,
    began: i64,
    /// When the first packet of sound is sent.
    talk: i64,
    tick: i64,
    ticks: i64,
    ramp: i64,
    ready: Vec<u8>,
    read: usize,
}

impl Traffic {
    /// `calls` that begin within `ramp` seconds from `began` (microseconds since 1970), and talk for `seconds` from then on.
    pub(super) fn new(calls: u32, ramp: u32, seconds: u32, began: i64) -> Self {
        let ramp = i64::from(ramp) * 1_000_000;
        let ticks = (ramp + i64::from(seconds) * 1_000_000) / PTIME_US;
        Self { calls, began, talk: began + 200_000, tick: 0, ticks, ramp, ready: HEADER.to_vec(), read: 0 }
    }

    /// When a call begins.
    fn start(&self, call: u32) -> i64 {
        self.began + self.ramp * i64::from(call) / i64::from(self.calls.max(1)) / PTIME_US * PTIME_US
    }

    /// The packets of the next 20 ms, in order of time.
    fn fill(&mut self) {
        let (from, to) = (self.began + self.tick * PTIME_US, self.began + (self.tick + 1) * PTIME_US);
        for call in 0..self.calls {
            let start = self.start(call);
            if (from..to).contains(&start) {
                self.message(from, call, 0, "INVITE", None, true);
                self.message(from, call, 1, "INVITE", Some("200 OK"), true);
                self.message(from, call, 0, "ACK", None, false);
            }
            let at = from + PTIME_US * i64::from(call) / i64::from(self.calls);
            if from >= start + (self.talk - self.began) && self.tick < self.ticks {
                self.sound(at, call);
            }
            if self.tick == self.ticks {
                self.message(at, call, 0, "BYE", None, false);
                self.message(at, call, 1, "BYE", Some("200 OK"), false);
            }
        }
        self.tick += 1;
    }

    fn sound(&mut self, at: i64, call: u32) {
        // Each call is at a place of its own.
        let packets = TALK.len() / 2 / SAMPLES;
        let place = (self.tick as usize + call as usize * 7_919) % packets;
        for side in 0..2 {
            let mut payload = Vec::with_capacity(12 + SAMPLES);
            payload.extend([0x80, 0]);
            payload.extend((self.tick as u16).to_be_bytes());
            payload.extend((self.tick as u32).wrapping_mul(SAMPLES as u32).to_be_bytes());
            payload.extend((call * 2 + side).to_be_bytes());
            payload.extend(TALK[2 * place * SAMPLES..][..2 * SAMPLES].iter().skip(side as usize).step_by(2));
            self.packet(at, call, side as usize, 20_000, &payload);
        }
    }

    fn message(&mut self, at: i64, call: u32, side: usize, method: &str, status: Option<&str>, has_sdp: bool) {
        let [own, other] = [address(call, side), address(call, 1 - side)].map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}"));
        let first = status.map_or_else(|| format!("{method} sip:1001@{other} SIP/2.0"), |status| format!("SIP/2.0 {status}"));
        let body = if has_sdp { format!("v=0\r\no=- {call} 1 IN IP4 {own}\r\ns=-\r\nc=IN IP4 {own}\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n") } else { String::new() };
        let kind = if has_sdp { "Content-Type: application/sdp\r\n" } else { "" };
        let to_tag = if method == "INVITE" && status.is_none() { "" } else { ";tag=b" };
        let cseq = if method == "BYE" { 2 } else { 1 };
        let text = format!(
            "{first}\r\nVia: SIP/2.0/UDP bench.example;branch=z9hG4bK{call}-{cseq}\r\nFrom: <sip:+1202{call:07}@carrier.example>;tag=a\r\n\
             To: <sip:1001@pbx.example>{to_tag}\r\nCall-ID: {call}@bench.example\r\nCSeq: {cseq} {method}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.packet(at, call, side, 5_060, text.as_bytes());
    }

    /// A record of pcap around Ethernet, IPv4 (RFC 791) and UDP (RFC 768), whose checksums may be absent behind an interface that makes them.
    fn packet(&mut self, at: i64, call: u32, side: usize, port: u16, payload: &[u8]) {
        let (udp, ip) = (8 + payload.len(), 28 + payload.len());
        let length = (14 + ip) as u32;
        let (seconds, micros) = ((at / 1_000_000) as u32, (at % 1_000_000) as u32);
        for word in [seconds, micros, length, length] {
            self.ready.extend(word.to_le_bytes());
        }
        self.ready.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0]);
        self.ready.extend((ip as u16).to_be_bytes());
        self.ready.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
        self.ready.extend(address(call, side));
        self.ready.extend(address(call, 1 - side));
        self.ready.extend([port, port, udp as u16, 0].map(u16::to_be_bytes).as_flattened());
        self.ready.extend(payload);
    }
}

/// The customer's address (side 0), and the agent's.
const fn address(call: u32, side: usize) -> [u8; 4] {
    let [_, _, high, low] = (call + 1).to_be_bytes();
    [10, 1 + side as u8, high, low]
}

impl Read for Traffic {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.read == self.ready.len() && self.tick <= self.ticks {
            self.ready.clear();
            self.read = 0;
            self.fill();
        }
        let some = buffer.len().min(self.ready.len() - self.read);
        buffer[..some].copy_from_slice(&self.ready[self.read..][..some]);
        self.read += some;
        Ok(some)
    }
}
