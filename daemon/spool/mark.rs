//! The mark: a small file beside the spool that says how far the numbers have come. It is what is left to tell how much was lost where
//! the spool itself is gone, or cannot be read at all.
//!
//! Two slots are written in turn, each where it stands: no room is needed on a full disk, and a power cut spoils one of them at most.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::SpoolError;
use crate::lock::beside;

/// A slot has a page of its own.
const SLOT: u64 = 4_096;

/// Bytes of a slot that count: four numbers and their digest.
const USED: usize = 40;

/// So far ahead of the numbers given is the mark set, so that it is written seldom.
const AHEAD: u64 = 4_096;

/// How far the numbers have come, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Reach {
    /// Counts the writings of the mark.
    turn: u64,
    /// The epoch that counts.
    pub(crate) epoch: u64,
    /// No call has a higher number.
    pub(crate) seq: u64,
    /// No row has a higher number.
    pub(crate) row: u64,
}

/// The mark of a process that begins calls.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    reach: Reach,
}

impl Mark {
    /// Opens or makes it, and sets it ahead of these numbers.
    pub(crate) fn extend(path: &Path, epoch: u32, seq: u64, row: u64) -> Result<Self, SpoolError> {
        let name = beside(path, "-mark");
        let is_new = !name.exists();
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&name).map_err(failed)?;
        let reach = parse(&mut file).map_err(failed)?.unwrap_or_default();
        let mut mark = Self { file, reach };
        mark.reach.epoch = u64::from(epoch);
        if is_new {
            // Both slots have their place on the disk from now on.
            mark.set(seq, row)?;
            mark.set(seq, row)?;
            sync_folder(path).map_err(failed)?;
        } else {
            mark.set(seq, row)?;
        }
        Ok(mark)
    }

    /// Before numbers up to these are committed.
    pub(crate) fn reach(&mut self, seq: u64, row: u64) -> Result<(), SpoolError> {
        if seq <= self.reach.seq && row <= self.reach.row { Ok(()) } else { self.set(seq, row) }
    }

    fn set(&mut self, seq: u64, row: u64) -> Result<(), SpoolError> {
        let next = Reach { turn: self.reach.turn + 1, epoch: self.reach.epoch, seq: seq + AHEAD, row: row + AHEAD };
        let mut slot = [0; SLOT as usize];
        slot[..USED].copy_from_slice(&written(next));
        let place = SeekFrom::Start(next.turn % 2 * SLOT);
        self.file.seek(place).and_then(|_| self.file.write_all(&slot)).and_then(|()| self.file.sync_data()).map_err(failed)?;
        self.reach = next;
        Ok(())
    }
}

/// What the mark of this spool says; `None` where there is none that holds.
pub(crate) fn read(path: &Path) -> Result<Option<Reach>, SpoolError> {
    match File::open(beside(path, "-mark")) {
        Ok(mut file) => parse(&mut file).map_err(failed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Makes names in the spool's folder durable.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

fn parse(file: &mut File) -> std::io::Result<Option<Reach>> {
    let mut bytes = Vec::new();
    file.take(2 * SLOT).read_to_end(&mut bytes)?;
    let slots = bytes.chunks(SLOT as usize).filter_map(|slot| {
        let number = |place: usize| Some(u64::from_le_bytes(slot.get(8 * place..8 * place + 8)?.try_into().ok()?));
        let reach = Reach { turn: number(0)?, epoch: number(1)?, seq: number(2)?, row: number(3)? };
        (slot.get(..USED)? == written(reach)).then_some(reach)
    });
    Ok(slots.max_by_key(|reach| reach.turn))
}

fn written(reach: Reach) -> [u8; USED] {
    let mut bytes = [0; USED];
    for (place, number) in bytes.chunks_mut(8).zip([reach.turn, reach.epoch, reach.seq, reach.row]) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let digest = Sha256::digest(&bytes[..USED - 8]);
    bytes[USED - 8..].copy_from_slice(&digest[..8]);
    bytes
}

fn failed(error: std::io::Error) -> SpoolError {
    const DOING: &str = "writing the spool's mark";
    if error.kind() == ErrorKind::StorageFull { SpoolError::Full { doing: DOING } } else { SpoolError::Database { doing: DOING, code: rusqlite::ffi::SQLITE_IOERR } }
}
