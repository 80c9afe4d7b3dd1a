//! The uplink's side: scores that wait, oldest first, until the broker has acknowledged them.

use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use sotto_charter::Names;
use sotto_report::{CallId, Score};

use crate::{Spool, SpoolError};

/// More than this is no score (a full one has under 3 KiB).
const LONGEST_SCORE: usize = 8_192;

/// A score that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The row's number; older rows have smaller ones.
    pub row: i64,
    /// What was read back, and held.
    pub score: Score,
    /// Fingerprint of the names that its ids stand for.
    pub names: i64,
    /// Length of the row's text.
    pub bytes: usize,
}

/// Why the broker will never take a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetter {
    /// It is longer than the broker's maximum packet size (reason 0x95, or by our own count).
    TooLarge,
    /// The broker says that it is not what its indicator promises (reason 0x99).
    PayloadFormat,
    /// It names a team or line that its own list of names does not have.
    Invalid,
}

impl DeadLetter {
    const fn state(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::PayloadFormat => "payload_format",
            Self::Invalid => "invalid",
        }
    }
}

/// A score as it is written.
pub(crate) struct Row {
    names: i64,
    expires_ms: i64,
    text: String,
}

impl Row {
    pub(crate) fn of(score: &Score, names: i64) -> Result<Self, SpoolError> {
        let contradiction = SpoolError::Contradiction { call: score.call };
        let text = serde_json::to_string(score).map_err(|_| contradiction.clone())?;
        if text.len() > LONGEST_SCORE {
            return Err(contradiction);
        }
        Ok(Self { names, expires_ms: score.expires.get(), text })
    }

    pub(crate) fn insert(&self, connection: &Connection, call: CallId, now_ms: i64) -> rusqlite::Result<()> {
        let digest = digest(call.seq, self.names, now_ms, self.expires_ms, &self.text);
        connection
            .prepare_cached("INSERT INTO outbox (call, names, queued_ms, expires_ms, score, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![call.seq, self.names, now_ms, self.expires_ms, self.text, digest])
            .map(drop)
    }
}

impl Spool {
    /// The oldest rows after `after_row` (0 for the very oldest) that wait, at most `limit`.
    ///
    /// Each is read back through [`Score`]'s own parser, which takes nothing that the schema does not have. A row that does not hold is
    /// marked, kept and counted ([`crate::Backlog::invalid`]), and the next ones come in its place.
    ///
    /// # Errors
    /// The spool cannot be read, or a bad row cannot be marked.
    pub fn pending(&mut self, after_row: i64, limit: usize) -> Result<Vec<Entry>, SpoolError> {
        let mut entries = Vec::new();
        let mut after = after_row;
        loop {
            let wanted = limit - entries.len();
            let read = self.read_rows(after, wanted)?;
            let Some((last, _)) = read.last() else { return Ok(entries) };
            after = *last;
            let is_last = read.len() < wanted;
            let mut invalid = Vec::new();
            for (row, entry) in read {
                match entry {
                    Some(entry) => entries.push(entry),
                    None => invalid.push(row),
                }
            }
            for row in &invalid {
                self.keep_back(*row, DeadLetter::Invalid)?;
            }
            if is_last || invalid.is_empty() {
                return Ok(entries);
            }
        }
    }

    fn read_rows(&self, after_row: i64, limit: usize) -> Result<Vec<(i64, Option<Entry>)>, SpoolError> {
        let failed = SpoolError::of("reading the outbox");
        let mut statement = self
            .connection()
            .prepare_cached(
                "SELECT row, call, names, queued_ms, expires_ms, score, digest FROM outbox
                 WHERE row > ?1 AND state = 'waiting' ORDER BY row LIMIT ?2",
            )
            .map_err(&failed)?;
        let epoch = self.epoch();
        statement
            .query_map(params![after_row, limit], |row| {
                let number: i64 = row.get(0)?;
                Ok((number, entry(row, number, epoch)))
            })
            .and_then(Iterator::collect)
            .map_err(failed)
    }

    /// The broker has acknowledged these rows with success: they are deleted and counted. Returns how many there were.
    ///
    /// # Errors
    /// It could not be written: the rows are still there, and will be sent again.
    pub fn acked(&mut self, rows: &[i64]) -> Result<u64, SpoolError> {
        const DOING: &str = "deleting acknowledged rows";
        let failed = SpoolError::of(DOING);
        let transaction = self.transaction(DOING)?;
        let mut deleted = 0;
        for row in rows {
            deleted += transaction.prepare_cached("DELETE FROM outbox WHERE row = ?1").and_then(|mut statement| statement.execute([row])).map_err(&failed)?;
        }
        transaction.execute("UPDATE spool SET acked = acked + ?1", [deleted]).map_err(&failed)?;
        transaction.commit().map_err(failed)?;
        Ok(deleted as u64)
    }

    /// Keeps a row back for good; it is deleted when it expires.
    ///
    /// # Errors
    /// It could not be written.
    pub fn keep_back(&mut self, row: i64, why: DeadLetter) -> Result<(), SpoolError> {
        self.connection()
            .prepare_cached("UPDATE outbox SET state = ?2 WHERE row = ?1 AND state = 'waiting'")
            .and_then(|mut statement| statement.execute(params![row, why.state()]))
            .map(drop)
            .map_err(SpoolError::of("keeping a row back"))
    }

    /// Puts rows that did not hold back into the queue, to be read once more: a newer program may read what an older one could not, as
    /// where the tap was upgraded first. Call it at the uplink's start. Returns how many.
    ///
    /// # Errors
    /// It could not be written.
    pub fn reconsider(&mut self) -> Result<u64, SpoolError> {
        self.connection()
            .execute("UPDATE outbox SET state = 'waiting' WHERE state = 'invalid'", [])
            .map(|rows| rows as u64)
            .map_err(SpoolError::of("reconsidering rows"))
    }

    /// Counts acknowledgements that said that nobody subscribes.
    ///
    /// # Errors
    /// It could not be written.
    pub fn count_no_subscriber(&mut self, rows: u64) -> Result<(), SpoolError> {
        self.connection()
            .execute("UPDATE spool SET no_subscriber = no_subscriber + ?1", [rows])
            .map(drop)
            .map_err(SpoolError::of("counting rows without a subscriber"))
    }

    /// Counts a connection to the broker, and returns its number, from 1.
    ///
    /// # Errors
    /// It could not be written.
    pub fn count_connection(&mut self) -> Result<u64, SpoolError> {
        self.connection()
            .query_row("UPDATE spool SET connections = connections + 1 RETURNING connections", [], |row| row.get(0))
            .map_err(SpoolError::of("counting a connection"))
    }

    /// Keeps the uplink's own copy of the site's names, by their fingerprint.
    ///
    /// # Errors
    /// It could not be written.
    pub fn remember_names(&mut self, names: &Names) -> Result<(), SpoolError> {
        const DOING: &str = "keeping the site's names";
        let text = |list: &[String]| serde_json::to_string(list).map_err(|_| SpoolError::Database { doing: DOING, code: 0 });
        self.connection()
            .execute(
                "INSERT INTO names (fingerprint, teams, lines) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![names.fingerprint(), text(&names.teams)?, text(&names.lines)?],
            )
            .map(drop)
            .map_err(SpoolError::of(DOING))
    }
}

/// A row as it was written; `None` where it does not hold.
fn entry(row: &rusqlite::Row<'_>, number: i64, epoch: u32) -> Option<Entry> {
    let seq: u64 = row.get(1).ok()?;
    let (names, queued_ms, expires_ms) = (row.get(2).ok()?, row.get(3).ok()?, row.get(4).ok()?);
    let text = row.get_ref(5).ok()?.as_str().ok()?;
    if row.get::<_, i64>(6).ok()? != digest(seq, names, queued_ms, expires_ms, text) {
        return None;
    }
    let score: Score = serde_json::from_str(text).ok()?;
    let holds = score.call == CallId { epoch, seq } && score.expires.get() == expires_ms;
    holds.then_some(Entry { row: number, score, names, bytes: text.len() })
}

pub(crate) fn digest(seq: u64, names: i64, queued_ms: i64, expires_ms: i64, text: &str) -> i64 {
    let mut digest = Sha256::new();
    digest.update(seq.to_le_bytes());
    for number in [names, queued_ms, expires_ms] {
        digest.update(number.to_le_bytes());
    }
    digest.update(text);
    digest.finalize().iter().take(8).fold(0, |sum, &byte| (sum << 8) | i64::from(byte))
}
