//! SRTP and SRTCP (RFC 3711, RFC 6188, RFC 7714) under the keys that session descriptions give away (SDES, RFC 4568).
//!
//! A packet is authenticated first and decrypted then, in place. What fails is nobody's sound. Which of a side's keys holds is found
//! by trial: a description offers several, a re-INVITE brings new ones while packets under the old are still on their way, and the
//! tag says whether a key fits. So an answer need not be seen, and the number of a master key (MKI) need not be read, only stepped over.

use std::fmt;
use std::ops::Range;

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit, StreamCipher};
use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sotto_private::Private;

use super::packet::Header;

/// Master keys that a side's packets are tried with.
const CONTEXTS: usize = 8;
/// Sources whose place is known.
const STREAMS: usize = 8;
/// Roll-overs that may have passed before the first packet that is seen here: seven hours at 50 packets a second.
const ROLLOVERS: u32 = 20;
/// How often a first packet is looked for that far off.
const SEARCHES: u32 = 32;
/// The GCM tag, and that of SRTCP under HMAC-SHA1 (RFC 3711 section 5.2).
const GCM_TAG: usize = 16;
const SRTCP_TAG: usize = 10;

/// Ciphers by their names in RFC 4568 section 6.2, RFC 6188 and RFC 7714.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suite {
    /// Counter mode; bytes of the key and of the RTP packets' tag.
    Counter { key: usize, tag: usize },
    /// Galois counter mode; bytes of the key.
    Galois { key: usize },
}

impl Suite {
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "AES_CM_128_HMAC_SHA1_80" => Self::Counter { key: 16, tag: 10 },
            "AES_CM_128_HMAC_SHA1_32" => Self::Counter { key: 16, tag: 4 },
            "AES_256_CM_HMAC_SHA1_80" => Self::Counter { key: 32, tag: 10 },
            "AES_256_CM_HMAC_SHA1_32" => Self::Counter { key: 32, tag: 4 },
            "AEAD_AES_128_GCM" => Self::Galois { key: 16 },
            "AEAD_AES_256_GCM" => Self::Galois { key: 32 },
            _ => return None,
        })
    }

    const fn key(self) -> usize {
        match self {
            Self::Counter { key, .. } | Self::Galois { key } => key,
        }
    }

    const fn salt(self) -> usize {
        match self {
            Self::Counter { .. } => 14,
            Self::Galois { .. } => 12,
        }
    }
}

/// A master key and its salt, as `a=crypto` has them.
#[derive(Clone)]
pub(crate) struct Key {
    suite: Suite,
    material: Private<Vec<u8>>,
    /// Bytes of the MKI in each packet.
    mki: usize,
}

impl Key {
    /// Reads `<tag> <suite> inline:<key||salt>[|<lifetime>][|<MKI>:<length>][;inline:…] [<parameters>]` (RFC 4568 section 9.1). What
    /// is not understood, or would leave packets without authentication, gives no key.
    pub(crate) fn all(value: &str) -> Vec<Self> {
        let mut parts = value.split_ascii_whitespace();
        let (Some(_), Some(suite), Some(keys)) = (parts.next(), parts.next().and_then(Suite::named), parts.next()) else { return Vec::new() };
        let changes_packets = |parameter: &str| {
            let parameter = parameter.to_ascii_uppercase();
            parameter == "UNENCRYPTED_SRTP" || parameter == "UNAUTHENTICATED_SRTP" || (parameter.starts_with("KDR=") && parameter != "KDR=0")
        };
        if parts.any(changes_packets) {
            return Vec::new();
        }
        keys.split(';').filter_map(|key| Self::one(suite, key)).take(CONTEXTS).collect()
    }

    fn one(suite: Suite, text: &str) -> Option<Self> {
        let (method, rest) = text.split_once(':')?;
        method.eq_ignore_ascii_case("inline").then_some(())?;
        let mut parts = rest.split('|');
        let material = Private::new(base64(parts.next()?)?);
        // A lifetime has no colon.
        let mki = parts.find_map(|part| part.split_once(':')).map_or(Some(0), |(_, length)| length.parse().ok())?;
        let fits = material.expose().len() == suite.key() + suite.salt() && mki <= 128;
        fits.then_some(Self { suite, material, mki })
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (self.suite, self.mki) == (other.suite, other.mki) && self.material.expose() == other.material.expose()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Key").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It is authentic. In this part of the datagram stands the payload, in the clear.
    Plain(Range<usize>),
    /// No key fits, and none ever did: theirs is not known.
    NoKey,
    /// Others of this side's packets were authentic, and this is not.
    Forged,
}

/// What one side sends, under its keys.
#[derive(Default)]
pub(crate) struct Session {
    contexts: Vec<Context>,
    streams: Vec<Stream>,
    searches: u32,
}

/// Where a source stands (RFC 3711 section 3.3.1).
#[derive(Clone, Copy)]
struct Stream {
    ssrc: u32,
    /// Of the contexts: which.
    context: u32,
    /// Roll-over counter and sequence number of the furthest packet.
    index: u64,
}

impl Session {
    /// Takes in what the side says its keys are. Those it said before stay good for packets that are on their way.
    pub(crate) fn rekey<'a>(&mut self, keys: impl Iterator<Item = &'a Key>) {
        for key in keys {
            if !self.contexts.iter().any(|context| context.key == *key) {
                let number = self.contexts.iter().map(|context| context.number + 1).max().unwrap_or(0);
                self.contexts.insert(0, Context::new(key, number));
                self.contexts.truncate(CONTEXTS);
            }
        }
    }

    /// Authenticates and decrypts a packet.
    pub(crate) fn open(&mut self, bytes: &mut [u8], header: &Header) -> Opened {
        let known = self.streams.iter().copied().find(|stream| stream.ssrc == header.ssrc);
        for context in &self.contexts {
            let indexes = match known {
                // The place is the key's: with a new one the counter starts anew (RFC 3711 section 3.2.1), where the sender knows that.
                Some(stream) if stream.context == context.number => [Some(place(stream.index, header.sequence)), None],
                Some(stream) => [Some(u64::from(header.sequence)), Some(place(stream.index, header.sequence))],
                None => [Some(u64::from(header.sequence)), None],
            };
            for index in indexes.into_iter().flatten() {
                if let Some(payload) = context.open(bytes, header, index) {
                    let stream = Stream { ssrc: header.ssrc, context: context.number, index };
                    return self.passed(stream, payload);
                }
            }
        }
        // A call that was running already: the counter may have rolled over.
        if known.is_none() && self.streams.is_empty() && self.searches < SEARCHES {
            self.searches += 1;
            for rollover in 1..=ROLLOVERS {
                let index = u64::from(rollover) << 16 | u64::from(header.sequence);
                for context in &self.contexts {
                    if let Some(payload) = context.open(bytes, header, index) {
                        let stream = Stream { ssrc: header.ssrc, context: context.number, index };
                        return self.passed(stream, payload);
                    }
                }
            }
        }
        if self.streams.is_empty() { Opened::NoKey } else { Opened::Forged }
    }

    /// Authenticates and decrypts an SRTCP packet: the plain compound is the part of the datagram that is told.
    pub(crate) fn open_rtcp(&self, bytes: &mut [u8]) -> Option<Range<usize>> {
        self.contexts.iter().find_map(|context| context.open_rtcp(bytes))
    }

    fn passed(&mut self, now: Stream, payload: Range<usize>) -> Opened {
        match self.streams.iter_mut().find(|stream| stream.ssrc == now.ssrc) {
            Some(stream) if stream.context == now.context => stream.index = stream.index.max(now.index),
            Some(stream) => *stream = now,
            None => {
                if self.streams.len() == STREAMS {
                    self.streams.remove(0);
                }
                self.streams.push(now);
            }
        }
        Opened::Plain(payload)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").finish_non_exhaustive()
    }
}

/// The index nearest to where the source stands (RFC 3711 appendix A).
fn place(index: u64, sequence: u16) -> u64 {
    let step = i64::from(sequence.wrapping_sub(index as u16) as i16);
    index.checked_add_signed(step).unwrap_or_else(|| u64::from(sequence))
}

/// The session keys of a master key (RFC 3711 section 4.3).
struct Context {
    number: u32,
    key: Key,
    rtp: Keys,
    rtcp: Keys,
}

struct Keys {
    cipher: Cipher,
    /// To 14 bytes.
    salt: Private<Vec<u8>>,
}

enum Cipher {
    Counter { cipher: Counter, mac: Hmac<Sha1>, tag: usize },
    Galois128(Box<Aes128Gcm>),
    Galois256(Box<Aes256Gcm>),
}

enum Counter {
    Short(Box<Aes128>),
    Long(Box<Aes256>),
}

impl Context {
    fn new(key: &Key, number: u32) -> Self {
        let (rtp, rtcp) = (Keys::derive(key, 0), Keys::derive(key, 3));
        Self { number, key: key.clone(), rtp, rtcp }
    }

    /// RFC 3711 section 3.1, RFC 7714 section 8.
    fn open(&self, bytes: &mut [u8], header: &Header, index: u64) -> Option<Range<usize>> {
        let start = header.payload.start;
        let unmarked = bytes.len().checked_sub(self.key.mki)?;
        match &self.rtp.cipher {
            Cipher::Counter { cipher, mac, tag } => {
                // Payload, MKI, tag.
                let (end, sealed) = (unmarked.checked_sub(*tag)?, bytes.len() - tag);
                let rollover = (index >> 16) as u32;
                let mac = mac.clone().chain_update(bytes.get(..end)?).chain_update(rollover.to_be_bytes());
                mac.verify_truncated_left(bytes.get(sealed..)?).ok()?;
                cipher.apply(self.rtp.counter(header.ssrc, index), bytes.get_mut(start..end)?);
                Some(start..end)
            }
            cipher => {
                let end = unmarked.checked_sub(GCM_TAG)?;
                let iv = self.rtp.iv(header.ssrc, index);
                let (about, rest) = bytes.split_at_mut_checked(start)?;
                let (payload, rest) = rest.split_at_mut_checked(end.checked_sub(start)?)?;
                cipher.galois(&iv, about, payload, rest.get(..GCM_TAG)?).then_some(start..end)
            }
        }
    }

    /// RFC 3711 section 3.4, RFC 7714 section 9.
    fn open_rtcp(&self, bytes: &mut [u8]) -> Option<Range<usize>> {
        let ssrc = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
        let is_counter = matches!(self.rtcp.cipher, Cipher::Counter { .. });
        let tag = if is_counter { SRTCP_TAG } else { 0 };
        let end = bytes.len().checked_sub(tag + self.key.mki)?;
        let word = end.checked_sub(4).filter(|word| *word >= 8)?;
        let index = u32::from_be_bytes(*bytes.get(word..)?.first_chunk()?);
        let is_encrypted = index >> 31 == 1;
        let place = u64::from(index & 0x7fff_ffff);
        match &self.rtcp.cipher {
            Cipher::Counter { cipher, mac, .. } => {
                let sealed = bytes.len() - SRTCP_TAG;
                mac.clone().chain_update(bytes.get(..end)?).verify_truncated_left(bytes.get(sealed..)?).ok()?;
                if is_encrypted {
                    cipher.apply(self.rtcp.counter(ssrc, place), bytes.get_mut(8..word)?);
                }
                Some(0..word)
            }
            cipher => {
                let end = word.checked_sub(GCM_TAG).filter(|end| *end >= 8)?;
                let iv = self.rtcp.iv(ssrc, place);
                let (whole, trailer) = bytes.split_at_mut_checked(word)?;
                let (text, tag) = whole.split_at_mut_checked(end)?;
                let (about, text) = text.split_at_mut_checked(if is_encrypted { 8 } else { end })?;
                let about = [about, trailer.get(..4)?].concat();
                cipher.galois(&iv, &about, text, tag).then_some(0..end)
            }
        }
    }
}

impl Keys {
    /// Labels: encryption, authentication, salt; RTP counts them from 0, RTCP from 3.
    fn derive(key: &Key, label: u8) -> Self {
        let (master, salt) = key.material.expose().split_at(key.suite.key());
        let stream = |label: u8, length: usize| {
            let mut block = [0; 16];
            block[..salt.len()].copy_from_slice(salt);
            block[7] ^= label;
            let mut derived = Private::new(vec![0; length]);
            Counter::new(master).apply(block, derived.expose_mut());
            derived
        };
        let session = stream(label, key.suite.key());
        let mut salt = stream(label + 2, key.suite.salt());
        salt.expose_mut().resize(14, 0);
        let cipher = match key.suite {
            Suite::Counter { tag, .. } => Cipher::Counter {
                cipher: Counter::new(session.expose()),
                mac: KeyInit::new_from_slice(stream(label + 1, 20).expose()).unwrap_or_else(|_| Hmac::new(&Array::default())),
                tag,
            },
            Suite::Galois { .. } => Cipher::galois_of(session.expose()),
        };
        Self { cipher, salt }
    }

    /// RFC 3711 section 4.1.1: `(salt * 2^16) XOR (SSRC * 2^64) XOR (index * 2^16)`.
    fn counter(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut block = [0; 16];
        block[4..8].copy_from_slice(&ssrc.to_be_bytes());
        block[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
        block.iter_mut().zip(self.salt.expose()).for_each(|(byte, salt)| *byte ^= salt);
        block
    }

    /// RFC 7714 section 8.1 (and 9.1, where the index has 31 bits).
    fn iv(&self, ssrc: u32, index: u64) -> [u8; 12] {
        let mut iv = [0; 12];
        iv[2..6].copy_from_slice(&ssrc.to_be_bytes());
        iv[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        iv.iter_mut().zip(self.salt.expose()).for_each(|(byte, salt)| *byte ^= salt);
        iv
    }
}

impl Counter {
    /// For a key of 16 or 32 bytes.
    fn new(key: &[u8]) -> Self {
        if let Ok(key) = <&[u8; 32]>::try_from(key) {
            return Self::Long(Box::new(Aes256::new(key.into())));
        }
        let mut short = Private::new(vec![0; 16]);
        short.expose_mut().iter_mut().zip(key).for_each(|(byte, key)| *byte = *key);
        let short = short.expose().first_chunk::<16>().copied().unwrap_or_default();
        Self::Short(Box::new(Aes128::new(&short.into())))
    }

    fn apply(&self, block: [u8; 16], bytes: &mut [u8]) {
        match self {
            Self::Short(cipher) => apply(&**cipher, block, bytes),
            Self::Long(cipher) => apply(&**cipher, block, bytes),
        }
    }
}

impl Cipher {
    fn galois_of(key: &[u8]) -> Self {
        if let Ok(key) = <&[u8; 32]>::try_from(key) {
            return Self::Galois256(Box::new(Aes256Gcm::new(key.into())));
        }
        let short = key.first_chunk::<16>().copied().unwrap_or_default();
        Self::Galois128(Box::new(Aes128Gcm::new(&short.into())))
    }

    /// Authenticates `about` and `text`, and decrypts `text`; untouched where the tag is wrong.
    fn galois(&self, iv: &[u8; 12], about: &[u8], text: &mut [u8], tag: &[u8]) -> bool {
        let Some(tag) = tag.first_chunk::<GCM_TAG>() else { return false };
        let opened = match self {
            Self::Galois128(cipher) => cipher.decrypt_inout_detached(iv.into(), about, text.into(), tag.into()),
            Self::Galois256(cipher) => cipher.decrypt_inout_detached(iv.into(), about, text.into(), tag.into()),
            Self::Counter { .. } => return false,
        };
        opened.is_ok()
    }
}

fn apply<C: BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>>(cipher: &C, block: [u8; 16], bytes: &mut [u8]) {
    use aes::cipher::InnerIvInit;
    let core = ctr::CtrCore::<&C, ctr::flavors::Ctr128BE>::inner_iv_init(cipher, &block.into());
    aes::cipher::StreamCipherCoreWrapper::from_core(core).apply_keystream(bytes);
}

/// RFC 4648 section 4, padding optional.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0u32, 0u32);
    for sign in text.trim_end_matches('=').bytes() {
        let value = match sign {
            b'A'..=b'Z' => sign - b'A',
            b'a'..=b'z' => sign - b'a' + 26,
            b'0'..=b'9' => sign - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0x00ff_ffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
