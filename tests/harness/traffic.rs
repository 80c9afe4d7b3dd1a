//! Many calls at once, for measurements: SIP opens and ends each, and both legs send G.711 all the time.
//!
//! Unlike the call maker it says nothing of what is heard. The sound is like speech to a codec and to nobody else, or that of scripted calls, each
//! begun at a place of its own. Frames are made one by one as they are taken, so that there may be more of them than fit into memory or on a disk.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::frame::{self, DSCP_MEDIA, DSCP_SIGNALLING, Path};
use crate::g711::mu_law;
use crate::random::Random;
use crate::script::Overrides;
use crate::{make_file, sound};

/// The most calls at once.
pub const MOST_CALLS: u32 = 30_000;

/// What is sent, in this order: the calls begin, all of them talk, and they end.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Calls at once, at most [`MOST_CALLS`].
    pub calls: u32,
    /// How long all of them talk, seconds; 0 for calls without a packet of sound.
    pub seconds: u32,
    /// Over how long a time the calls begin, and over how long they end, milliseconds.
    pub ramp_ms: u32,
    /// Without BYEs the calls are open to the end.
    pub has_byes: bool,
}

/// The packet time, microseconds.
const PTIME_US: i64 = 20_000;
/// Samples in a packet.
const SAMPLES: usize = 160;
/// How long the loop of sound is that all legs send, each from a place of its own: a prime number of packets.
const LOOP_PACKETS: usize = 1_499;

impl Traffic {
    /// Hands over each Ethernet frame with its time, microseconds from the first; how many there were. The calls take turns at the sounds.
    ///
    /// # Errors
    /// The first that `take` returns.
    ///
    /// # Panics
    /// There is no sound.
    pub fn each(&self, sounds: &[Sound], mut take: impl FnMut(i64, &[u8]) -> io::Result<()>) -> io::Result<u64> {
        let calls: Vec<Call> = (0..self.calls).map(Call::new).collect();
        let ramp = i64::from(self.ramp_ms) * 1_000;
        let spread = |call: &Call| ramp * i64::from(call.number) / i64::from(self.calls);
        let mut packets = 0;
        let mut packet = |at_us: i64, path: &Path, payload: &[u8]| {
            let identification = packets as u16;
            packets += 1;
            take(at_us, &frame::build(path, identification, payload))
        };

        signalling(calls.iter().flat_map(|call| call.opening(spread(call))), &mut packet)?;
        let talk = ramp + 200_000;
        media(&calls, sounds, talk, self.seconds, &mut packet)?;
        if self.has_byes {
            let end = talk + i64::from(self.seconds) * 1_000_000 + PTIME_US;
            signalling(calls.iter().flat_map(|call| call.ending(end + spread(call))), &mut packet)?;
        }
        Ok(packets)
    }
}

fn signalling(messages: impl Iterator<Item = Message>, packet: &mut impl FnMut(i64, &Path, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut messages: Vec<Message> = messages.collect();
    messages.sort_by_key(|message| message.at_us);
    messages.iter().try_for_each(|message| packet(message.at_us, &message.path, message.text.as_bytes()))
}

/// Both legs of all calls. Each leg has its own place within the packet time, so that the packets come evenly.
fn media(
    calls: &[Call],
    sounds: &[Sound],
    start: i64,
    seconds: u32,
    packet: &mut impl FnMut(i64, &Path, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut legs: Vec<Leg> = calls.iter().flat_map(|call| call.legs(sounds)).collect();
    let count = legs.len() as i64;
    let mut rtp = vec![0; 12 + SAMPLES];
    for tick in 0..i64::from(seconds) * 1_000_000 / PTIME_US {
        for (place, leg) in legs.iter_mut().enumerate() {
            rtp[0] = 0x80;
            rtp[1] = if tick == 0 { 0x80 } else { 0 };
            rtp[2..4].copy_from_slice(&leg.sequence.to_be_bytes());
            rtp[4..8].copy_from_slice(&leg.timestamp.to_be_bytes());
            rtp[8..12].copy_from_slice(&leg.ssrc.to_be_bytes());
            rtp[12..].copy_from_slice(&leg.sound[leg.at]);
            packet(start + tick * PTIME_US + PTIME_US * place as i64 / count, &leg.path, &rtp)?;
            leg.sequence = leg.sequence.wrapping_add(1);
            leg.timestamp = leg.timestamp.wrapping_add(SAMPLES as u32);
            leg.at = (leg.at + 1) % leg.sound.len();
        }
    }
    Ok(())
}

/// What the two sides of a call send, the customer's first, packet by packet.
#[derive(Debug)]
pub struct Sound {
    sides: [Vec<[u8; SAMPLES]>; 2],
    /// The two belong together, and begin at the same place.
    is_talk: bool,
}

/// The sound of a script's first call, or of two wav files, `AGENT:CUSTOMER`.
///
/// # Errors
/// Where a file cannot be read, or holds no call.
pub fn talk_of(talk: &str) -> io::Result<Sound> {
    let (agent, customer) = match talk.split_once(':') {
        Some((agent, customer)) => {
            let read = |path: &str| sound::read_wav(std::path::Path::new(path)).map(|sound| sound::to_i16(&sound)).map_err(io::Error::other);
            (read(agent)?, read(customer)?)
        }
        None => {
            let made = make_file(std::path::Path::new(talk), &Overrides::default()).map_err(io::Error::other)?;
            let [agent, customer] = made.legs.into_iter().next().ok_or_else(|| io::Error::other(format!("{talk}: no call")))?;
            (agent, customer)
        }
    };
    let packets = agent.len().max(customer.len()).div_ceil(SAMPLES).max(1);
    let cut = |leg: &[i16]| {
        (0..packets).map(|packet| std::array::from_fn(|sample| mu_law(leg.get(packet * SAMPLES + sample).copied().unwrap_or(0)))).collect()
    };
    Ok(Sound { sides: [cut(&customer), cut(&agent)], is_talk: true })
}

/// Sound that is like speech to a codec, in its levels and its pauses, and to nobody else.
#[must_use]
pub fn noise() -> Sound {
    let sound = sound_loop();
    Sound { sides: [sound.clone(), sound], is_talk: false }
}

/// Packets of sound with the levels and the rhythm of talk: syllables of noisy, voiced sound for some seconds, then a pause.
fn sound_loop() -> Vec<[u8; SAMPLES]> {
    let mut random = Random::new(1, "traffic");
    let mut sample = 0_u32;
    let (mut low, mut talks, mut left) = (0.0, true, 60);
    let mut packets = Vec::with_capacity(LOOP_PACKETS);
    for _ in 0..LOOP_PACKETS {
        if left == 0 {
            talks = !talks;
            left = 20 + (random.unit() * if talks { 180.0 } else { 80.0 }) as usize;
        }
        left -= 1;
        packets.push([0; SAMPLES].map(|_: u8| {
            sample += 1;
            let at = f64::from(sample) / 8_000.0;
            let syllable = (std::f64::consts::TAU * 4.0 * at).sin().max(0.0);
            let level = if talks { 150.0 + 7_000.0 * syllable } else { 20.0 };
            low += 0.3 * (random.normal() - low);
            let pitch = (std::f64::consts::TAU * (120.0 + 20.0 * (at * 2.0).sin()) * at).sin();
            mu_law((level * (0.6 * pitch + 0.4 * low)).clamp(-32_000.0, 32_000.0) as i16)
        }));
    }
    packets
}

struct Message {
    at_us: i64,
    path: Path,
    text: String,
}

struct Leg<'a> {
    path: Path,
    sound: &'a [[u8; SAMPLES]],
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    at: usize,
}

/// A customer at 10.1.x.y calls the agent at 10.2.x.y; each has an address of its own.
struct Call {
    number: u32,
    addresses: [IpAddr; 2],
}

impl Call {
    fn new(number: u32) -> Self {
        let [_, _, high, low] = (number + 1).to_be_bytes();
        Self { number, addresses: [1, 2].map(|side| IpAddr::V4(Ipv4Addr::new(10, side, high, low))) }
    }

    fn path(&self, from: usize, port: u16, dscp: u8) -> Path {
        let [source, destination] = [from, 1 - from].map(|side| SocketAddr::new(self.addresses[side], port));
        Path { source, destination, vlan: None, dscp }
    }

    fn legs<'a>(&self, sounds: &'a [Sound]) -> [Leg<'a>; 2] {
        let sound = &sounds[self.number as usize % sounds.len()];
        let place = Random::new(u64::from(self.number), "place").bits() as usize;
        [0, 1].map(|from| {
            let side = &sound.sides[from];
            let mut random = Random::new(u64::from(self.number), ["customer", "agent"][from]);
            Leg {
                path: self.path(from, 20_000, DSCP_MEDIA),
                sequence: random.bits() as u16,
                timestamp: random.bits() as u32,
                ssrc: random.bits() as u32,
                sound: side,
                at: if sound.is_talk { place } else { random.bits() as usize } % side.len(),
            }
        })
    }

    fn opening(&self, at_us: i64) -> [Message; 4] {
        [
            self.message(at_us, 0, "INVITE", 1, None, true),
            self.message(at_us + 20_000, 1, "INVITE", 1, Some("180 Ringing"), false),
            self.message(at_us + 150_000, 1, "INVITE", 1, Some("200 OK"), true),
            self.message(at_us + 158_000, 0, "ACK", 1, None, false),
        ]
    }

    fn ending(&self, at_us: i64) -> [Message; 2] {
        [self.message(at_us, 0, "BYE", 2, None, false), self.message(at_us + 20_000, 1, "BYE", 2, Some("200 OK"), false)]
    }

    fn message(&self, at_us: i64, from: usize, method: &str, cseq: u32, status: Option<&str>, with_sdp: bool) -> Message {
        let [customer, agent] = self.addresses;
        let number = self.number;
        let to_tag = if method == "INVITE" && status.is_none() { "" } else { ";tag=b" };
        let first = status.map_or_else(|| format!("{method} sip:1001@{agent} SIP/2.0"), |status| format!("SIP/2.0 {status}"));
        let body = if with_sdp {
            let own = self.addresses[from];
            format!(
                "v=0\r\no=- {number} 1 IN IP4 {own}\r\ns=-\r\nc=IN IP4 {own}\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"
            )
        } else {
            String::new()
        };
        let kind = if with_sdp { "Content-Type: application/sdp\r\n" } else { "" };
        let text = format!(
            "{first}\r\nVia: SIP/2.0/UDP {customer}:5060;branch=z9hG4bK{number}-{cseq}-{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:+1202{number:07}@carrier.example>;tag=a\r\nTo: <sip:1001@pbx.example>{to_tag}\r\n\
             Call-ID: {number}@carrier.example\r\nCSeq: {cseq} {method}\r\nContact: <sip:{user}@{own}:5060>\r\n{kind}Content-Length: {length}\r\n\r\n{body}",
            branch = if method == "ACK" { "ack" } else { "1" },
            user = ["customer", "1001"][from],
            own = self.addresses[from],
            length = body.len(),
        );
        Message { at_us, path: self.path(from, 5_060, DSCP_SIGNALLING), text }
    }
}
