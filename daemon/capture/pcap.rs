//! Capture files: pcap, pcapng and Network Monitor's, of any size, through a bounded window.
//!
//! Of a damaged file, what is readable is read: behind a record that cannot be, the next that can is looked for. The damage is said once,
//! at the end.

mod classic;
mod netmon;
mod section;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sotto_private::Wall;

use crate::decap::{Counters, Decap, Link, Trust};
use crate::window::{Fault, Window};
use crate::{CaptureError, Next, Progress, Source};
use classic::Classic;
use netmon::NetMon;
use section::{SECTION_HEADER, Section};

/// The most bytes that one record may take; libpcap itself refuses packets over 256 KiB.
const LARGEST_RECORD: usize = 1 << 20;

/// A pcap or pcapng file, read as a stream.
#[derive(Debug)]
pub struct PcapFile<R = File> {
    path: PathBuf,
    window: Window<R>,
    length: Option<u64>,
    format: Format,
    packets: u64,
    decap: Decap,
    /// The first place that could not be read.
    damage: Option<CaptureError>,
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
        Ok(Self { path: path.to_owned(), window, length, format, packets: 0, decap: Decap::default(), damage: None, ended: false })
    }

    /// Follows what the site trusts, and no other tunnels.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Self {
        self.decap = Decap::new(trust);
        self
    }

    fn advance(&mut self) -> Result<Next, CaptureError> {
        loop {
            if let Some(item) = self.decap.more() {
                return Ok(Next::Item(item));
            }
            let offset = self.window.position();
            let record = match self.format.record(&mut self.window) {
                Ok(record) => record,
                Err(fault @ Fault::Damaged(_)) => {
                    let damage = fault.at(&self.path, self.packets + 1, offset);
                    let damage = self.damage.take().unwrap_or(damage);
                    if !self.format.resume(&mut self.window).map_err(|fault| fault.at(&self.path, self.packets + 1, offset))? {
                        return Err(damage);
                    }
                    self.damage = Some(damage);
                    continue;
                }
                Err(fault) => return Err(fault.at(&self.path, self.packets + 1, offset)),
            };
            let (size, link, at, start, end) = match record {
                Record::End => return self.damage.take().map_or(Ok(Next::End), Err),
                Record::Skip { size } => {
                    self.window.consume(size);
                    continue;
                }
                Record::Packet { size, link, at, start, end } => (size, link, at, start, end),
            };
            self.packets += 1;
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
    Classic(Classic),
    Section(Section),
    NetMon(NetMon),
}

impl Format {
    fn read<R: Read>(path: &Path, window: &mut Window<R>) -> Result<Self, CaptureError> {
        let wrong = || CaptureError::WrongKind { path: path.to_owned(), expected: "a pcap or pcapng file" };
        let have = window.fill(24).map_err(|fault| fault.at(path, 1, 0))?;
        let start = window.available();
        if start.starts_with(&SECTION_HEADER.to_be_bytes()) {
            return Ok(Self::Section(Section::default()));
        }
        if start.starts_with(&netmon::MAGIC) {
            return Self::read_netmon(path, window);
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
        let classic = Classic {
            link,
            big_endian: header.is_bigendian(),
            extended: header.is_modified_format(),
            nanoseconds: header.is_nanosecond_precision(),
            last_seconds: None,
        };
        window.consume(24);
        Ok(Self::Classic(classic))
    }

    fn read_netmon<R: Read>(path: &Path, window: &mut Window<R>) -> Result<Self, CaptureError> {
        window.fill(netmon::HEADER).map_err(|fault| fault.at(path, 1, 0))?;
        let cut = || Fault::Damaged("the file header is cut short").at(path, 1, 0);
        let header = window.available().first_chunk().ok_or_else(cut)?;
        let netmon = NetMon::from_header(header)
            .map_err(|what| CaptureError::Unsupported { path: path.to_owned(), offset: 4, what: what.to_owned() })?;
        window.consume(netmon::HEADER);
        Ok(Self::NetMon(netmon))
    }

    fn record<R: Read>(&mut self, window: &mut Window<R>) -> Result<Record, Fault> {
        match self {
            Self::Classic(classic) => classic.record(window),
            Self::Section(section) => section.record(window),
            Self::NetMon(netmon) => netmon.record(window),
        }
    }

    /// Steps on from a record that cannot be read to the next that can; or to the end of the file, and says no.
    fn resume<R: Read>(&self, window: &mut Window<R>) -> Result<bool, Fault> {
        // A block whose length is sound is stepped over as a whole: what is in it is no block.
        let whole = if let Self::Section(section) = self { section.resumes(window)? } else { None };
        window.consume(whole.unwrap_or(1));
        while window.fill(1)? > 0 {
            let is_found = match self {
                Self::Classic(classic) => classic.resumes(window)?,
                Self::Section(section) => section.resumes(window)?.is_some(),
                // Nothing tells where its frames begin.
                Self::NetMon(_) => false,
            };
            if is_found {
                return Ok(true);
            }
            window.consume(1);
        }
        Ok(false)
    }
}

const fn is_pcap(magic: u32) -> bool {
    matches!(magic, 0xa1b2_c3d4 | 0xa1b2_3c4d | 0xa1b2_cd34 | 0xd4c3_b2a1 | 0x4d3c_b2a1)
}

#[cfg(test)]
mod tests;
