//! Microsoft Network Monitor, version 2.0 (its later ones put more behind each frame): CAPTUREFILE_HEADER_VALUES of Netmon.h. Frames follow the
//! header without gaps, up to the table of their places.

use std::io::Read;

use sotto_private::Wall;

use super::{LARGEST_RECORD, Record};
use crate::decap::Link;
use crate::window::{Fault, Window};

pub(super) const MAGIC: [u8; 4] = *b"GMBU";
/// The file's header.
pub(super) const HEADER: usize = 128;
const FRAME_HEADER: usize = 16;

#[derive(Debug)]
pub(super) struct NetMon {
    link: Link,
    start: Wall,
    /// Where the frames end, bytes from the start of the file.
    end: u64,
}

impl NetMon {
    /// From the file's first [`HEADER`] bytes; otherwise what would do.
    pub(super) fn from_header(header: &[u8; HEADER]) -> Result<Self, &'static str> {
        let half = |offset: usize| {
            header.get(offset..offset + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes)
        };
        if header[4..6] != [0, 2] {
            return Err("this version of Network Monitor is not read; 2.0, pcap and pcapng are");
        }
        let link = if half(6) == 1 { Link::Ethernet } else { return Err("of Network Monitor, Ethernet alone is read") };
        // A SYSTEMTIME, of a zone that nothing tells: year, month, day of the week, day, hour, minute, second, millisecond.
        let days = days_before(half(8), half(10), half(14));
        let seconds = days * 86_400 + i64::from(half(16)) * 3_600 + i64::from(half(18)) * 60 + i64::from(half(20));
        let start = Wall::from_micros(seconds * 1_000_000 + i64::from(half(22)) * 1_000);
        let end = u64::from(half(24)) | u64::from(half(26)) << 16;
        Ok(Self { link, start, end })
    }

    pub(super) fn record<R: Read>(&self, window: &mut Window<R>) -> Result<Record, Fault> {
        if window.position() >= self.end {
            return Ok(Record::End);
        }
        if window.fill(FRAME_HEADER)? < FRAME_HEADER {
            return Err(Fault::Damaged("the frame's header is cut short"));
        }
        let header = window.available();
        let since = header.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let captured = header.get(12..16).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes) as usize;
        if captured > LARGEST_RECORD - FRAME_HEADER {
            return Err(Fault::Damaged("the frame's length is impossible"));
        }
        let size = FRAME_HEADER + captured;
        if window.fill(size)? < size {
            return Err(Fault::Damaged("the frame is cut short"));
        }
        let at = self.start.plus(i64::try_from(since).unwrap_or(i64::MAX));
        Ok(Record::Packet { size, link: Some(self.link), at, start: FRAME_HEADER, end: size })
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; whatever the numbers are, there is an answer.
fn days_before(year: u16, month: u16, day: u16) -> i64 {
    // Years begin in March here, so that the leap day is the last.
    let (year, month) = if month > 2 { (i64::from(year), i64::from(month) - 3) } else { (i64::from(year) - 1, i64::from(month) + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + i64::from(day) - 1 - 719_468
}
