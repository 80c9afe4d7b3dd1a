//! pcap: draft-ietf-opsawg-pcap, with its older variants.

use std::io::Read;

use sotto_private::Wall;

use super::{LARGEST_RECORD, Record};
use crate::decap::Link;
use crate::window::{Fault, Window};

/// Two packets of one capture are not further apart, seconds; more is a damaged header.
const FARTHEST: u32 = 7 * 86_400;

#[derive(Debug)]
pub(super) struct Classic {
    pub(super) link: Link,
    pub(super) big_endian: bool,
    /// Kuznetzov's variant with 8 more bytes in each packet's header.
    pub(super) extended: bool,
    pub(super) nanoseconds: bool,
    /// Of the last packet that was read.
    pub(super) last_seconds: Option<u32>,
}

/// A packet's header.
#[derive(Clone, Copy)]
struct Header {
    seconds: u32,
    fraction: u32,
    captured: usize,
    original: usize,
}

impl Classic {
    pub(super) fn record<R: Read>(&mut self, window: &mut Window<R>) -> Result<Record, Fault> {
        match window.fill(self.header_length())? {
            0 => return Ok(Record::End),
            have if have < self.header_length() => return Err(Fault::Damaged("the packet's header is cut short")),
            _ => {}
        }
        let header = self.header(window.available());
        if header.captured > LARGEST_RECORD - self.header_length() {
            return Err(Fault::Damaged("the packet's length is impossible"));
        }
        let size = self.header_length() + header.captured;
        if window.fill(size)? < size {
            return Err(Fault::Damaged("the packet is cut short"));
        }
        self.last_seconds = Some(header.seconds);
        let micros = i64::from(if self.nanoseconds { header.fraction / 1_000 } else { header.fraction });
        let at = Wall::from_micros(i64::from(header.seconds) * 1_000_000 + micros);
        Ok(Record::Packet { size, link: Some(self.link), at, start: self.header_length(), end: size })
    }

    /// Whether a record may begin here, after damage: its header makes sense, and so does what follows it.
    pub(super) fn resumes<R: Read>(&self, window: &mut Window<R>) -> Result<bool, Fault> {
        if window.fill(self.header_length())? < self.header_length() {
            return Ok(false);
        }
        let header = self.header(window.available());
        if !self.is_plausible(header) {
            return Ok(false);
        }
        let size = self.header_length() + header.captured;
        let have = window.fill(size + self.header_length())?;
        let next = window.available().get(size..).unwrap_or_default();
        Ok(have == size || have >= size + self.header_length() && self.is_plausible(self.header(next)))
    }

    fn is_plausible(&self, header: Header) -> bool {
        let is_near = self.last_seconds.is_none_or(|last| header.seconds.abs_diff(last) <= FARTHEST);
        let limit = if self.nanoseconds { 1_000_000_000 } else { 1_000_000 };
        let is_a_packet = (1..=header.original).contains(&header.captured) && header.original <= LARGEST_RECORD / 4;
        is_near && header.seconds != 0 && header.fraction < limit && is_a_packet
    }

    const fn header_length(&self) -> usize {
        if self.extended { 24 } else { 16 }
    }

    fn header(&self, bytes: &[u8]) -> Header {
        let word = |index: usize| {
            let (words, _) = bytes.as_chunks::<4>();
            let bytes = words.get(index).copied().unwrap_or_default();
            if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        Header { seconds: word(0), fraction: word(1), captured: word(2) as usize, original: word(3) as usize }
    }
}
