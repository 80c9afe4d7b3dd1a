//! What the disk damaged: the file is put aside, what can be read of it goes into a new one, and what cannot is told as lost.
//!
//! ```text
//! spool.db ──▶ spool.db-damaged        kept as it is, until the next time
//!                │ row by row
//!                ▼
//!          spool.db-salvaging ──▶ spool.db
//! ```
//!
//! As long as `spool.db-salvaging` is there the work is not done: whoever opens the spool next begins it anew. How much was lost is found by
//! counting (see `lost` in `schema.sql`), and where the counters are lost too, by the mark.

use std::fs::{File, remove_file, rename};
use std::io::Read as _;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row, params};
use sotto_report::{CallId, Score};

use crate::lock::beside;
use crate::mark::{self, sync_folder};
use crate::open::{APPLICATION, fill, highest, is_whole};
use crate::{SpoolError, outbox, upgrade};

/// Where SQLite's header has the application id.
const APPLICATION_AT: usize = 68;

/// What was lost with a damaged file, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The lowest call that may be concerned.
    pub from: CallId,
    /// The highest.
    pub to: CallId,
    /// Calls of which not even the outcome is known any more.
    pub calls: u64,
    /// Scores that were not delivered.
    pub scores: u64,
}

/// Whether a file that SQLite calls damaged is, or was, a spool: what is another's is left alone.
pub(crate) fn is_ours(path: &Path) -> bool {
    let mut header = [0; 100];
    let has_header = File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok();
    let is_marked = matches!(mark::read(path), Ok(Some(_)));
    is_marked || (has_header && header[APPLICATION_AT..APPLICATION_AT + 4] == (APPLICATION as u32).to_be_bytes())
}

/// Whether there was a spool here that is gone, or a salvage that a power cut ended.
pub(crate) fn is_due(path: &Path) -> Result<bool, SpoolError> {
    let is_empty = std::fs::metadata(path).map_or(true, |data| data.len() == 0);
    Ok(beside(path, "-salvaging").exists() || (is_empty && mark::read(path)?.is_some()))
}

/// Salvages, while nobody else has the spool open, if it is still due.
pub(crate) fn run(path: &Path, entropy: u32) -> Result<Option<Found>, SpoolError> {
    if is_due(path)? { salvage(path, entropy).map(Some) } else { Ok(None) }
}

/// The same, if the file is still damaged.
pub(crate) fn run_if_damaged(path: &Path, entropy: u32) -> Result<Option<Found>, SpoolError> {
    if is_whole(path)? { run(path, entropy) } else { salvage(path, entropy).map(Some) }
}

fn salvage(path: &Path, entropy: u32) -> Result<Found, SpoolError> {
    let (building, damaged) = (beside(path, "-salvaging"), beside(path, "-damaged"));
    let failed = |error: std::io::Error| of_io(path, &error);
    // An empty file: from here on the work is to be done.
    File::create(&building).and_then(|file| file.sync_all()).map_err(failed)?;
    sync_folder(path).map_err(failed)?;
    if path.exists() {
        for ending in ["", "-wal", "-shm"] {
            drop(remove_file(beside(&damaged, ending)));
        }
        rename(path, &damaged).map_err(failed)?;
    }
    let log = beside(path, "-wal");
    if log.exists() {
        rename(log, beside(&damaged, "-wal")).map_err(failed)?;
    }
    drop(remove_file(beside(path, "-shm")));
    drop(remove_file(beside(&building, "-journal")));
    sync_folder(path).map_err(failed)?;
    let found = build(path, entropy)?;
    rename(&building, path).map_err(failed)?;
    sync_folder(path).map_err(failed)?;
    Ok(found)
}

/// Makes the new file, whole.
fn build(path: &Path, entropy: u32) -> Result<Found, SpoolError> {
    let failed = SpoolError::of("salvaging the spool");
    let mut new = Connection::open(beside(path, "-salvaging")).map_err(&failed)?;
    new.pragma_update(None, "synchronous", "full").map_err(&failed)?;
    let transaction = new.transaction().map_err(&failed)?;
    fill(&transaction, entropy).map_err(&failed)?;
    let damaged = beside(path, "-damaged");
    let old = if damaged.exists() { Old::open(&damaged) } else { None };
    let reach = mark::read(path)?.unwrap_or_default();
    let found = Salvage { old, new: &transaction, reach, entropy }.run().map_err(&failed)?;
    transaction.commit().map_err(failed)?;
    Ok(found)
}

/// The damaged file: each question may fail.
struct Old {
    connection: Connection,
}

impl Old {
    fn open(path: &Path) -> Option<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX).ok()?;
        // It is evidence: what stands in its log stays there.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).ok()?;
        Some(Self { connection })
    }

    fn one<T>(&self, sql: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Option<T> {
        self.connection.query_row(sql, [], read).ok()
    }

    /// All rows of a small table; `None` where even one of them cannot be read.
    fn all<T>(&self, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Option<Vec<T>> {
        self.connection.prepare(sql).ok()?.query_map([], read).ok()?.collect::<Result<_, _>>().ok()
    }

    /// Every row of a table that can be read, by its key. `take` says whether the row holds. Returns the keys that cannot be read, or do not
    /// hold, as the lowest and the highest.
    fn each(&self, table: &str, key: &str, highest: u64, mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<bool>) -> Option<(u64, u64)> {
        let mut bad: Option<(u64, u64)> = None;
        let mut spoil = |at: u64| bad = Some(bad.map_or((at, at), |(from, to)| (from.min(at), to.max(at))));
        let prepared = (
            self.connection.prepare(&format!("SELECT * FROM {table} WHERE {key} > ?1 ORDER BY {key}")),
            self.connection.prepare(&format!("SELECT * FROM {table} WHERE {key} = ?1")),
        );
        let (Ok(mut following), Ok(mut single)) = prepared else { return (highest > 0).then_some((1, highest)) };
        let mut after = 0;
        while after < highest {
            // As far as it goes in one go;
            let is_done = following.query([after]).is_ok_and(|mut rows| {
                loop {
                    let Ok(row) = rows.next() else { return false };
                    let Some(row) = row else { return true };
                    let Ok(at) = row.get::<_, u64>(0) else { return false };
                    match take(row) {
                        Ok(true) => {}
                        Ok(false) => spoil(at),
                        Err(_) => return false,
                    }
                    after = at;
                }
            });
            if is_done {
                break;
            }
            // then number by number, until one is found behind what cannot be read.
            while after < highest {
                after += 1;
                let found = single.query([after]).and_then(|mut rows| rows.next()?.map(&mut take).transpose());
                match found {
                    Ok(None) => {}
                    Ok(Some(true)) => break,
                    Ok(Some(false)) | Err(_) => spoil(after),
                }
            }
        }
        bad
    }
}

struct Salvage<'a> {
    old: Option<Old>,
    new: &'a Connection,
    /// What the mark says: upper bounds.
    reach: mark::Reach,
    entropy: u32,
}

impl Salvage<'_> {
    fn run(self) -> rusqlite::Result<Found> {
        let Self { old, new, reach, entropy } = &self;
        let numbers = old.as_ref().and_then(|old| highest(&old.connection).ok());
        // The sequences cannot lie below what the file holds; where they cannot be read, the mark is as good as any.
        let (last_seq, last_row) = numbers.filter(|numbers| *numbers != (0, 0)).unwrap_or((reach.seq, reach.row));
        let mut calls = Counted::default();
        let mut rows = Counted::default();
        let mut counters = [0_u64; 8];
        let mut earlier = (0, 0);
        let mut epochs = Vec::new();
        if let Some(old) = old {
            epochs = self.epochs(old);
            if let Some(folded) = old.all("SELECT hour_ms, outcome, reason, calls FROM folded", |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, u64>(3)?))) {
                for (hour_ms, outcome, reason, count) in folded {
                    calls.held += count;
                    new.execute("INSERT INTO folded VALUES (?1, ?2, ?3, ?4)", params![hour_ms, outcome, reason, count])?;
                }
            } else {
                calls.spoil((1, last_seq.max(1)));
            }
            let mut lowest = None;
            let mut insert = new.prepare("INSERT INTO call (seq, started_ms, outcome, reason) VALUES (?1, ?2, ?3, ?4)")?;
            let bad = old.each("call", "seq", last_seq, |row| {
                let (seq, started_ms, outcome, reason): (u64, i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                // What the schema would not take does not hold.
                let holds = insert.execute(params![seq, started_ms, outcome, reason]).is_ok();
                calls.held += u64::from(holds);
                if holds {
                    lowest.get_or_insert(seq);
                }
                Ok(holds)
            });
            bad.into_iter().for_each(|range| calls.spoil(range));
            let mut insert = new.prepare("INSERT INTO outbox (row, call, names, queued_ms, expires_ms, score, digest, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
            let mut stand_in = new.prepare("INSERT OR IGNORE INTO call (seq, started_ms, outcome) VALUES (?1, ?2, ?3)")?;
            old.each("outbox", "row", last_row, |row| {
                let (number, seq, names, queued_ms, expires_ms): (u64, u64, i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
                let (text, digest, state): (String, i64, String) = (row.get(5)?, row.get(6)?, row.get(7)?);
                if digest != outbox::digest(seq, names, queued_ms, expires_ms, &text) {
                    return Ok(false);
                }
                // A score says itself what became of its call, where the call's own row is lost.
                if let Ok(score) = serde_json::from_str::<Score>(&text) {
                    calls.held += stand_in.execute(params![seq, score.started.get(), score.outcome.name()])? as u64;
                    if epochs.is_empty() {
                        epochs.push((1, score.call.epoch, 0));
                    }
                }
                let holds = insert.execute(params![number, seq, names, queued_ms, expires_ms, text, digest, state]).is_ok();
                rows.held += u64::from(holds);
                Ok(holds)
            });
            // Calls that were folded have no score that waits: the lost ones are not below the lowest that has a row of its own.
            rows.spoil((lowest.unwrap_or(1), last_seq.max(1)));
            if let Some((found, lost)) = self.counters(old)? {
                counters = found;
                earlier = lost;
            }
            for (fingerprint, teams, lines) in old.all("SELECT fingerprint, teams, lines FROM names", |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))).unwrap_or_default() {
                new.execute("INSERT OR IGNORE INTO names VALUES (?1, ?2, ?3)", params![fingerprint, teams, lines])?;
            }
        }
        let [_, acked, _, expired, withdrawn, ..] = counters;
        let lost_calls = last_seq.saturating_sub(calls.held + earlier.0);
        let lost_scores = last_row.saturating_sub(rows.held + acked + expired + withdrawn + earlier.1);
        self.number(&epochs, last_seq, last_row)?;
        let epoch = epochs.last().map_or(u32::try_from(reach.epoch).unwrap_or(*entropy), |(_, epoch, _)| *epoch);
        let whole = (1, last_seq.max(1));
        let of_calls = calls.bad.unwrap_or(whole);
        let of_scores = rows.bad.unwrap_or(whole);
        let (from, to) = match (lost_calls, lost_scores) {
            (_, 0) => of_calls,
            (0, _) => of_scores,
            _ => (of_calls.0.min(of_scores.0), of_calls.1.max(of_scores.1)),
        };
        let id = |seq| CallId { epoch, seq };
        let found = Found { from: id(from), to: id(to), calls: lost_calls, scores: lost_scores };
        if lost_calls + lost_scores > 0 {
            crate::lost::insert(new, &found)?;
        }
        Ok(found)
    }

    /// The epochs so far, by their first number.
    fn epochs(&self, old: &Old) -> Vec<(u64, u32, i64)> {
        let present = old.all("SELECT first_seq, epoch, machine FROM epoch ORDER BY first_seq", |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let first = || old.one("SELECT epoch FROM spool", |row| Ok(vec![(1, row.get(0)?, 0)]));
        let marked = || (self.reach.seq > 0).then(|| vec![(1, u32::try_from(self.reach.epoch).unwrap_or(0), 0)]);
        present.filter(|epochs| !epochs.is_empty()).or_else(first).or_else(marked).unwrap_or_default()
    }

    /// Carries over the counters and the losses so far: the counters, and how many calls and scores were lost before.
    fn counters(&self, old: &Old) -> rusqlite::Result<Option<([u64; 8], (u64, u64))>> {
        const NAMES: [&str; 8] = ["connections", "acked", "no_subscriber", "expired_unacked", "withdrawn", "taken_over", "time_floor_ms", "clock_jumps"];
        let mut counters = [0; NAMES.len()];
        let mut is_read = false;
        for (name, counter) in NAMES.iter().zip(&mut counters) {
            // An older file lacks some of them.
            if let Some(value) = old.one(&format!("SELECT {name} FROM spool"), |row| row.get(0)) {
                *counter = value;
                is_read = true;
                self.new.execute(&format!("UPDATE spool SET {name} = ?1"), params![value])?;
            }
        }
        let mut earlier = (0, 0);
        let losses = old.all("SELECT epoch, from_seq, to_seq, calls, scores, is_said FROM lost ORDER BY id", |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, u64>(1)?, row.get::<_, u64>(2)?, row.get::<_, u64>(3)?, row.get::<_, u64>(4)?, row.get::<_, i64>(5)?))
        });
        for (epoch, from, to, calls, scores, is_said) in losses.unwrap_or_default() {
            earlier = (earlier.0 + calls, earlier.1 + scores);
            let insert = "INSERT INTO lost (epoch, from_seq, to_seq, calls, scores, is_said) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            self.new.execute(insert, params![epoch, from, to, calls, scores, is_said])?;
        }
        Ok(is_read.then_some((counters, earlier)))
    }

    /// Numbers go on behind all that were ever given, and under a new epoch: where the highest is not known for sure, no id comes twice.
    fn number(&self, epochs: &[(u64, u32, i64)], last_seq: u64, last_row: u64) -> rusqlite::Result<()> {
        for (table, last) in [("call", last_seq), ("outbox", last_row)] {
            self.new.execute("DELETE FROM sqlite_sequence WHERE name = ?1", [table])?;
            self.new.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", params![table, last])?;
        }
        self.new.execute("DELETE FROM epoch", [])?;
        for (first_seq, epoch, machine) in epochs.iter().filter(|(first_seq, ..)| *first_seq <= last_seq) {
            self.new.execute("INSERT INTO epoch VALUES (?1, ?2, ?3)", params![first_seq, epoch, machine])?;
        }
        let is_taken = epochs.iter().any(|(_, epoch, _)| epoch == &self.entropy);
        self.new.execute("INSERT INTO epoch (first_seq, epoch) VALUES (?1, ?2)", params![last_seq + 1, if is_taken { self.entropy ^ 1 } else { self.entropy }])?;
        debug_assert_eq!(self.new.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)), Ok(upgrade::VERSION));
        Ok(())
    }
}

/// Rows that were read, and where others could not be.
#[derive(Default)]
struct Counted {
    held: u64,
    bad: Option<(u64, u64)>,
}

impl Counted {
    fn spoil(&mut self, (from, to): (u64, u64)) {
        self.bad = Some(self.bad.map_or((from, to), |bad| (bad.0.min(from), bad.1.max(to))));
    }
}

fn of_io(path: &Path, error: &std::io::Error) -> SpoolError {
    if error.kind() == std::io::ErrorKind::StorageFull {
        SpoolError::Full { doing: "salvaging the spool" }
    } else {
        SpoolError::Unopened { path: path.to_owned(), code: rusqlite::ffi::SQLITE_IOERR }
    }
}
