//! Recordings: two-channel wav files, the agent left and the customer right.
//!
//! Read here: linear 16 bit, mu-law and A-law, at any rate, also as WAVE_FORMAT_EXTENSIBLE (the RIFF container is
//! Microsoft's "Multimedia Programming Interface and Data Specifications 1.0"; G.711 in it is RFC 2361 section A.4 and A.5).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sotto_private::{Pcm, Wall};

use crate::decap::Counters;
use crate::window::{Fault, Window};
use crate::{CaptureError, Captured, Next, Progress, Source};

/// The most bytes of chunks before the sound; a cue list or a tag is far smaller.
const CHUNKS: usize = 1 << 20;
/// The rates that recorders and sound cards use lie within.
pub(crate) const RATES: std::ops::RangeInclusive<u32> = 4_000..=192_000;

/// A two-channel wav file: blocks of 20 ms, left (channel 0) and right (channel 1) in turn.
#[derive(Debug)]
pub struct WavFile<R = File> {
    path: PathBuf,
    window: Window<R>,
    length: Option<u64>,
    start: Wall,
    format: Format,
    /// Bytes of sound still to come, as the file says; `None` where it does not know (written by a stream).
    remaining: Option<u64>,
    frames: u64,
    right: Option<Pcm>,
    counters: Counters,
    ended: bool,
}

impl WavFile<File> {
    /// Opens a file and reads on to its sound, which began at `start`.
    ///
    /// # Errors
    /// Where it cannot be opened, is no wav file, is not of two channels, or is in another coding.
    pub fn open(path: &Path, start: Wall) -> Result<Self, CaptureError> {
        let open = |cause| CaptureError::Open { path: path.to_owned(), cause };
        let file = File::open(path).map_err(open)?;
        let metadata = file.metadata().map_err(open)?;
        Self::from_reader(path, file, metadata.is_file().then_some(metadata.len()), start)
    }
}

impl<R: Read> WavFile<R> {
    /// Reads from anything; `path` is only for errors, `length` only for [`Source::progress`].
    ///
    /// # Errors
    /// As [`WavFile::open`].
    pub fn from_reader(path: &Path, reader: R, length: Option<u64>, start: Wall) -> Result<Self, CaptureError> {
        let mut window = Window::new(reader);
        let (format, remaining) = header(path, &mut window)?;
        let counters = Counters::default();
        Ok(Self { path: path.to_owned(), window, length, start, format, remaining, frames: 0, right: None, counters, ended: false })
    }

    fn block(&mut self) -> Result<Next, CaptureError> {
        if let Some(right) = self.right.take() {
            return Ok(self.deliver(right));
        }
        let width = self.format.coding.width() * 2;
        let wanted = (self.format.rate / 50).max(1) as usize * width;
        let wanted = self.remaining.map_or(wanted, |remaining| usize::try_from(remaining).map_or(wanted, |remaining| remaining.min(wanted)));
        let offset = self.window.position();
        let packet = self.counters.frames + 1;
        let located = |fault: Fault| fault.at(&self.path, packet, offset);
        let have = self.window.fill(wanted).map_err(located)?.min(wanted);
        let whole = have - have % width;
        if whole == 0 {
            return match self.remaining {
                None if have == 0 => Ok(Next::End),
                Some(0) => Ok(Next::End),
                _ => Err(located(Fault::Damaged("the recording is cut short"))),
            };
        }
        let coding = self.format.coding;
        let block = self.window.available().get(..whole).unwrap_or_default();
        let channel = |number: usize| block.chunks_exact(width / 2).skip(number).step_by(2).map(|sample| coding.linear(sample)).collect();
        let (left, right): (Vec<i16>, Vec<i16>) = (channel(0), channel(1));
        let micros = u128::from(self.frames) * 1_000_000 / u128::from(self.format.rate);
        let at = self.start.plus(i64::try_from(micros).unwrap_or(i64::MAX));
        self.frames += left.len() as u64;
        self.window.consume(whole);
        self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(whole as u64));
        self.right = Some(Pcm::new(at, packet + 1, 1, self.format.rate, right));
        Ok(self.deliver(Pcm::new(at, packet, 0, self.format.rate, left)))
    }

    const fn deliver(&mut self, pcm: Pcm) -> Next {
        self.counters.frames += 1;
        self.counters.delivered += 1;
        Next::Item(Captured::Pcm(pcm))
    }
}

impl<R: Read + Send> Source for WavFile<R> {
    fn next(&mut self) -> Result<Next, CaptureError> {
        if self.ended {
            return Ok(Next::End);
        }
        let next = self.block();
        self.ended = matches!(next, Ok(Next::End) | Err(_));
        next
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn progress(&self) -> Option<Progress> {
        self.length.map(|length| Progress { position: self.window.position().min(length), length })
    }
}

#[derive(Clone, Copy, Debug)]
struct Format {
    coding: Coding,
    rate: u32,
}

#[derive(Clone, Copy, Debug)]
enum Coding {
    Linear16,
    Alaw,
    Mulaw,
}

impl Coding {
    /// Bytes a sample.
    const fn width(self) -> usize {
        match self {
            Self::Linear16 => 2,
            Self::Alaw | Self::Mulaw => 1,
        }
    }

    const fn linear(self, sample: &[u8]) -> i16 {
        match (self, sample) {
            (Self::Linear16, [low, high]) => i16::from_le_bytes([*low, *high]),
            (Self::Alaw, [code]) => alaw(*code),
            (Self::Mulaw, [code]) => mulaw(*code),
            _ => 0,
        }
    }
}

/// ITU-T G.711 table 1a, to full scale 32768.
const fn alaw(code: u8) -> i16 {
    let code = code ^ 0x55;
    let mantissa = ((code & 0x0f) as i16) << 4;
    let magnitude = match (code >> 4) & 7 {
        0 => mantissa + 8,
        exponent => (mantissa + 0x108) << (exponent - 1),
    };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

/// ITU-T G.711 table 2a, to full scale 32768.
const fn mulaw(code: u8) -> i16 {
    let code = !code;
    let magnitude = (((((code & 0x0f) as i16) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Reads the chunks up to the sound.
fn header<R: Read>(path: &Path, window: &mut Window<R>) -> Result<(Format, Option<u64>), CaptureError> {
    let wrong = || CaptureError::WrongKind { path: path.to_owned(), expected: "a wav file" };
    let mut take = |size: usize, what: &'static str| {
        let offset = window.position();
        match window.fill(size) {
            Ok(have) if have >= size => {
                let bytes = window.available().get(..size).unwrap_or_default().to_vec();
                window.consume(size);
                Ok((offset, bytes))
            }
            Ok(_) => Err(Fault::Damaged(what).at(path, 1, offset)),
            Err(fault) => Err(fault.at(path, 1, offset)),
        }
    };
    let (_, riff) = take(12, "the file header is cut short").map_err(|error| match error {
        CaptureError::Damaged { .. } => wrong(),
        other => other,
    })?;
    if !riff.starts_with(b"RIFF") || !riff.ends_with(b"WAVE") {
        return Err(wrong());
    }
    let mut format = None;
    let mut budget = CHUNKS;
    loop {
        let (offset, head) = take(8, "the file ends before its sound")?;
        let size = u32::from_le_bytes(head.last_chunk().copied().unwrap_or_default());
        if head.starts_with(b"data") {
            let format = format.ok_or_else(|| Fault::Damaged("the sound comes before its format").at(path, 1, offset))?;
            // A stream that could not go back to fill in the length leaves one of these.
            let known = !matches!(size, 0 | u32::MAX);
            return Ok((format, known.then_some(u64::from(size))));
        }
        // Chunks are padded to an even length.
        let size = size as usize;
        let padded = size.saturating_add(size % 2);
        budget = budget.checked_sub(padded).ok_or_else(|| Fault::Damaged("the chunk's length is impossible").at(path, 1, offset))?;
        let (_, body) = take(padded, "the chunk is cut short")?;
        if head.starts_with(b"fmt ") {
            format = Some(read_format(path, offset, &body)?);
        }
    }
}

fn read_format(path: &Path, offset: u64, body: &[u8]) -> Result<Format, CaptureError> {
    let field = |at: usize| body.get(at..at + 2).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok()).map(u16::from_le_bytes);
    let cut = || Fault::Damaged("the format chunk is too small").at(path, 1, offset);
    let unsupported = |what: String| CaptureError::Unsupported { path: path.to_owned(), offset, what };
    let (tag, channels, bits) = (field(0).ok_or_else(cut)?, field(2).ok_or_else(cut)?, field(14).ok_or_else(cut)?);
    let rate = u32::from(field(4).ok_or_else(cut)?) | u32::from(field(6).ok_or_else(cut)?) << 16;
    // WAVE_FORMAT_EXTENSIBLE: the sub-format's first two bytes are the tag.
    let tag = if tag == 0xfffe { field(24).ok_or_else(cut)? } else { tag };
    if channels != 2 {
        return Err(unsupported(format!("the recording has {channels} channel(s); a call needs two, the agent left and the customer right")));
    }
    let coding = match (tag, bits) {
        (1, 16) => Coding::Linear16,
        (6, 8) => Coding::Alaw,
        (7, 8) => Coding::Mulaw,
        _ => return Err(unsupported(format!("coding {tag} with {bits} bits is not read; 16 bit linear, A-law and mu-law are"))),
    };
    if !RATES.contains(&rate) {
        return Err(unsupported(format!("a rate of {rate} Hz is not read; 4000 to 192000 Hz are")));
    }
    Ok(Format { coding, rate })
}

#[cfg(test)]
mod tests;
