//! The uplink's side: scores that wait, oldest first, until the broker has acknowledged them.

use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use sotto_charter::Names;
use sotto_report::{CallId, Score};

use crate::{Found, Spool, SpoolError, lost};

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
    /// Each is read back through [`Score`]'s own parser, which takes nothing that the schema does not have. A row that this program cannot read
    /// is marked, kept and counted ([`crate::Backlog::invalid`]); one that the disk has changed is taken out and told as lost
    /// ([`View::untold_loss`](crate::View::untold_loss)). The next ones come in their place.
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
            let mut is_whole = true;
            for (row, content) in read {
                is_whole &= matches!(content, Content::Holds(_));
                match content {
                    Content::Holds(entry) => entries.push(*entry),
                    Content::Unreadable => self.keep_back(row, DeadLetter::Invalid)?,
                    Content::Damaged => self.lose(row)?,
                }
            }
            if is_last || is_whole {
                return Ok(entries);
            }
        }
    }

    /// Takes out a row that the disk has changed, and notes that its score is lost.
    fn lose(&mut self, row: i64) -> Result<(), SpoolError> {
        self.durable("taking out a damaged row", |transaction| {
            let (seq, epoch): (u64, u32) = transaction.query_row(
                "SELECT call, (SELECT epoch FROM epoch WHERE first_seq <= call ORDER BY first_seq DESC LIMIT 1) FROM outbox WHERE row = ?1",
                [row],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let call = CallId { epoch, seq };
            lost::insert(transaction, &Found { from: call, to: call, calls: 0, scores: 1 })?;
            transaction.execute("DELETE FROM outbox WHERE row = ?1", [row]).map(drop)
        })
    }

    fn read_rows(&self, after_row: i64, limit: usize) -> Result<Vec<(i64, Content)>, SpoolError> {
        let failed = SpoolError::of("reading the outbox");
        let mut statement = self
            .connection()
            .prepare_cached(
                // By its number, whatever other index there is: that is the order.
                "SELECT row, call, names, queued_ms, expires_ms, score, digest,
                        (SELECT epoch FROM epoch WHERE first_seq <= call ORDER BY first_seq DESC LIMIT 1) FROM outbox NOT INDEXED
                 WHERE row > ?1 AND state = 'waiting' ORDER BY row LIMIT ?2",
            )
            .map_err(&failed)?;
        statement
            .query_map(params![after_row, limit], |row| {
                let number: i64 = row.get(0)?;
                Ok((number, content(row, number)))
            })
            .and_then(Iterator::collect)
            .map_err(failed)
    }

    /// These rows were acknowledged: they are deleted and counted. Returns how many there were.
    ///
    /// # Errors
    /// It could not be written: the rows are still there, and will be sent again.
    pub fn acked(&mut self, rows: &[i64]) -> Result<u64, SpoolError> {
        self.durable("deleting acknowledged rows", |transaction| {
            let mut deleted = 0;
            for row in rows {
                deleted += transaction.prepare_cached("DELETE FROM outbox WHERE row = ?1")?.execute([row])?;
            }
            transaction.prepare_cached("UPDATE spool SET acked = acked + ?1")?.execute([deleted])?;
            Ok(deleted as u64)
        })
    }

    /// Keeps a row back for good; it is deleted when it expires.
    ///
    /// # Errors
    /// It could not be written.
    pub fn keep_back(&mut self, row: i64, why: DeadLetter) -> Result<(), SpoolError> {
        self.durable("keeping a row back", |transaction| {
            transaction.prepare_cached("UPDATE outbox SET state = ?2 WHERE row = ?1 AND state = 'waiting'")?.execute(params![row, why.state()]).map(drop)
        })
    }

    /// Puts rows that did not hold back into the queue, to be read once more: a newer program may read what an older one could not, as
    /// where the tap was upgraded first. Call it at the uplink's start. Returns how many.
    ///
    /// # Errors
    /// It could not be written.
    pub fn reconsider(&mut self) -> Result<u64, SpoolError> {
        self.durable("reconsidering rows", |transaction| transaction.execute("UPDATE outbox SET state = 'waiting' WHERE state = 'invalid'", []).map(|rows| rows as u64))
    }

    /// Puts rows that were too large back into the queue, for a broker that takes larger ones. Returns how many.
    ///
    /// # Errors
    /// It could not be written.
    pub fn reconsider_large(&mut self) -> Result<u64, SpoolError> {
        self.durable("reconsidering large rows", |transaction| {
            transaction.execute("UPDATE outbox SET state = 'waiting' WHERE state = 'too_large'", []).map(|rows| rows as u64)
        })
    }

    /// Counts acknowledgements that said that nobody subscribes.
    ///
    /// # Errors
    /// It could not be written.
    pub fn count_no_subscriber(&mut self, rows: u64) -> Result<(), SpoolError> {
        self.durable("counting rows without a subscriber", |transaction| transaction.execute("UPDATE spool SET no_subscriber = no_subscriber + ?1", [rows]).map(drop))
    }

    /// Counts that another client took over our session.
    ///
    /// # Errors
    /// It could not be written.
    pub fn count_taken_over(&mut self) -> Result<(), SpoolError> {
        self.durable("counting a takeover", |transaction| transaction.execute("UPDATE spool SET taken_over = taken_over + 1", []).map(drop))
    }

    /// Counts a connection to the broker, and returns its number, from 1.
    ///
    /// # Errors
    /// It could not be written.
    pub fn count_connection(&mut self) -> Result<u64, SpoolError> {
        self.durable("counting a connection", |transaction| transaction.query_row("UPDATE spool SET connections = connections + 1 RETURNING connections", [], |row| row.get(0)))
    }

    /// Keeps the uplink's own copy of the site's names, by their fingerprint.
    ///
    /// # Errors
    /// It could not be written.
    pub fn remember_names(&mut self, names: &Names) -> Result<(), SpoolError> {
        const DOING: &str = "keeping the site's names";
        let text = |list: &[String]| serde_json::to_string(list).map_err(|_| SpoolError::Database { doing: DOING, code: 0 });
        let (teams, lines) = (text(&names.teams)?, text(&names.lines)?);
        self.durable(DOING, |transaction| {
            transaction.execute("INSERT INTO names (fingerprint, teams, lines) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", params![names.fingerprint(), teams, lines]).map(drop)
        })
    }
}

/// What a row turned out to be.
enum Content {
    Holds(Box<Entry>),
    /// Whole, but nothing that this program takes.
    Unreadable,
    /// Not as it was written.
    Damaged,
}

fn content(row: &rusqlite::Row<'_>, number: i64) -> Content {
    let read = || {
        let (seq, names, queued_ms, expires_ms) = (row.get(1).ok()?, row.get(2).ok()?, row.get(3).ok()?, row.get(4).ok()?);
        let text = row.get_ref(5).ok()?.as_str().ok()?;
        let is_whole = row.get::<_, i64>(6).ok()? == digest(seq, names, queued_ms, expires_ms, text);
        is_whole.then_some((CallId { epoch: row.get(7).ok()?, seq }, names, expires_ms, text))
    };
    let Some((call, names, expires_ms, text)) = read() else { return Content::Damaged };
    match serde_json::from_str::<Score>(text) {
        Ok(score) if score.call == call && score.expires.get() == expires_ms => Content::Holds(Box::new(Entry { row: number, score, names, bytes: text.len() })),
        _ => Content::Unreadable,
    }
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
