//! The tap's side: calls begin, and close with what became of them.

use rusqlite::{Transaction, params};
use sotto_redact::Sealed;
use sotto_report::messages::Gauges;
use sotto_report::{CallId, Closing, Opening, Outcome};

use crate::outbox;
use crate::{Spool, SpoolError};

/// Several openings and closings that become durable together: one wait for the disk, not one for each.
#[derive(Debug)]
pub struct Batch<'a> {
    transaction: Transaction<'a>,
    epoch: u32,
    /// The first failure of SQLite. A half-done closing is in the transaction then, so that it must not be committed.
    failure: Option<SpoolError>,
}

impl Spool {
    /// Begins a call: its row is on the disk when this returns, before any work on its sound.
    ///
    /// # Errors
    /// The row could not be written.
    pub fn begin(&mut self, opening: &Sealed<Opening>) -> Result<CallId, SpoolError> {
        let mut batch = self.batch()?;
        let call = batch.begin(opening)?;
        batch.commit()?;
        Ok(call)
    }

    /// Closes a call: its place in the ledger, its score and the score's row in the outbox, in one transaction.
    /// `names` is the fingerprint of the names that its ids stand for.
    ///
    /// # Errors
    /// The call is not open here, the closing contradicts itself, or it could not be written. Nothing changed then.
    pub fn close(&mut self, closing: &Sealed<Closing>, names: i64, now_ms: i64) -> Result<(), SpoolError> {
        let mut batch = self.batch()?;
        batch.close(closing, names, now_ms)?;
        batch.commit()
    }

    /// Begins a batch. It holds the write lock: fill it with what is ready and commit it at once.
    ///
    /// # Errors
    /// Another process holds the lock for too long.
    pub fn batch(&mut self) -> Result<Batch<'_>, SpoolError> {
        let epoch = self.epoch();
        Ok(Batch { transaction: self.transaction("beginning a batch")?, epoch, failure: None })
    }

    /// At the tap's start: calls that a crash left open become `interrupted`. Returns how many.
    ///
    /// # Errors
    /// It could not be written.
    pub fn interrupt_open_calls(&mut self) -> Result<u64, SpoolError> {
        self.connection()
            .execute("UPDATE call SET outcome = ?1 WHERE outcome = 'open'", [Outcome::Interrupted.name()])
            .map(|rows| rows as u64)
            .map_err(SpoolError::of("closing interrupted calls"))
    }

    /// Keeps what the tap says of itself, in the place of what it said before.
    ///
    /// # Errors
    /// It could not be written.
    pub fn write_gauges(&mut self, gauges: &Sealed<Gauges>, now_ms: i64) -> Result<(), SpoolError> {
        self.put_gauges(gauges.get(), now_ms)
    }

    pub(crate) fn put_gauges(&mut self, gauges: &Gauges, now_ms: i64) -> Result<(), SpoolError> {
        let failed = SpoolError::of("writing the tap's gauges");
        let text = serde_json::to_string(gauges).map_err(|_| SpoolError::Database { doing: "writing the tap's gauges", code: 0 })?;
        self.connection()
            .prepare_cached("INSERT INTO gauges (one, written_ms, gauges) VALUES (1, ?1, ?2) ON CONFLICT DO UPDATE SET written_ms = ?1, gauges = ?2")
            .and_then(|mut statement| statement.execute(params![now_ms, text]))
            .map(drop)
            .map_err(failed)
    }
}

impl Batch<'_> {
    /// Begins a call. The id counts only once the batch is committed.
    ///
    /// # Errors
    /// The row could not be written; the batch is lost then.
    pub fn begin(&mut self, opening: &Sealed<Opening>) -> Result<CallId, SpoolError> {
        self.open(opening.get())
    }

    /// Closes a call, as [`Spool::close`] does.
    ///
    /// # Errors
    /// The call is not open here or the closing contradicts itself: the rest of the batch is as good as before. Or it could not be
    /// written; the batch is lost then.
    pub fn close(&mut self, closing: &Sealed<Closing>, names: i64, now_ms: i64) -> Result<(), SpoolError> {
        self.settle(closing.get(), names, now_ms)
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// It could not be written, or a part of it could not: then nothing of it is kept.
    pub fn commit(self) -> Result<(), SpoolError> {
        // Dropping the transaction rolls it back.
        self.failure.map_or_else(|| self.transaction.commit().map_err(SpoolError::of("committing a batch")), Err)
    }

    pub(crate) fn open(&mut self, opening: &Opening) -> Result<CallId, SpoolError> {
        let begun = self
            .transaction
            .prepare_cached("INSERT INTO call (started_ms) VALUES (?1) RETURNING seq")
            .and_then(|mut statement| statement.query_row([opening.started.get()], |row| row.get(0)));
        let seq = self.survive("beginning a call", begun)?;
        Ok(CallId { epoch: self.epoch, seq })
    }

    pub(crate) fn settle(&mut self, closing: &Closing, names: i64, now_ms: i64) -> Result<(), SpoolError> {
        let Closing { call, outcome, reason, ref score } = *closing;
        if call.epoch != self.epoch {
            return Err(SpoolError::OtherEpoch { call });
        }
        let agrees = score.as_ref().is_none_or(|score| score.call == call && score.outcome == outcome);
        if outcome == Outcome::Open || !agrees {
            return Err(SpoolError::Contradiction { call });
        }
        let row = score.as_ref().map(|score| outbox::Row::of(score, names)).transpose()?;
        let closed = self
            .transaction
            .prepare_cached("UPDATE call SET outcome = ?2, reason = ?3 WHERE seq = ?1 AND outcome = 'open'")
            .and_then(|mut statement| statement.execute(params![call.seq, outcome.name(), reason.map_or("", |reason| reason.name())]));
        if self.survive("closing a call", closed)? == 0 {
            return Err(SpoolError::NotOpen { call });
        }
        if let Some(row) = row {
            let queued = row.insert(&self.transaction, call, now_ms);
            self.survive("queueing a score", queued)?;
        }
        Ok(())
    }

    /// Passes a result on, and remembers a failure of SQLite.
    fn survive<T>(&mut self, doing: &'static str, result: rusqlite::Result<T>) -> Result<T, SpoolError> {
        result.map_err(SpoolError::of(doing)).inspect_err(|error| {
            self.failure.get_or_insert_with(|| error.clone());
        })
    }
}
