//! Capture files: pcap and pcapng, of any size, through a bounded window.
//!
//! Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use pcap_parser::nom;
use pcap_parser::traits::PcapNGPacketBlock;
use sotto_private::Wall;

use crate::decap::{Counters, Decap, Link};
use crate::window::{Fault, Window};
use crate::{CaptureError, Next, Progress, Source};

/// The most bytes that one record may take; libpcap itself refuses packets over 256 KiB.
const LARGEST_RECORD: usize = 1 << 20;
/// Interfaces that one pcapng section may describe.
const INTERFACES: usize = 4096;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// A pcap or pcapng file, read as a stream.
#[derive(Debug)]
pub struct PcapFile<R = File> {
    path: PathBuf,
    window: Window<R>,
    length: Option<u64>,
    format: Format,
    packets: u64,
    decap: Decap,
    ended: bool,
}

impl PcapFile<File> {
    /// Opens a file and reads its first header.
    ///
    /// # Errors
    /// Where it cannot be opened, is neither pcap nor pcapng, or (pcap) is of a link type that is not read here.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let open = |cause| CaptureError::Open { path: path.to_owned(), cause };
        let file = File::open(path).map_err(open)?;
        let metadata = file.metadata().map_err(open)?;
        Self::from_reader(path, file, metadata.is_file().then_some(metadata.len()))
    }
}

impl<R: Read> PcapFile<R> {
    /// Reads from anything; `path` is only for errors, `length` only for [`Source::progress`].
    ///
    /// # Errors
    /// As [`PcapFile::open`].
    pub fn from_reader(path: &Path, reader: R, length: Option<u64>) -> Result<Self, CaptureError> {
        let mut window = Window::new(reader);
        let format = Format::read(path, &mut window)?;
        Ok(Self { path: path.to_owned(), window, length, format, packets: 0, decap: Decap::default(), ended: false })
    }

    fn advance(&mut self) -> Result<Next, CaptureError> {
        loop {
            let offset = self.window.position();
            let located = |fault: Fault| fault.at(&self.path, self.packets + 1, offset);
            let record = match &mut self.format {
                Format::Pcap(pcap) => pcap.record(&mut self.window).map_err(located)?,
                Format::PcapNg(section) => section.record(&mut self.window).map_err(located)?,
            };
            let (size, found) = match record {
                Record::End => return Ok(Next::End),
                Record::Skip { size } => {
                    self.window.consume(size);
                    continue;
                }
                Record::Packet { size, link, at, start, end } => (size, (link, at, start, end)),
            };
            self.packets += 1;
            let (link, at, start, end) = found;
            let item = match link {
                Some(link) => {
                    let frame = self.window.available().get(start..end).unwrap_or_default();
                    self.decap.frame(link, frame, at, self.packets)
                }
                None => {
                    self.decap.unsupported();
                    None
                }
            };
            self.window.consume(size);
            if let Some(item) = item {
                return Ok(Next::Item(item));
            }
        }
    }
}

impl<R: Read + Send> Source for PcapFile<R> {
    fn next(&mut self) -> Result<Next, CaptureError> {
        if self.ended {
            return Ok(Next::End);
        }
        let next = self.advance();
        self.ended = matches!(next, Ok(Next::End) | Err(_));
        next
    }

    fn counters(&self) -> Counters {
        self.decap.counters
    }

    fn progress(&self) -> Option<Progress> {
        self.length.map(|length| Progress { position: self.window.position().min(length), length })
    }
}

/// Where a record's packet lies in the window, counted from the record's first byte.
enum Record {
    Packet { size: usize, link: Option<Link>, at: Wall, start: usize, end: usize },
    Skip { size: usize },
    End,
}

#[derive(Debug)]
enum Format {
    Pcap(Pcap),
    PcapNg(Section),
}

impl Format {
    fn read<R: Read>(path: &Path, window: &mut Window<R>) -> Result<Self, CaptureError> {
        let wrong = || CaptureError::WrongKind { path: path.to_owned(), expected: "a pcap or pcapng file" };
        let have = window.fill(24).map_err(|fault| fault.at(path, 1, 0))?;
        let start = window.available();
        if start.starts_with(&SECTION_HEADER.to_be_bytes()) {
            return Ok(Self::PcapNg(Section::default()));
        }
        if !matches!(start.get(..4).and_then(|magic| magic.try_into().ok()).map(u32::from_le_bytes), Some(magic) if is_pcap(magic)) {
            return Err(wrong());
        }
        if have < 24 {
            return Err(Fault::Damaged("the file header is cut short").at(path, 1, 0));
        }
        let (_, header) = pcap_parser::parse_pcap_header(start).map_err(|_| wrong())?;
        // The upper bits may hold the length of the frame check sequence.
        let number = (header.network.0 & 0xffff) as u16;
        let link = Link::from_number(number).ok_or_else(|| CaptureError::Unsupported {
            path: path.to_owned(),
            offset: 20,
            what: format!("link type {number} is not read; Ethernet, Linux cooked, raw IP and loopback are"),
        })?;
        let pcap = Pcap {
            link,
            big_endian: header.is_bigendian(),
            extended: header.is_modified_format(),
            nanoseconds: header.is_nanosecond_precision(),
        };
        window.consume(24);
        Ok(Self::Pcap(pcap))
    }
}

const fn is_pcap(magic: u32) -> bool {
    matches!(magic, 0xa1b2_c3d4 | 0xa1b2_3c4d | 0xa1b2_cd34 | 0xd4c3_b2a1 | 0x4d3c_b2a1)
}

#[derive(Debug)]
struct Pcap {
    link: Link,
    big_endian: bool,
    /// Kuznetzov's variant with 8 more bytes in each packet's header.
    extended: bool,
    nanoseconds: bool,
}

impl Pcap {
    fn record<R: Read>(&self, window: &mut Window<R>) -> Result<Record, Fault> {
        let header = if self.extended { 24 } else { 16 };
        match window.fill(header)? {
            0 => return Ok(Record::End),
            have if have < header => return Err(Fault::Damaged("the packet's header is cut short")),
            _ => {}
        }
        let word = |offset: usize| {
            let bytes = window.available().get(offset..offset + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).unwrap_or_default();
            if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let (seconds, fraction, captured) = (word(0), word(4), word(8) as usize);
        if captured > LARGEST_RECORD - header {
            return Err(Fault::Damaged("the packet's length is impossible"));
        }
        let size = header + captured;
        if window.fill(size)? < size {
            return Err(Fault::Damaged("the packet is cut short"));
        }
        let micros = i64::from(if self.nanoseconds { fraction / 1_000 } else { fraction });
        let at = Wall::from_micros(i64::from(seconds) * 1_000_000 + micros);
        Ok(Record::Packet { size, link: Some(self.link), at, start: header, end: size })
    }
}

#[derive(Debug, Default)]
struct Section {
    big_endian: bool,
    interfaces: Vec<Described>,
    /// For packets without a stamp of their own.
    last: Wall,
}

/// What an interface description says of the packets that name it.
#[derive(Clone, Copy, Debug)]
struct Described {
    link: Option<Link>,
    /// Ticks a second.
    resolution: u64,
    offset_seconds: i64,
}

impl Described {
    fn wall(self, ticks: u64) -> Wall {
        let micros = if self.resolution == 1_000_000 {
            i64::try_from(ticks).unwrap_or(i64::MAX)
        } else {
            i64::try_from(u128::from(ticks) * 1_000_000 / u128::from(self.resolution.max(1))).unwrap_or(i64::MAX)
        };
        Wall::from_micros(micros).plus(self.offset_seconds.saturating_mul(1_000_000))
    }
}

impl Section {
    fn record<R: Read>(&mut self, window: &mut Window<R>) -> Result<Record, Fault> {
        const CUT: &str = "the block is cut short";
        const BROKEN: &str = "the block contradicts itself";
        match window.fill(12)? {
            0 => return Ok(Record::End),
            have if have < 12 => return Err(Fault::Damaged(CUT)),
            _ => {}
        }
        let head = window.available();
        let kind = self.word(head, 0);
        if kind == SECTION_HEADER {
            // Each section says its own byte order, and starts its own list of interfaces.
            self.big_endian = head.get(8..12) == Some(&[0x1a, 0x2b, 0x3c, 0x4d]);
            self.interfaces.clear();
        }
        let size = self.word(head, 4) as usize;
        if size < 12 || !size.is_multiple_of(4) {
            return Err(Fault::Damaged(BROKEN));
        }
        if size > LARGEST_RECORD {
            return Err(Fault::Damaged("the block's length is impossible"));
        }
        if window.fill(size)? < size {
            return Err(Fault::Damaged(CUT));
        }
        let block = window.available().get(..size).unwrap_or_default();
        match kind {
            SECTION_HEADER => parsed(pcap_parser::parse_sectionheaderblock(block)).map(|_| Record::Skip { size }),
            INTERFACE_DESCRIPTION => {
                let parse = if self.big_endian {
                    pcap_parser::parse_interfacedescriptionblock_be
                } else {
                    pcap_parser::parse_interfacedescriptionblock_le
                };
                let description = parsed(parse(block))?;
                if self.interfaces.len() == INTERFACES {
                    return Err(Fault::Damaged("the section describes too many interfaces"));
                }
                self.interfaces.push(Described {
                    link: u16::try_from(description.linktype.0).ok().and_then(Link::from_number),
                    resolution: resolution(description.if_tsresol),
                    offset_seconds: if self.big_endian { description.if_tsoffset.swap_bytes() } else { description.if_tsoffset },
                });
                Ok(Record::Skip { size })
            }
            ENHANCED_PACKET => {
                let parse =
                    if self.big_endian { pcap_parser::parse_enhancedpacketblock_be } else { pcap_parser::parse_enhancedpacketblock_le };
                let packet = parsed(parse(block))?;
                let length = packet.packet_data().len();
                let interface = self.interfaces.get(packet.if_id as usize).copied();
                let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                self.last = interface.map_or(self.last, |interface| interface.wall(ticks));
                Ok(Record::Packet { size, link: interface.and_then(|it| it.link), at: self.last, start: 28, end: 28 + length })
            }
            SIMPLE_PACKET => {
                let parse = if self.big_endian { pcap_parser::parse_simplepacketblock_be } else { pcap_parser::parse_simplepacketblock_le };
                let length = parsed(parse(block))?.packet_data().len();
                let link = self.interfaces.first().and_then(|it| it.link);
                Ok(Record::Packet { size, link, at: self.last, start: 12, end: 12 + length })
            }
            // Names, statistics, secrets and other people's blocks.
            _ => Ok(Record::Skip { size }),
        }
    }

    fn word(&self, bytes: &[u8], offset: usize) -> u32 {
        let bytes = bytes.get(offset..offset + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).unwrap_or_default();
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// A whole block that does not parse is broken, whatever the parser would have liked to see next.
fn parsed<'a, T>(result: nom::IResult<&'a [u8], T, pcap_parser::PcapError<&'a [u8]>>) -> Result<T, Fault> {
    result.map(|(_, block)| block).map_err(|_| Fault::Damaged("the block contradicts itself"))
}

/// Ticks a second from `if_tsresol`: a power of 10, or with the top bit set of 2. What overflows means nothing: microseconds.
fn resolution(code: u8) -> u64 {
    let exponent = u32::from(code & 0x7f);
    let ticks = if code & 0x80 == 0 { 10u64.checked_pow(exponent) } else { 1u64.checked_shl(exponent) };
    ticks.unwrap_or(1_000_000)
}

#[cfg(test)]
mod tests;
