//! Ids and times: numbers that are written as short fixed texts.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Ordinal of a team, line or queue in the site's lists. The uplink writes the name in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id(pub u16);

/// A moment: milliseconds since 1970-01-01T00:00:00Z in steps of 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Millis(i64);

impl Millis {
    /// Year 2200: what lies beyond is no time but a channel.
    const LATEST: i64 = 7_258_118_400_000;

    /// Rounded to 100 ms and kept within 1970 and 2200.
    #[must_use]
    pub const fn rounded(millis: i64) -> Self {
        let clamped = if millis < 0 {
            0
        } else if millis > Self::LATEST {
            Self::LATEST
        } else {
            millis
        };
        Self((clamped + 50) / 100 * 100)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let millis = i64::deserialize(deserializer)?;
        if Self::rounded(millis).0 == millis { Ok(Self(millis)) } else { Err(D::Error::custom("a time that is not in steps of 100 ms")) }
    }
}

/// A call's name: which database made it, and its number there. Never the SIP Call-ID. Written as `1a2b3c4d-17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// Drawn when the spool was created.
    pub epoch: u32,
    /// Counts calls from 1, without gaps.
    pub seq: u64,
}

/// A digest's first 64 bits, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

/// A text that is no such id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not an id")
    }
}

impl std::error::Error for IdError {}

impl fmt::Display for CallId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}-{}", self.epoch, self.seq)
    }
}

impl FromStr for CallId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (epoch, seq) = text.split_once('-').ok_or(IdError)?;
        let id = Self { epoch: hex(epoch, 8)? as u32, seq: seq.parse().map_err(|_| IdError)? };
        // One way to write an id: "+1" and "01" are refused, so that nothing can be said by the way it is written.
        let canonical = seq.starts_with(|c: char| c.is_ascii_digit()) && (seq.len() == 1 || !seq.starts_with('0'));
        if canonical { Ok(id) } else { Err(IdError) }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        hex(text, 16).map(Self)
    }
}

fn hex(text: &str, digits: usize) -> Result<u64, IdError> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if fits { u64::from_str_radix(text, 16).map_err(|_| IdError) } else { Err(IdError) }
}

struct TextVisitor<T>(std::marker::PhantomData<T>);

impl<T: FromStr> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an id")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::custom("not an id of this form"))
    }
}

macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextVisitor(std::marker::PhantomData))
            }
        }
    )*};
}

as_text!(CallId, Fingerprint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_only_one_way_to_write_them() {
        let id = CallId { epoch: 0xa1, seq: 17 };
        assert_eq!(id.to_string(), "000000a1-17");
        assert_eq!("000000a1-17".parse(), Ok(id));
        for wrong in ["000000a1-017", "000000a1-+17", "000000A1-17", "a1-17", "000000a1-", "000000a1", "x"] {
            assert_eq!(wrong.parse::<CallId>(), Err(IdError), "{wrong}");
        }
    }

    #[test]
    fn times_come_in_steps() {
        assert_eq!(Millis::rounded(1_234).get(), 1_200);
        assert_eq!(Millis::rounded(-5).get(), 0);
        assert!(serde_json::from_str::<Millis>("1200").is_ok());
        assert!(serde_json::from_str::<Millis>("1201").is_err());
    }
}
