//! The tap's own file: who has acknowledged, objected or paused, and whose call is which. `people.sql` tells what is kept and why.
//!
//! It knows marks, never names: the gate makes them with the key that lies here.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sotto_charter::{AgentStanding, Mark};
use sotto_report::CallId;

use crate::SpoolError;
use crate::rights::audit::Subject;

const SCHEMA: &str = include_str!("people.sql");

/// "sotp".
const APPLICATION: i64 = 0x736f_7470;
const VERSION: i64 = 1;

/// The tap's own file.
#[derive(Debug)]
pub struct People {
    connection: Connection,
    key: [u8; 32],
}

/// A call that was an agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuredCall {
    /// The call.
    pub call: CallId,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: i64,
    /// When its score is deleted.
    pub expires_ms: i64,
}

/// What is known of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// How the audit chain refers to the agent.
    pub subject: Subject,
    /// First known, milliseconds since 1970.
    pub made_ms: i64,
    /// First 64 bits of the digest of the charter that was acknowledged last; 0 for none.
    pub acknowledged: u64,
    /// When; 0 for never.
    pub acknowledged_ms: i64,
    /// Has objected.
    pub has_objected: bool,
    /// Has paused.
    pub is_paused: bool,
    /// Calls whose scores still live.
    pub calls: Vec<MeasuredCall>,
}

/// What an agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Acknowledges the charter of this digest (first 64 bits).
    Acknowledge(u64),
    /// Objects to being measured, or takes that back.
    Object(bool),
    /// Pauses, or goes on.
    Pause(bool),
}

impl People {
    /// Where it lies: beside the spool, under the spool's name.
    #[must_use]
    pub fn beside(spool: &Path) -> PathBuf {
        spool.with_extension("tap.db")
    }

    /// Opens it, or makes it. `key` becomes the key of a new file: draw it at random.
    ///
    /// # Errors
    /// It is no file of ours, of a newer version, damaged, or cannot be made.
    pub fn open(path: &Path, key: [u8; 32]) -> Result<Self, SpoolError> {
        // Not for the group: the uplink must not read it. SQLite gives its log the same rights.
        if let Err(error) = OpenOptions::new().append(true).create(true).mode(0o600).open(path) {
            return Err(SpoolError::Unopened { path: path.to_owned(), code: if error.kind() == std::io::ErrorKind::PermissionDenied { rusqlite::ffi::SQLITE_PERM } else { rusqlite::ffi::SQLITE_CANTOPEN } });
        }
        let connection = crate::rights::open(path, SCHEMA, APPLICATION, VERSION)?;
        let failed = SpoolError::of("reading the key");
        connection.execute("INSERT INTO key VALUES (1, ?1) ON CONFLICT DO NOTHING", [key]).map_err(&failed)?;
        let key = connection.query_row("SELECT key FROM key", [], |row| row.get(0)).map_err(&failed)?;
        Ok(Self { connection, key })
    }

    /// The key of the marks.
    #[must_use]
    pub const fn key(&self) -> [u8; 32] {
        self.key
    }

    /// Changes whenever another process has written.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn version(&self) -> Result<i64, SpoolError> {
        self.connection.query_row("PRAGMA data_version", [], |row| row.get(0)).map_err(SpoolError::of("looking for changes"))
    }

    /// How every known agent stands under the charter of this digest (first 64 bits).
    ///
    /// # Errors
    /// It cannot be read.
    pub fn standings(&self, charter: u64) -> Result<HashMap<Mark, AgentStanding>, SpoolError> {
        let read = |row: &rusqlite::Row<'_>| {
            let standing = AgentStanding { has_acknowledged: row.get::<_, i64>(1)? == charter as i64, has_objected: row.get(2)?, is_paused: row.get(3)? };
            Ok((Mark(row.get(0)?), standing))
        };
        self.connection
            .prepare_cached("SELECT mark, acknowledged, has_objected, is_paused FROM agent")
            .and_then(|mut statement| statement.query_map([], read)?.collect())
            .map_err(SpoolError::of("reading how agents stand"))
    }

    /// Keeps what an agent wishes; `subject` becomes the reference of one who was not known: draw it at random. Returns the reference.
    ///
    /// # Errors
    /// It could not be written.
    pub fn wish(&mut self, mark: Mark, wish: Wish, subject: Subject, now_ms: i64) -> Result<Subject, SpoolError> {
        const TASK: &str = "keeping an agent's wish";
        let failed = SpoolError::of(TASK);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        transaction
            .execute("INSERT INTO agent (mark, subject, made_ms) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", params![mark.0, subject, now_ms])
            .map_err(&failed)?;
        match wish {
            Wish::Acknowledge(charter) => transaction.execute("UPDATE agent SET acknowledged = ?2, acknowledged_ms = ?3 WHERE mark = ?1", params![mark.0, charter as i64, now_ms]),
            Wish::Object(objects) => transaction.execute("UPDATE agent SET has_objected = ?2 WHERE mark = ?1", params![mark.0, objects]),
            Wish::Pause(pauses) => transaction.execute("UPDATE agent SET is_paused = ?2 WHERE mark = ?1", params![mark.0, pauses]),
        }
        .map_err(&failed)?;
        let subject = transaction.query_row("SELECT subject FROM agent WHERE mark = ?1", [mark.0], |row| row.get(0)).map_err(&failed)?;
        transaction.commit().map_err(failed)?;
        Ok(subject)
    }

    /// Remembers whose calls were measured, all in one commit.
    ///
    /// # Errors
    /// It could not be written.
    pub fn remember(&mut self, calls: &[(MeasuredCall, Mark)]) -> Result<(), SpoolError> {
        const TASK: &str = "remembering whose calls were measured";
        if calls.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(SpoolError::of(TASK))?;
        for (call, mark) in calls {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO measured (call, mark, ended_ms, expires_ms) VALUES (?1, ?2, ?3, ?4)")
                .and_then(|mut statement| statement.execute(params![call.call.to_string(), mark.0, call.ended_ms, call.expires_ms]))
                .map_err(SpoolError::of(TASK))?;
        }
        transaction.commit().map_err(SpoolError::of(TASK))
    }

    /// What is known of an agent; `None` where nothing is.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn known(&self, mark: Mark) -> Result<Option<Known>, SpoolError> {
        let failed = SpoolError::of("reading what is known of an agent");
        let calls = self.calls(mark)?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Known {
                subject: row.get(0)?,
                made_ms: row.get(1)?,
                acknowledged: row.get::<_, i64>(2)? as u64,
                acknowledged_ms: row.get(3)?,
                has_objected: row.get(4)?,
                is_paused: row.get(5)?,
                calls: Vec::new(),
            })
        };
        let known = self
            .connection
            .query_row("SELECT subject, made_ms, acknowledged, acknowledged_ms, has_objected, is_paused FROM agent WHERE mark = ?1", [mark.0], read)
            .optional()
            .map_err(failed)?;
        Ok(match known {
            Some(known) => Some(Known { calls, ..known }),
            None if calls.is_empty() => None,
            None => Some(Known { subject: [0; 16], made_ms: 0, acknowledged: 0, acknowledged_ms: 0, has_objected: false, is_paused: false, calls }),
        })
    }

    fn calls(&self, mark: Mark) -> Result<Vec<MeasuredCall>, SpoolError> {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?));
        let rows: Vec<(String, i64, i64)> = self
            .connection
            .prepare_cached("SELECT call, ended_ms, expires_ms FROM measured WHERE mark = ?1 ORDER BY ended_ms")
            .and_then(|mut statement| statement.query_map([mark.0], read)?.collect())
            .map_err(SpoolError::of("reading an agent's calls"))?;
        Ok(rows.into_iter().filter_map(|(call, ended_ms, expires_ms)| Some(MeasuredCall { call: call.parse().ok()?, ended_ms, expires_ms })).collect())
    }

    /// Forgets an agent: every row goes and is overwritten, the log is emptied. Withdraw the calls first.
    ///
    /// # Errors
    /// It could not be written; nothing changed then.
    pub fn erase(&mut self, mark: Mark) -> Result<(), SpoolError> {
        const TASK: &str = "erasing an agent";
        let failed = SpoolError::of(TASK);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        for statement in ["DELETE FROM measured WHERE mark = ?1", "DELETE FROM agent WHERE mark = ?1"] {
            transaction.execute(statement, [mark.0]).map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)?;
        // The log still holds what was deleted.
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)
    }

    /// Forgets whose call it was.
    ///
    /// # Errors
    /// It could not be written.
    pub fn erase_call(&mut self, call: CallId) -> Result<(), SpoolError> {
        let failed = SpoolError::of("erasing a call");
        self.connection.execute("DELETE FROM measured WHERE call = ?1", [call.to_string()]).map_err(&failed)?;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)
    }

    /// Forgets whose calls were whose once their scores are gone. Returns how many.
    ///
    /// # Errors
    /// It could not be written.
    pub fn expire(&mut self, now_ms: i64) -> Result<u64, SpoolError> {
        let gone = self.connection.execute("DELETE FROM measured WHERE expires_ms <= ?1", [now_ms]).map_err(SpoolError::of("forgetting old calls"))?;
        Ok(gone as u64)
    }
}

#[cfg(test)]
mod tests;
