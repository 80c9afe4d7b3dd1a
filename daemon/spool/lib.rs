//! The spool: a ledger of every call that was seen, and the scores that wait for their acknowledgement.
//!
//! A file of SQLite, shared by two processes: the tap begins and closes calls, the uplink sends and deletes. Each has one write
//! connection, a [`Spool`]; whoever only looks takes a [`View`]. `schema.sql` tells what is kept and why, `upgrade/` how an older file comes
//! to it.
//!
//! Everything that was returned as done is on the disk: each commit waits for it (`synchronous = FULL`, set and read back).
//!
//! Only what the gate has sealed is taken:
//!
//! ```
//! fn keep(spool: &mut sotto_spool::Spool, closing: &sotto_redact::Sealed<sotto_report::Closing>) {
//!     drop(spool.close(closing, 0, 0));
//! }
//! ```
//!
//! and nothing that is not, one line different:
//!
//! ```compile_fail,E0308
//! fn keep(spool: &mut sotto_spool::Spool, closing: &sotto_report::Closing) {
//!     drop(spool.close(closing, 0, 0));
//! }
//! ```
//!
//! What is private cannot even be named here:
//!
//! ```compile_fail,E0432
//! use sotto_private::Words;
//! ```
//!
//! ```
//! use sotto_report::Score;
//! ```
//!
//! Time is an argument: `now_ms` is the wall clock, milliseconds since 1970.

mod error;
mod ledger;
mod lock;
mod lost;
mod mark;
mod open;
mod outbox;
mod people;
mod retention;
mod rights;
mod room;
mod salvage;
mod time;
mod upgrade;
mod view;
mod withdraw;

#[cfg(test)]
mod tests;

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use error::SpoolError;
pub use ledger::Batch;
pub use lost::Loss;
pub use open::Hearer;
pub use outbox::{DeadLetter, Entry};
pub use people::{Known, MeasuredCall, People, Wish};
pub use rights::audit::{Act, Anchor, Doing, Fault, Record, Subject};
pub use rights::{Contest, ContestError, ContestReason, Egress, Resolution, Rights, Withdrawal};
pub use room::Level;
pub use salvage::Found;
pub use time::{Reading, Timekeeper};
pub use view::{Backlog, TapGauges, View};

/// One process's write connection to the spool. It reads as a [`View`].
#[derive(Debug)]
pub struct Spool {
    view: View,
    /// The epoch that counts.
    epoch: u32,
    /// Where calls are begun: how far their numbers may go before it is written down.
    mark: Option<mark::Mark>,
    room: room::Room,
    salvaged: Option<Found>,
    /// The hour in which old calls were last folded.
    folded_hour: Option<i64>,
    /// Kept until the connection is closed: a field below `view` is dropped after it.
    _lock: Option<lock::Lock>,
}

impl std::ops::Deref for Spool {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl Spool {
    /// A transaction that holds the write lock from the start, so that it waits for another process here and nowhere later.
    fn transaction(&mut self, doing: &'static str) -> Result<rusqlite::Transaction<'_>, SpoolError> {
        self.view.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(SpoolError::of(doing))
    }

    /// Does something in a transaction of its own, once more with the ballast given up where the disk is full.
    fn durable<T>(&mut self, doing: &'static str, act: impl Fn(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, SpoolError> {
        let once = |spool: &mut Self| {
            let transaction = spool.transaction(doing)?;
            let done = act(&transaction).map_err(SpoolError::of(doing))?;
            transaction.commit().map_err(SpoolError::of(doing))?;
            Ok(done)
        };
        match once(self) {
            Err(SpoolError::Full { .. }) if self.drop_ballast() => once(self),
            done => done,
        }
    }

    const fn connection(&self) -> &Connection {
        &self.view.connection
    }
}
