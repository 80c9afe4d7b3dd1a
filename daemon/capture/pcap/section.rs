//! pcapng: draft-ietf-opsawg-pcapng.

use std::io::Read;

use pcap_parser::nom;
use pcap_parser::traits::PcapNGPacketBlock;
use sotto_private::Wall;

use super::{LARGEST_RECORD, Record};
use crate::decap::Link;
use crate::window::{Fault, Window};

/// Interfaces that one section may describe.
const INTERFACES: usize = 4096;

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
pub(super) const SIMPLE_PACKET: u32 = 3;
pub(super) const ENHANCED_PACKET: u32 = 6;

#[derive(Debug, Default)]
pub(super) struct Section {
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
        let micros = match self.resolution {
            1_000_000 => i64::try_from(ticks).unwrap_or(i64::MAX),
            1_000_000_000 => (ticks / 1_000).cast_signed(),
            resolution => i64::try_from(u128::from(ticks) * 1_000_000 / u128::from(resolution.max(1))).unwrap_or(i64::MAX),
        };
        Wall::from_micros(micros).plus(self.offset_seconds.saturating_mul(1_000_000))
    }
}

impl Section {
    pub(super) fn record<R: Read>(&mut self, window: &mut Window<R>) -> Result<Record, Fault> {
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
            self.big_endian = says_big_endian(head);
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
            ENHANCED_PACKET => self.enhanced(block),
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

    /// The block that all but a few are: interface, time, both lengths, the packet, options that nobody needs, the length again.
    fn enhanced(&mut self, block: &[u8]) -> Result<Record, Fault> {
        const HEADER: usize = 28;
        let size = block.len();
        let (captured, length) = (self.word(block, 20) as usize, self.word(block, size.saturating_sub(4)) as usize);
        if length != size || HEADER + captured + 4 > size {
            return Err(Fault::Damaged("the block contradicts itself"));
        }
        let interface = self.interfaces.get(self.word(block, 8) as usize).copied();
        let ticks = u64::from(self.word(block, 12)) << 32 | u64::from(self.word(block, 16));
        self.last = interface.map_or(self.last, |interface| interface.wall(ticks));
        Ok(Record::Packet { size, link: interface.and_then(|it| it.link), at: self.last, start: HEADER, end: HEADER + captured })
    }

    /// The length of the block that may begin here, after damage: both its lengths agree, and its kind is one of the standard's.
    pub(super) fn resumes<R: Read>(&self, window: &mut Window<R>) -> Result<Option<usize>, Fault> {
        if window.fill(12)? < 12 {
            return Ok(None);
        }
        let head = window.available();
        let big_endian = if self.word(head, 0) == SECTION_HEADER { says_big_endian(head) } else { self.big_endian };
        let (kind, size) = (word(big_endian, head, 0), word(big_endian, head, 4) as usize);
        let is_known = matches!(kind, 1..=6 | SECTION_HEADER);
        if !is_known || !(12..=LARGEST_RECORD).contains(&size) || !size.is_multiple_of(4) || window.fill(size)? < size {
            return Ok(None);
        }
        Ok((word(big_endian, window.available(), size - 4) as usize == size).then_some(size))
    }

    fn word(&self, bytes: &[u8], offset: usize) -> u32 {
        word(self.big_endian, bytes, offset)
    }
}

fn says_big_endian(head: &[u8]) -> bool {
    head.get(8..12) == Some(&[0x1a, 0x2b, 0x3c, 0x4d])
}

fn word(big_endian: bool, bytes: &[u8], offset: usize) -> u32 {
    let bytes = bytes.get(offset..offset + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).unwrap_or_default();
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
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
