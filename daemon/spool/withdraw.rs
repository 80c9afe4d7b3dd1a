//! What the spool knows of a call that is contested or erased, and what it forgets of it.

use rusqlite::OptionalExtension as _;
use sotto_report::CallId;

use crate::{Spool, SpoolError, View};

impl View {
    /// Whether this box ever saw a call of this id. Old calls are counted and have no row any more: their numbers are known all the same.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn knows(&self, call: CallId) -> Result<bool, SpoolError> {
        let last: Option<u64> = self
            .connection
            .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'call'", [], |row| row.get(0))
            .optional()
            .map_err(SpoolError::of("looking for a call"))?;
        Ok(call.epoch == self.epoch() && call.seq > 0 && last.is_some_and(|last| call.seq <= last))
    }
}

impl Spool {
    /// Forgets the score of a call, where it still waits: it is not sent any more, and overwritten. Its place in the ledger stays.
    /// Returns whether there was one.
    ///
    /// # Errors
    /// It could not be written.
    pub fn forget(&mut self, call: CallId) -> Result<bool, SpoolError> {
        let failed = SpoolError::of("forgetting a score");
        if call.epoch != self.epoch() {
            return Ok(false);
        }
        let gone = self.connection().execute("DELETE FROM outbox WHERE call = ?1", [call.seq]).map_err(&failed)?;
        if gone > 0 {
            // The log still holds what was deleted. Where a reader stands in the way, the next checkpoint gets it.
            self.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
        }
        Ok(gone > 0)
    }
}
