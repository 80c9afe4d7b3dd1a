//! Room: the file keeps within its quota, and has pages ahead of what is written, so that a disk that others fill does not stop it.
//!
//! Three reserves, from the outside in:
//!
//! 1. a **ballast** file beside the spool. It is given up when SQLite finds the disk full, so that its log has room for what must be written:
//!    acknowledgements, retention, the ends of calls.
//! 2. **pieces** within the file: zeros, laid by one after the other while there is room, and given up where the file cannot grow any more.
//! 3. the **ladder**, as the pieces run out: first no further scores are kept (their calls are `shed`), then calls get not even a row (they
//!    are counted as `refused`). What was committed stays.

use std::fs::{OpenOptions, remove_file};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use crate::lock::beside;
use crate::{Spool, SpoolError};

/// Pieces that are kept ahead.
const PIECES: u64 = 8;

/// So large is a piece, bytes; less where the quota is small. The log takes as much again for a moment, so that the ballast is twice as large.
const PIECE: u64 = 2 << 20;

/// At its end the file keeps no further scores when fewer pieces than this are left, and no further calls when fewer than half of them are.
const FOR_SCORES: u64 = PIECES / 2;

/// Free pages below which a piece is given up.
const FEW_PAGES: u64 = 64;

/// How much may still be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Everything.
    #[default]
    Ample,
    /// Calls, but no scores.
    NoScores,
    /// Counts alone.
    CountsAlone,
}

/// What a process that begins calls knows of the room.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Where the ballast lies; `None` where nobody set a quota.
    ballast: Option<PathBuf>,
    quota_pages: u64,
    piece_bytes: u64,
    piece_pages: u64,
    /// The file cannot grow: the quota or the disk.
    is_at_its_end: bool,
}

impl Room {
    pub(crate) fn new(path: &Path, connection: &Connection, quota_bytes: u64) -> rusqlite::Result<Self> {
        let page_bytes: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let quota_pages = (quota_bytes / page_bytes).max(512);
        connection.pragma_update_and_check(None, "max_page_count", quota_pages, |_| Ok(()))?;
        let piece_bytes = PIECE.min(quota_pages * page_bytes / (4 * PIECES));
        Ok(Self { ballast: Some(beside(path, "-ballast")), quota_pages, piece_bytes, piece_pages: piece_bytes / page_bytes + 1, is_at_its_end: false })
    }

    /// What may be taken in now.
    pub(crate) fn level(&self, connection: &Connection) -> rusqlite::Result<Level> {
        if !self.is_at_its_end {
            return Ok(Level::Ample);
        }
        let pieces = pieces(connection)?;
        Ok(if pieces >= FOR_SCORES {
            Level::Ample
        } else if pieces >= FOR_SCORES / 2 {
            Level::NoScores
        } else {
            Level::CountsAlone
        })
    }

    /// Within a transaction that will write: gives a piece up where the file cannot grow and has few free pages.
    pub(crate) fn give_way(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.is_at_its_end && pages(connection, "freelist_count")? < FEW_PAGES {
            // `secure_delete` writes each page that is freed; they were written before, so that this takes no new block of the disk.
            connection.prepare_cached("DELETE FROM room WHERE rowid = (SELECT max(rowid) FROM room)")?.execute([])?;
        }
        Ok(())
    }

    /// The file turned out to be at its end.
    pub(crate) fn end(&mut self) {
        self.is_at_its_end = self.ballast.is_some();
    }

    /// Lays pieces by, as far as disk and quota allow.
    fn grow(&mut self, connection: &mut Connection) -> Result<(), SpoolError> {
        let failed = SpoolError::of("making room");
        let Some(ballast) = self.ballast.clone() else { return Ok(()) };
        loop {
            let has_ballast = lay(&ballast, 2 * self.piece_bytes);
            let is_complete = pieces(connection).map_err(&failed)? >= PIECES;
            let all = pages(connection, "page_count").map_err(&failed)? - pages(connection, "freelist_count").map_err(&failed)?;
            // What may still come beside the pieces must find room too.
            let may_grow = has_ballast && all + self.piece_pages <= self.quota_pages;
            if is_complete || !may_grow {
                self.is_at_its_end = !may_grow;
                return Ok(());
            }
            // What the ballast held is room enough for the piece, in the log and in the file.
            drop(remove_file(&ballast));
            match self.lay_a_piece(connection) {
                Ok(()) => {}
                Err(SpoolError::Full { .. }) => {
                    self.is_at_its_end = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn lay_a_piece(&self, connection: &mut Connection) -> Result<(), SpoolError> {
        let failed = SpoolError::of("making room");
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        transaction.execute("INSERT INTO room VALUES (zeroblob(?1))", [self.piece_bytes]).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)
    }
}

impl Spool {
    /// Keeps room ahead of what is written. Call it every ten seconds or so, where calls are begun.
    ///
    /// # Errors
    /// The file could not be written for another reason than a full disk.
    pub fn make_room(&mut self) -> Result<(), SpoolError> {
        self.room.grow(&mut self.view.connection)
    }

    /// What may be taken in now.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn room(&self) -> Result<Level, SpoolError> {
        self.room.level(self.connection()).map_err(SpoolError::of("looking for room"))
    }

    /// Gives the ballast up, if there is one: whether there was.
    pub(crate) fn drop_ballast(&self) -> bool {
        self.connection().path().is_some_and(|path| remove_file(beside(Path::new(path), "-ballast")).is_ok())
    }
}

/// Lays the ballast, or makes it whole: whether it is. What of it the disk did not take is left out again.
fn lay(path: &Path, bytes: u64) -> bool {
    let has = std::fs::metadata(path).map_or(0, |data| data.len());
    if has == bytes {
        return true;
    }
    let written = OpenOptions::new().write(true).create(true).truncate(true).open(path).and_then(|mut file| {
        // Written, not only made long: a hole takes no room.
        std::io::copy(&mut std::io::repeat(0).take(bytes), &mut file)?;
        file.sync_all()
    });
    if written.is_err() {
        drop(remove_file(path));
    }
    written.is_ok()
}

fn pieces(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT count(*) FROM room")?.query_row([], |row| row.get(0))
}

fn pages(connection: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}
