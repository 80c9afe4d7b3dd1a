//! What the disk lost, until it was told.

use rusqlite::{Connection, OptionalExtension, params};
use sotto_report::CallId;

use crate::{Found, Spool, SpoolError, View};

/// A loss that was not told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Its number, for [`Spool::told`].
    pub id: i64,
    /// What it is.
    pub found: Found,
}

pub(crate) fn insert(connection: &Connection, found: &Found) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO lost (epoch, from_seq, to_seq, calls, scores) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![found.to.epoch, found.from.seq, found.to.seq, found.calls, found.scores])
        .map(drop)
}

impl View {
    /// The oldest loss that nobody has acknowledged yet.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn untold_loss(&self) -> Result<Option<Loss>, SpoolError> {
        self.connection
            .prepare_cached("SELECT id, epoch, from_seq, to_seq, calls, scores FROM lost WHERE is_said = 0 ORDER BY id LIMIT 1")
            .and_then(|mut statement| {
                statement
                    .query_row([], |row| {
                        let epoch = row.get(1)?;
                        let id = |seq| CallId { epoch, seq };
                        let found = Found { from: id(row.get(2)?), to: id(row.get(3)?), calls: row.get(4)?, scores: row.get(5)? };
                        Ok(Loss { id: row.get(0)?, found })
                    })
                    .optional()
            })
            .map_err(SpoolError::of("reading what was lost"))
    }
}

impl Spool {
    /// A loss was told, and the broker has acknowledged it.
    ///
    /// # Errors
    /// It could not be written: it will be told again.
    pub fn told(&mut self, id: i64) -> Result<(), SpoolError> {
        self.durable("noting that a loss was told", |transaction| transaction.execute("UPDATE lost SET is_said = 1 WHERE id = ?1", [id]).map(drop))
    }
}
