//! Session descriptions (RFC 8866) as far as sound needs them: where it goes, in which codec, and whether it flows.
//!
//! The `sdp-types` crate reads the lines. A filter stands before it: only the lines that matter pass, under bounds, so that an
//! odd origin or time line cannot lose a call, and a description with ten thousand media lines costs what sixteen do.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use sotto_private::{Codec, Encoding};

use crate::rtp::Key;

/// Media lines that are read; what follows is left out and counted.
const MEDIA: usize = 16;
/// Payload types that are read of one media line.
const PAYLOADS: usize = 64;
/// Attributes that are read of one description.
const ATTRIBUTES: usize = 512;
/// Keys that are read of one media line.
const KEYS: usize = 8;
/// The most bytes of one line.
const LINE: usize = 1 << 10;

/// Why a session description was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdpError {
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for SdpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SDP, line {}: cannot be read (RFC 8866 section 5)", self.line)
    }
}

impl std::error::Error for SdpError {}

/// How a payload type is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Sound that the next stage decodes.
    Sound(Codec, Encoding),
    /// Sound that this box does not decode, and its RTP clock rate.
    Undecodable(Codec, u32),
    /// Sound in SRTP (RFC 3711), and its RTP clock rate.
    Encrypted(Codec, u32),
    /// Telephone events (RFC 4733): known, and no sound.
    Event,
    /// Comfort noise (RFC 3389) and tones: known, and no sound.
    Silent,
}

impl Coding {
    /// The rate of its time stamps, a second; `None` where they do not tell the time of sending.
    pub(crate) const fn clock(self) -> Option<u32> {
        match self {
            Self::Sound(_, encoding) => Some(encoding.clock()),
            Self::Undecodable(_, clock) | Self::Encrypted(_, clock) => Some(if clock == 0 { 1 } else { clock }),
            Self::Event | Self::Silent => None,
        }
    }

    /// The same, of which no key is known.
    pub(crate) const fn encrypted(self) -> Self {
        match self {
            Self::Sound(codec, encoding) => Self::Encrypted(codec, encoding.clock()),
            Self::Undecodable(codec, clock) => Self::Encrypted(codec, clock),
            Self::Event => Self::Silent,
            Self::Encrypted(..) | Self::Silent => self,
        }
    }
}

/// Which way sound flows, as the side that sent the description sees it (RFC 8866 section 6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

/// One audio line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Where the side that sent the description wants to receive. `None`: a host name, a refused line, or the 0.0.0.0 of a hold.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) payloads: Vec<(u8, Coding)>,
    pub(crate) direction: Direction,
    /// RTP/SAVP and its kin (RFC 4568, 5764): the payloads are encrypted.
    pub(crate) secured: bool,
    /// Keys are offered though the profile is plain: encrypted if the other side does so too.
    pub(crate) keyed: bool,
    /// The keys with which the side that sent the description will encrypt (RFC 4568 section 6.1).
    pub(crate) keys: Vec<Key>,
    /// Where it wants to receive RTCP, if that is elsewhere than one port above or the same port (RFC 3605, RFC 5761).
    pub(crate) rtcp: Option<SocketAddr>,
}

/// A description's audio lines, and how many media lines were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) audio: Vec<Endpoint>,
    pub(crate) media_left_out: usize,
}

/// Reads a description.
///
/// # Errors
/// The first line among those that matter that cannot be read.
pub(crate) fn parse(body: &[u8]) -> Result<Description, SdpError> {
    let filtered = Filtered::of(body)?;
    let session = sdp_types::Session::parse(&filtered.bytes).map_err(|error| SdpError { line: filtered.line(&error) })?;
    let session_direction = direction(&session.attributes);
    let session_address = session.connection.as_ref().map(|connection| connection.connection_address.as_str());
    let audio = session.medias.iter().filter(|media| media.media.eq_ignore_ascii_case("audio")).map(|media| {
        let address = media.connections.first().map(|connection| connection.connection_address.as_str()).or(session_address);
        endpoint(media, address, session_direction)
    });
    Ok(Description { audio: audio.collect(), media_left_out: filtered.media_left_out })
}

fn endpoint(media: &sdp_types::Media, address: Option<&str>, session_direction: Option<Direction>) -> Endpoint {
    let ip = address.and_then(|address| address.split('/').next()).and_then(|address| address.parse::<IpAddr>().ok());
    // RFC 2543's hold: sound is to go nowhere. A port of 0 refuses the line (RFC 3264 section 6).
    let nowhere = ip.is_some_and(|ip| ip.is_unspecified()) || media.port == 0;
    let told = direction(&media.attributes).or(session_direction).unwrap_or(Direction::SendRecv);
    let direction = match told {
        _ if media.port == 0 => Direction::Inactive,
        Direction::SendRecv if nowhere => Direction::SendOnly,
        Direction::RecvOnly if nowhere => Direction::Inactive,
        told => told,
    };
    let profile = media.proto.to_ascii_uppercase();
    let types = media.fmt.split_ascii_whitespace().filter_map(|number| number.parse::<u8>().ok()).filter(|number| *number < 128);
    let payloads = types.take(PAYLOADS).map(|number| (number, mapped(media, number).unwrap_or_else(|| static_coding(number))));
    Endpoint {
        address: ip.filter(|_| !nowhere).map(|ip| SocketAddr::new(ip.to_canonical(), media.port)),
        payloads: payloads.collect(),
        direction,
        secured: profile.split('/').any(|part| part.starts_with("SAVP")),
        keyed: values(media, "crypto").next().is_some(),
        keys: values(media, "crypto").flat_map(Key::all).take(KEYS).collect(),
        rtcp: values(media, "rtcp").find_map(|value| rtcp(value, ip?)).filter(|_| !nowhere),
    }
}

fn values<'a>(media: &'a sdp_types::Media, name: &'static str) -> impl Iterator<Item = &'a str> {
    let found = media.attributes.iter().filter(move |attribute| attribute.attribute.eq_ignore_ascii_case(name));
    found.filter_map(|attribute| attribute.value.as_deref())
}

/// `a=rtcp:<port> [IN IP4 <address>]` (RFC 3605 section 2.1).
fn rtcp(value: &str, ip: IpAddr) -> Option<SocketAddr> {
    let mut parts = value.split_ascii_whitespace();
    let port = parts.next()?.parse().ok().filter(|port| *port != 0)?;
    let told = parts.nth(2).and_then(|address| address.parse().ok());
    Some(SocketAddr::new(told.unwrap_or(ip).to_canonical(), port))
}

fn direction(attributes: &[sdp_types::Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|attribute| match attribute.attribute.to_ascii_lowercase().trim() {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    })
}

/// By `a=rtpmap:<type> <name>/<clock>[/<channels>]` (RFC 8866 section 6.6).
fn mapped(media: &sdp_types::Media, number: u8) -> Option<Coding> {
    values(media, "rtpmap").find_map(|value| {
        let (payload, rest) = value.trim().split_once(|sign: char| sign.is_ascii_whitespace())?;
        (payload.parse::<u8>().ok()? == number).then_some(())?;
        let mut parts = rest.trim().split('/');
        let name = parts.next()?.trim();
        let clock = parts.next().and_then(|clock| clock.trim().parse::<u32>().ok()).unwrap_or(8_000);
        let channels = parts.next().and_then(|channels| channels.trim().parse::<u8>().ok()).unwrap_or(1);
        Some(named(name, clock.clamp(1_000, 384_000), channels))
    })
}

fn named(name: &str, clock: u32, channels: u8) -> Coding {
    let codec = match name.to_ascii_lowercase().as_str() {
        "telephone-event" => return Coding::Event,
        "cn" | "tone" => return Coding::Silent,
        "pcmu" if clock == 8_000 && channels == 1 => return Coding::Sound(Codec::Pcmu, Encoding::Pcmu),
        "pcma" if clock == 8_000 && channels == 1 => return Coding::Sound(Codec::Pcma, Encoding::Pcma),
        // Its clock is 8000 by an old mistake (RFC 3551 section 4.5.2), also where a description sets that right.
        "g722" if matches!(clock, 8_000 | 16_000) && channels == 1 => return Coding::Sound(Codec::G722, Encoding::G722),
        // Always written with two channels, whatever it carries (RFC 7587 section 7).
        "opus" if clock == 48_000 => return Coding::Sound(Codec::Opus, Encoding::Opus),
        "l16" if (1..=8).contains(&channels) => return Coding::Sound(Codec::Linear, Encoding::L16 { rate: clock, channels }),
        "g722" => Codec::G722,
        "g729" | "g729a" | "g729ab" => Codec::G729,
        "gsm" => Codec::Gsm,
        "ilbc" => Codec::Ilbc,
        "amr" | "amr-wb" => Codec::Amr,
        "opus" => Codec::Opus,
        "l16" => Codec::Linear,
        _ => Codec::Other,
    };
    Coding::Undecodable(codec, clock)
}

/// By RFC 3551 table 4, for payload types without an rtpmap.
pub(crate) const fn static_coding(number: u8) -> Coding {
    match number {
        0 => Coding::Sound(Codec::Pcmu, Encoding::Pcmu),
        8 => Coding::Sound(Codec::Pcma, Encoding::Pcma),
        3 => Coding::Undecodable(Codec::Gsm, 8_000),
        9 => Coding::Sound(Codec::G722, Encoding::G722),
        10 => Coding::Sound(Codec::Linear, Encoding::L16 { rate: 44_100, channels: 2 }),
        11 => Coding::Sound(Codec::Linear, Encoding::L16 { rate: 44_100, channels: 1 }),
        18 => Coding::Undecodable(Codec::G729, 8_000),
        13 | 19 => Coding::Silent,
        _ => Coding::Undecodable(Codec::Other, 8_000),
    }
}

/// The lines that matter, with the number that each had in the whole.
struct Filtered {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
    media_left_out: usize,
}

impl Filtered {
    fn of(body: &[u8]) -> Result<Self, SdpError> {
        let mut filtered = Self { bytes: b"v=0\r\n".to_vec(), numbers: vec![1], media_left_out: 0 };
        let (mut media, mut attributes, mut session_connection) = (0, 0, false);
        for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.len() > LINE {
                // Without a media or connection line, what follows would be laid at the wrong door; the rest can be missed.
                match line {
                    [b'm' | b'c', b'=', ..] => return Err(SdpError { line: index + 1 }),
                    _ => continue,
                }
            }
            let wanted = match line {
                [b'm', b'=', ..] => {
                    media += 1;
                    media <= MEDIA
                }
                // One for the session, the first one for each medium.
                [b'c', b'=', ..] => media <= MEDIA && (media > 0 || !std::mem::replace(&mut session_connection, true)),
                [b'a', b'=', attribute @ ..] => {
                    let known = media <= MEDIA && attributes < ATTRIBUTES && is_read(attribute);
                    attributes += usize::from(known);
                    known
                }
                _ => false,
            };
            if wanted {
                filtered.bytes.extend_from_slice(line);
                filtered.bytes.extend_from_slice(b"\r\n");
                filtered.numbers.push(index + 1);
            }
        }
        filtered.media_left_out = media.saturating_sub(MEDIA);
        Ok(filtered)
    }

    fn line(&self, error: &sdp_types::ParserError) -> usize {
        use sdp_types::ParserError as E;
        let filtered = match error {
            E::InvalidLineFormat(line, _)
            | E::InvalidFieldEncoding(line, _)
            | E::InvalidFieldFormat(line, _)
            | E::MissingField(line, _)
            | E::FieldTrailingData(line, _)
            | E::MultipleConnections(line) => *line,
            _ => 1,
        };
        self.numbers.get(filtered.wrapping_sub(1)).copied().unwrap_or(1)
    }
}

fn is_read(attribute: &[u8]) -> bool {
    let name = attribute.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
    const READ: [&[u8]; 7] = [b"rtpmap", b"sendrecv", b"sendonly", b"recvonly", b"inactive", b"crypto", b"rtcp"];
    READ.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
