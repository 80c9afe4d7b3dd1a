//! Offer and answer (RFC 3264) as a recording server has them: it receives every audio stream that it can, and sends none
//! (RFC 7866 section 8.1.2).

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::SdpError;
use crate::sdp::{self, Coding, Description};

/// Media lines of an offer; an offer with more is refused, for each must be answered.
const MEDIA: usize = 16;
/// The most bytes of a line that is read.
const LINE: usize = 1 << 10;
/// Lines of an offer that are read.
const LINES: usize = 1_024;

/// What is wished of the recording (RFC 7866 section 6.3.2), or said of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preference {
    On,
    Pause,
    Off,
    /// `nopreference`.
    None,
}

/// Which way sound flows, as the client says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// The client sends: `sendonly`, or `sendrecv` and nothing.
    Sends,
    /// It does not: `inactive`, `recvonly`.
    Rests,
}

/// A media line of an offer, in the order of the description.
#[derive(Clone, Debug)]
pub(super) struct Offered<'a> {
    media: &'a str,
    port: u16,
    protocol: &'a str,
    formats: &'a str,
    pub(super) label: Option<&'a str>,
    pub(super) flow: Flow,
    pub(super) preference: Option<Preference>,
    is_multiplexed: bool,
    crypto: Option<(&'a str, &'a str)>,
    maps: Vec<(&'a str, &'a str)>,
    parameters: Vec<(&'a str, &'a str)>,
    codings: Vec<(u8, Coding)>,
}

/// A session description that wants an answer.
#[derive(Clone, Debug)]
pub(super) struct Offer<'a> {
    pub(super) media: Vec<Offered<'a>>,
    /// As the listener reads it: the audio lines alone.
    pub(super) description: Description,
}

impl<'a> Offer<'a> {
    /// Reads an offer.
    ///
    /// # Errors
    /// The first line that cannot be read, or the seventeenth media line.
    pub(super) fn of(body: &'a str) -> Result<Self, SdpError> {
        let description = sdp::parse(body.as_bytes())?;
        let mut media: Vec<Offered<'a>> = Vec::new();
        let (mut flow, mut preference) = (Flow::Sends, None);
        for (index, line) in body.lines().take(LINES).enumerate() {
            let line = line.trim();
            if line.len() > LINE {
                continue;
            }
            if let Some(value) = line.strip_prefix("m=") {
                let error = SdpError { line: index + 1 };
                let offered = Offered::of(value, flow, preference).ok_or(error)?;
                if media.len() == MEDIA {
                    return Err(error);
                }
                media.push(offered);
            } else if let Some(attribute) = line.strip_prefix("a=") {
                let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
                match media.last_mut() {
                    Some(offered) => offered.attribute(name.trim(), value.trim()),
                    None => {
                        flow = self::flow(name).unwrap_or(flow);
                        preference = self::preference(name, value.trim()).or(preference);
                    }
                }
            }
        }
        let mut endpoints = description.audio.iter();
        for offered in media.iter_mut().filter(|offered| offered.is_audio()) {
            offered.codings = endpoints.next().map(|endpoint| endpoint.payloads.clone()).unwrap_or_default();
        }
        Ok(Self { media, description })
    }

    /// Which lines are audio: those that the description holds.
    pub(super) fn audio_lines(&self) -> Vec<bool> {
        self.media.iter().map(Offered::is_audio).collect()
    }
}

impl<'a> Offered<'a> {
    fn of(value: &'a str, flow: Flow, preference: Option<Preference>) -> Option<Self> {
        let mut words = value.splitn(4, ' ');
        let (media, port, protocol) = (words.next()?, words.next()?, words.next()?);
        let port = port.split('/').next()?.parse().ok()?;
        Some(Self {
            media,
            port,
            protocol,
            formats: words.next().unwrap_or_default().trim(),
            label: None,
            flow,
            preference,
            is_multiplexed: false,
            crypto: None,
            maps: Vec::new(),
            parameters: Vec::new(),
            codings: Vec::new(),
        })
    }

    fn attribute(&mut self, name: &'a str, value: &'a str) {
        match name.to_ascii_lowercase().as_str() {
            "label" if !value.is_empty() => self.label = Some(value),
            "rtcp-mux" => self.is_multiplexed = true,
            "rtpmap" => self.maps.extend(value.split_once(' ')),
            "fmtp" => self.parameters.extend(value.split_once(' ')),
            "crypto" if self.crypto.is_none() => {
                let mut words = value.split_ascii_whitespace();
                self.crypto = words.next().zip(words.next().filter(|suite| KEY_BYTES.iter().any(|(known, _)| suite.eq_ignore_ascii_case(known))));
            }
            lower => {
                self.flow = flow(lower).unwrap_or(self.flow);
                self.preference = preference(lower, value).or(self.preference);
            }
        }
    }

    fn is_audio(&self) -> bool {
        self.media.eq_ignore_ascii_case("audio")
    }

    /// Whether it is a stream that can be received: audio, not given up, in RTP, with a key where it is encrypted.
    pub(super) fn is_receivable(&self) -> bool {
        let protocol = self.protocol.to_ascii_uppercase();
        let is_known = match protocol.as_str() {
            "RTP/AVP" | "RTP/AVPF" => true,
            "RTP/SAVP" | "RTP/SAVPF" => self.crypto.is_some(),
            _ => false,
        };
        self.is_audio() && self.port > 0 && is_known && self.codec().is_some()
    }

    /// The first codec that is decoded here, else the first one: a call whose sound cannot be decoded still counts.
    fn codec(&self) -> Option<u8> {
        let is_sound = |coding: &Coding| matches!(coding, Coding::Sound(..));
        let named = |number: u8| self.map(number).is_some_and(is_beside);
        let decoded = self.codings.iter().find(|(_, coding)| is_sound(coding));
        decoded.or_else(|| self.codings.iter().find(|(number, _)| !named(*number) && !matches!(number, 13 | 19))).map(|(number, _)| *number)
    }

    fn map(&self, number: u8) -> Option<&'a str> {
        self.maps.iter().find(|(known, _)| known.parse() == Ok(number)).map(|(_, map)| map.trim())
    }
}

/// What comes beside a codec and is no sound: telephone events and comfort noise.
fn is_beside(map: &str) -> bool {
    let name = map.split('/').next().unwrap_or_default();
    name.eq_ignore_ascii_case("telephone-event") || name.eq_ignore_ascii_case("CN")
}

/// Suites of RFC 4568 and RFC 7714 that are read, and the bytes of key and salt.
const KEY_BYTES: [(&str, usize); 4] =
    [("AES_CM_128_HMAC_SHA1_80", 30), ("AES_CM_128_HMAC_SHA1_32", 30), ("AEAD_AES_128_GCM", 28), ("AEAD_AES_256_GCM", 44)];

fn flow(name: &str) -> Option<Flow> {
    match name.to_ascii_lowercase().trim() {
        "sendonly" | "sendrecv" => Some(Flow::Sends),
        "recvonly" | "inactive" => Some(Flow::Rests),
        _ => None,
    }
}

/// `a=recordpref` (what the recorded party wishes) and `a=record` (what the client says of the state): either narrows.
fn preference(name: &str, value: &str) -> Option<Preference> {
    if !name.eq_ignore_ascii_case("recordpref") && !name.eq_ignore_ascii_case("record") {
        return None;
    }
    match value.to_ascii_lowercase().as_str() {
        "on" => Some(Preference::On),
        "off" => Some(Preference::Off),
        "pause" | "paused" => Some(Preference::Pause),
        "nopreference" => Some(Preference::None),
        _ => None,
    }
}

/// What an answer says of itself.
pub(super) struct Terms<'a> {
    pub(super) address: IpAddr,
    pub(super) session: u64,
    pub(super) version: u64,
    /// The port of each media line; 0 refuses it.
    pub(super) ports: &'a [u16],
    /// Bytes for the keys that the form demands. Nothing is ever sent under them.
    pub(super) key: &'a [u8; 44],
}

/// The answer: each line in the offer's order, received where it has a port.
pub(super) fn answer(offer: &Offer<'_>, terms: &Terms<'_>) -> String {
    let family = if terms.address.is_ipv6() { "IP6" } else { "IP4" };
    let (address, session, version) = (terms.address, terms.session, terms.version);
    let mut out = format!("v=0\r\no=sotto {session} {version} IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n");
    for (index, offered) in offer.media.iter().enumerate() {
        let port = terms.ports.get(index).copied().unwrap_or(0);
        let line = media(offered, port, terms.key);
        out.push_str(&line);
    }
    out
}

fn media(offered: &Offered<'_>, port: u16, key: &[u8; 44]) -> String {
    let Offered { media, protocol, formats, .. } = offered;
    let codec = offered.codec().filter(|_| port > 0);
    let Some(codec) = codec else { return format!("m={media} 0 {protocol} {formats}\r\n") };
    let beside = offered.codings.iter().map(|(number, _)| *number).filter(|number| offered.map(*number).is_some_and(is_beside));
    let chosen: Vec<u8> = std::iter::once(codec).chain(beside.filter(|number| *number != codec)).collect();
    let mut out = format!("m={media} {port} {protocol}");
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = out.write_fmt(text);
    };
    for number in &chosen {
        line(format_args!(" {number}"));
    }
    line(format_args!("\r\n"));
    for number in &chosen {
        if let Some(map) = offered.map(*number) {
            line(format_args!("a=rtpmap:{number} {map}\r\n"));
        }
        for (_, parameters) in offered.parameters.iter().filter(|(known, _)| known.parse() == Ok(*number)) {
            line(format_args!("a=fmtp:{number} {}\r\n", parameters.trim()));
        }
    }
    if let Some((tag, suite)) = offered.crypto.filter(|_| protocol.to_ascii_uppercase().contains("SAVP")) {
        let length = KEY_BYTES.iter().find(|(known, _)| suite.eq_ignore_ascii_case(known)).map_or(30, |(_, length)| *length);
        line(format_args!("a=crypto:{tag} {suite} inline:{}\r\n", base64(key.get(..length).unwrap_or_default())));
    }
    if let Some(label) = offered.label {
        line(format_args!("a=label:{label}\r\n"));
    }
    if offered.is_multiplexed {
        line(format_args!("a=rtcp-mux\r\n"));
    }
    line(format_args!("a={}\r\n", if offered.flow == Flow::Sends { "recvonly" } else { "inactive" }));
    out
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let sign = SIGNS.get((word >> (18 - 6 * place)) as usize & 63).copied().unwrap_or(b'A');
            out.push(if place <= group.len() { sign.into() } else { '=' });
        }
    }
    out
}

impl Offered<'_> {
    /// Whether RTCP needs a port of its own.
    pub(super) const fn wants_rtcp_port(&self) -> bool {
        !self.is_multiplexed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(offer: &str, ports: &[u16]) -> String {
        let offer = Offer::of(offer).unwrap();
        answer(&offer, &Terms { address: "192.0.2.1".parse().unwrap(), session: 7, version: 1, ports, key: &[0; 44] })
    }

    const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n";

    #[test]
    fn every_line_is_answered_in_its_place_and_received_only() {
        let offer = format!(
            "{HEAD}m=audio 4000 RTP/AVP 18 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=label:a\r\na=rtcp-mux\r\na=sendonly\r\n\
             m=video 4002 RTP/AVP 31\r\nm=audio 4004 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=inactive\r\na=label:b\r\n\
             m=audio 4006 UDP/TLS/RTP/SAVPF 0\r\nm=audio 0 RTP/AVP 0\r\n"
        );
        let text = answered(&offer, &[2000, 0, 2002, 0, 0]);
        let media = text.split_once("m=").map(|(_, rest)| format!("m={rest}")).unwrap();
        assert_eq!(
            media,
            "m=audio 2000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=label:a\r\na=rtcp-mux\r\na=recvonly\r\n\
             m=video 0 RTP/AVP 31\r\nm=audio 2002 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=label:b\r\na=inactive\r\n\
             m=audio 0 UDP/TLS/RTP/SAVPF 0\r\nm=audio 0 RTP/AVP 0\r\n"
        );
        let receivable: Vec<bool> = Offer::of(&offer).unwrap().media.iter().map(Offered::is_receivable).collect();
        assert_eq!(receivable, [true, false, true, false, false]);
    }

    #[test]
    fn a_codec_that_is_not_decoded_is_better_than_no_call() {
        let text = answered(&format!("{HEAD}m=audio 4000 RTP/AVP 18 101\r\na=rtpmap:101 telephone-event/8000\r\n"), &[2000]);
        assert!(text.contains("m=audio 2000 RTP/AVP 18 101\r\n"), "{text}");
    }

    #[test]
    fn keys_are_answered_in_the_suite_that_was_offered() {
        let sdes = "m=audio 4000 RTP/SAVP 0\r\na=crypto:1 F8_128_HMAC_SHA1_80 inline:x\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
        let text = answered(&format!("{HEAD}{sdes}"), &[2000]);
        assert!(text.contains(&format!("a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{}\r\n", "A".repeat(40))), "{text}");
        assert!(!Offer::of(&format!("{HEAD}m=audio 4000 RTP/SAVP 0\r\n")).unwrap().media[0].is_receivable());
        assert_eq!((base64(b"any carnal pleas"), base64(b"ab"), base64(b"abc")), ("YW55IGNhcm5hbCBwbGVhcw==".into(), "YWI=".into(), "YWJj".into()));
    }

    #[test]
    fn flow_and_preference_are_of_the_line_else_of_the_session() {
        let offer = Offer::of("v=0\r\na=inactive\r\na=recordpref:off\r\nm=audio 1 RTP/AVP 0\r\nm=audio 1 RTP/AVP 0\r\na=sendrecv\r\na=recordpref:nopreference\r\n").unwrap();
        let [first, second] = &offer.media[..] else { panic!() };
        assert_eq!((first.flow, first.preference), (Flow::Rests, Some(Preference::Off)));
        assert_eq!((second.flow, second.preference), (Flow::Sends, Some(Preference::None)));
        let many = format!("{HEAD}{}", "m=audio 1 RTP/AVP 0\r\n".repeat(17));
        assert_eq!(Offer::of(&many).unwrap_err(), SdpError { line: 22 });
    }
}
