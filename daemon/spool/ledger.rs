//! The tap's side: calls begin, and close with what became of them.

use rusqlite::{Transaction, TransactionBehavior, params};
use sotto_redact::Sealed;
use sotto_report::messages::Gauges;
use sotto_report::{CallId, Closing, Opening, Outcome};

use crate::mark::Mark;
use crate::outbox;
use crate::{Level, Spool, SpoolError};

/// Several openings and closings that become durable together: one wait for the disk, not one for each.
#[derive(Debug)]
pub struct Batch<'a> {
    transaction: Transaction<'a>,
    epoch: u32,
    level: Level,
    mark: Option<&'a mut Mark>,
    /// The first failure of SQLite. A half-done closing is in the transaction then, so that it must not be committed.
    failure: Option<SpoolError>,
}

impl Spool {
    /// Begins a call: its row is on the disk when this returns, before any work on its sound. `None` where the disk is so full that it has
    /// none: it is counted as refused.
    ///
    /// # Errors
    /// The row could not be written.
    pub fn begin(&mut self, opening: &Sealed<Opening>) -> Result<Option<CallId>, SpoolError> {
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
        const DOING: &str = "beginning a batch";
        let failed = SpoolError::of(DOING);
        let transaction = self.view.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        self.room.give_way(&transaction).map_err(&failed)?;
        let level = self.room.level(&transaction).map_err(failed)?;
        Ok(Batch { transaction, epoch: self.epoch, level, mark: self.mark.as_mut(), failure: None })
    }

    /// After a batch that found the disk full: gives up what was held in reserve. The same batch is worth another try where this says so.
    pub fn give_way(&mut self) -> bool {
        self.room.end();
        self.drop_ballast()
    }

    /// At the tap's start: calls that a crash left open become `interrupted`. Returns how many.
    ///
    /// # Errors
    /// It could not be written.
    pub fn interrupt_open_calls(&mut self) -> Result<u64, SpoolError> {
        self.durable("closing interrupted calls", |transaction| {
            transaction.execute("UPDATE call SET outcome = ?1 WHERE outcome = 'open'", [Outcome::Interrupted.name()]).map(|rows| rows as u64)
        })
    }

    /// Keeps what the tap says of itself, in the place of what it said before.
    ///
    /// # Errors
    /// It could not be written.
    pub fn write_gauges(&mut self, gauges: &Sealed<Gauges>, now_ms: i64) -> Result<(), SpoolError> {
        self.put_gauges(gauges.get(), now_ms)
    }

    pub(crate) fn put_gauges(&mut self, gauges: &Gauges, now_ms: i64) -> Result<(), SpoolError> {
        const DOING: &str = "writing the tap's gauges";
        let text = serde_json::to_string(gauges).map_err(|_| SpoolError::Database { doing: DOING, code: 0 })?;
        self.durable(DOING, |transaction| {
            transaction
                .prepare_cached("INSERT INTO gauges (one, written_ms, gauges) VALUES (1, ?1, ?2) ON CONFLICT DO UPDATE SET written_ms = ?1, gauges = ?2")?
                .execute(params![now_ms, text])
                .map(drop)
        })
    }
}

impl Batch<'_> {
    /// Begins a call. The id counts only once the batch is committed. `None` where the disk is so full that it gets no row: then it is
    /// counted as refused.
    ///
    /// # Errors
    /// The row could not be written; the batch is lost then.
    pub fn begin(&mut self, opening: &Sealed<Opening>) -> Result<Option<CallId>, SpoolError> {
        self.open(opening.get())
    }

    /// Counts a call for which there was no room when it began.
    ///
    /// # Errors
    /// It could not be written; the batch is lost then.
    pub fn refuse(&mut self, opening: &Sealed<Opening>) -> Result<(), SpoolError> {
        let counted = self.count_refused(opening.get().started.get());
        self.survive("counting a call", counted)
    }

    /// Closes a call, as [`Spool::close`] does. On a disk that is nearly full its score is not kept, and it is `shed`.
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
    /// It could not be written, or a part of it could not: then nothing of it is kept. See [`Spool::give_way`] for a full disk.
    pub fn commit(mut self) -> Result<(), SpoolError> {
        // Dropping the transaction rolls it back.
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        const DOING: &str = "committing a batch";
        if let Some(mark) = self.mark.take() {
            let (seq, row) = crate::open::highest(&self.transaction).map_err(SpoolError::of(DOING))?;
            mark.reach(seq, row)?;
        }
        self.transaction.commit().map_err(SpoolError::of(DOING))
    }

    pub(crate) fn open(&mut self, opening: &Opening) -> Result<Option<CallId>, SpoolError> {
        const DOING: &str = "beginning a call";
        let started_ms = opening.started.get();
        if self.level == Level::CountsAlone {
            let counted = self.count_refused(started_ms);
            return self.survive("counting a call", counted).map(|()| None);
        }
        let begun = self
            .transaction
            .prepare_cached("INSERT INTO call (started_ms) VALUES (?1) RETURNING seq")
            .and_then(|mut statement| statement.query_row([started_ms], |row| row.get(0)));
        let seq = self.survive(DOING, begun)?;
        Ok(Some(CallId { epoch: self.epoch, seq }))
    }

    /// The call takes its number, and is counted where its hour is; neither needs a new page.
    fn count_refused(&self, started_ms: i64) -> rusqlite::Result<()> {
        let taken = self.transaction.prepare_cached("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'call'")?.execute([])?;
        if taken == 0 {
            self.transaction.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('call', 1)", [])?;
        }
        self.transaction
            .prepare_cached("INSERT INTO folded VALUES (?1, ?2, '', 1) ON CONFLICT DO UPDATE SET calls = calls + 1")?
            .execute(params![started_ms - started_ms % 3_600_000, Outcome::Refused.name()])
            .map(drop)
    }

    pub(crate) fn settle(&mut self, closing: &Closing, names: i64, now_ms: i64) -> Result<(), SpoolError> {
        let Closing { call, mut outcome, mut reason, ref score } = *closing;
        if call.epoch != self.epoch {
            return Err(SpoolError::OtherEpoch { call });
        }
        let agrees = score.as_ref().is_none_or(|score| score.call == call && score.outcome == outcome);
        if outcome == Outcome::Open || !agrees {
            return Err(SpoolError::Contradiction { call });
        }
        let mut row = score.as_ref().map(|score| outbox::Row::of(score, names)).transpose()?;
        if row.is_some() && self.level > Level::Ample {
            (row, outcome, reason) = (None, Outcome::Shed, None);
        }
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
