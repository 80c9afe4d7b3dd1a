//! What the spool knows of a call that is contested or erased, and what it forgets of it.

use sotto_report::CallId;

use crate::{Spool, SpoolError, View};

impl View {
    /// Whether this box ever saw a call of this id. Old calls are counted and have no row any more: their numbers are known all the same.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn knows(&self, call: CallId) -> Result<bool, SpoolError> {
        let failed = SpoolError::of("looking for a call");
        let (last, _) = crate::open::highest(&self.connection).map_err(&failed)?;
        Ok(call.seq > 0 && call.seq <= last && crate::view::epoch_of(&self.connection, call.seq).map_err(failed)? == Some(call.epoch))
    }
}

impl Spool {
    /// Forgets the score of a call, where it still waits: it is not sent any more, and overwritten. Its place in the ledger stays.
    /// Returns whether there was one.
    ///
    /// # Errors
    /// It could not be written.
    pub fn forget(&mut self, call: CallId) -> Result<bool, SpoolError> {
        const DOING: &str = "forgetting a score";
        let failed = SpoolError::of(DOING);
        if crate::view::epoch_of(self.connection(), call.seq).map_err(&failed)? != Some(call.epoch) {
            return Ok(false);
        }
        let gone = self.durable(DOING, |transaction| {
            let gone = transaction.execute("DELETE FROM outbox WHERE call = ?1", [call.seq])?;
            // Counted, so that it is not taken for lost.
            transaction.execute("UPDATE spool SET withdrawn = withdrawn + ?1", [gone])?;
            Ok(gone)
        })?;
        if gone > 0 {
            // The log still holds what was deleted. Where a reader stands in the way, the next checkpoint gets it.
            self.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
        }
        Ok(gone > 0)
    }
}
