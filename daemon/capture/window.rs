//! A file seen through a bounded window.

use std::io::Read;
use std::path::Path;

use sotto_private::Private;

use crate::CaptureError;

/// How much is read at once.
pub(crate) const READ_SIZE: usize = 256 << 10;

/// A stretch of the file in memory, never longer than a record and two reads.
#[derive(Debug)]
pub(crate) struct Window<R> {
    reader: R,
    /// Holds sound: wiped when it is dropped.
    buffer: Private<Vec<u8>>,
    start: usize,
    end: usize,
    position: u64,
    /// The reader has no more.
    is_drained: bool,
}

impl<R: Read> Window<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: Private::new(vec![0; READ_SIZE]), start: 0, end: 0, position: 0, is_drained: false }
    }

    /// Bytes consumed so far.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// How much memory it takes.
    #[cfg(test)]
    pub(crate) const fn capacity(&self) -> usize {
        self.buffer.expose().len()
    }

    /// What was read and not yet consumed.
    pub(crate) fn available(&self) -> &[u8] {
        self.buffer.expose().get(self.start..self.end).unwrap_or_default()
    }

    /// Reads on until `wanted` bytes are there or the file ends; how many there are.
    pub(crate) fn fill(&mut self, wanted: usize) -> Result<usize, Fault> {
        if self.end - self.start < wanted && !self.is_drained {
            // What is kept moves to the front. There is always room to read much more behind it, so that this is seldom, whatever is wanted.
            let room = wanted + READ_SIZE / 2;
            if self.buffer.expose().len() < room {
                let room = room.next_multiple_of(READ_SIZE);
                self.buffer.reserve(room - self.buffer.expose().len());
                self.buffer.expose_mut().resize(room, 0);
            }
            let buffer = self.buffer.expose_mut();
            buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < wanted {
                match self.reader.read(&mut buffer[self.end..]) {
                    Ok(0) => {
                        self.is_drained = true;
                        break;
                    }
                    Ok(count) => self.end += count,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(Fault::Read(error)),
                }
            }
        }
        Ok(self.end - self.start)
    }

    /// Steps on.
    pub(crate) fn consume(&mut self, size: usize) {
        let size = size.min(self.end - self.start);
        self.start += size;
        self.position += size as u64;
    }
}

/// What stopped a reader.
pub(crate) enum Fault {
    Read(std::io::Error),
    Damaged(&'static str),
}

impl Fault {
    /// As an error at this place of this file.
    pub(crate) fn at(self, path: &Path, packet: u64, offset: u64) -> CaptureError {
        match self {
            Self::Read(cause) => CaptureError::Read { path: path.to_owned(), offset, cause },
            Self::Damaged(what) => CaptureError::Damaged { path: path.to_owned(), packet, offset, what },
        }
    }
}
