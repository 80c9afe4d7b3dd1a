//! Contests and withdrawals: a contested score goes everywhere at once, and a person looks at it.
//!
//! What goes downstream is the call's id alone: contest, erasure and objection look the same to whoever reads it.

use std::fmt;

use rusqlite::{TransactionBehavior, params};
use sotto_report::CallId;

use super::Rights;
use super::audit::{Act, Doing, Subject, append};
use crate::SpoolError;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every value.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// By its name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.name() == name)
            }
        }
    };
}

words! {
    /// Why a score is contested.
    ContestReason {
        /// The number is wrong.
        Wrong "wrong",
        /// A system was down or slow.
        Outage "outage",
        /// The agent was being trained.
        Training "training",
        /// It was an unusually hard case.
        HardCase "hard_case",
        /// Another reason, told to the reviewer.
        Other "other",
    }
}

words! {
    /// What became of a contest.
    Resolution {
        /// The score was right; it stays withdrawn all the same.
        Upheld "upheld",
        /// The score was wrong, and the site has corrected its own copy.
        Corrected "corrected",
        /// The score was wrong and is gone.
        Deleted "deleted",
    }
}

words! {
    /// Why a contest is refused.
    ContestError {
        /// This box never saw such a call.
        UnknownCall "unknown_call",
        /// The score was contested before.
        Repeated "repeated",
        /// There is no open contest of that score.
        NotOpen "not_open",
    }
}

impl fmt::Display for ContestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::UnknownCall => "this box never saw such a call",
            Self::Repeated => "the score was contested before, and is withdrawn already",
            Self::NotOpen => "there is no open contest of that score",
        })
    }
}

/// A contest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contest {
    /// The call's id.
    pub call: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// The metric; empty for the whole score.
    pub metric: String,
    /// Why.
    pub reason: String,
    /// `open`, or what became of it.
    pub outcome: String,
}

/// A score that must go downstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Its place in the queue.
    pub row: i64,
    /// The call.
    pub call: CallId,
}

impl Rights {
    /// Contests a score: it is withdrawn at once. `expires_ms` is when no copy of the score lives any more.
    ///
    /// # Errors
    /// It could not be written. Inside: why it is refused, which is on record then.
    pub fn contest(&mut self, call: CallId, metric: &str, reason: ContestReason, expires_ms: i64, now_ms: i64) -> Result<Result<(), ContestError>, SpoolError> {
        const TASK: &str = "keeping a contest";
        let failed = SpoolError::of(TASK);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let is_new = transaction
            .execute(
                "INSERT INTO contest (call, at_ms, metric, reason, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                params![call.to_string(), now_ms, metric, reason.name(), expires_ms],
            )
            .map_err(&failed)?
            > 0;
        let doing = |act| Doing { act, subject: None, call: Some(call) };
        if is_new {
            append(&transaction, &doing(Act::Contested), now_ms).map_err(&failed)?;
            withdraw(&transaction, call, None, expires_ms, now_ms).map_err(&failed)?;
        } else {
            append(&transaction, &doing(Act::ContestRefused(ContestError::Repeated)), now_ms).map_err(&failed)?;
        }
        transaction.commit().map_err(failed)?;
        Ok(if is_new { Ok(()) } else { Err(ContestError::Repeated) })
    }

    /// Decides a contest.
    ///
    /// # Errors
    /// It could not be written. Inside: there is none, or it is decided.
    pub fn resolve(&mut self, call: CallId, how: Resolution, now_ms: i64) -> Result<Result<(), ContestError>, SpoolError> {
        const TASK: &str = "deciding a contest";
        let failed = SpoolError::of(TASK);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let decided = transaction
            .execute("UPDATE contest SET outcome = ?2 WHERE call = ?1 AND outcome = 'open'", params![call.to_string(), how.name()])
            .map_err(&failed)?;
        let act = if decided > 0 { Act::Resolved(how) } else { Act::ContestRefused(ContestError::NotOpen) };
        append(&transaction, &Doing { act, subject: None, call: Some(call) }, now_ms).map_err(&failed)?;
        transaction.commit().map_err(failed)?;
        Ok(if decided > 0 { Ok(()) } else { Err(ContestError::NotOpen) })
    }

    /// Withdraws scores for another reason than a contest: erasure, objection. Those that were withdrawn before stay so.
    ///
    /// # Errors
    /// It could not be written; nothing changed then.
    pub fn withdraw(&mut self, calls: &[CallId], subject: Option<Subject>, expires_ms: i64, now_ms: i64) -> Result<(), SpoolError> {
        const TASK: &str = "withdrawing scores";
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(SpoolError::of(TASK))?;
        for call in calls {
            withdraw(&transaction, *call, subject, expires_ms, now_ms).map_err(SpoolError::of(TASK))?;
        }
        transaction.commit().map_err(SpoolError::of(TASK))
    }

    /// Withdrawals that wait for their PUBACK, after a row, in order.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn withdrawals(&self, after_row: i64, limit: u32) -> Result<Vec<Withdrawal>, SpoolError> {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        let rows: Vec<(i64, String)> = self
            .connection
            .prepare_cached("SELECT row, call FROM withdrawal WHERE is_sent = 0 AND row > ?1 ORDER BY row LIMIT ?2")
            .and_then(|mut statement| statement.query_map(params![after_row, limit], read)?.collect())
            .map_err(SpoolError::of("reading withdrawals"))?;
        Ok(rows.into_iter().filter_map(|(row, call)| Some(Withdrawal { row, call: call.parse().ok()? })).collect())
    }

    /// The broker has acknowledged these withdrawals.
    ///
    /// # Errors
    /// It could not be written: they will be sent again.
    pub fn withdrawals_sent(&mut self, rows: &[i64]) -> Result<(), SpoolError> {
        const TASK: &str = "closing withdrawals";
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(SpoolError::of(TASK))?;
        for row in rows {
            transaction.prepare_cached("UPDATE withdrawal SET is_sent = 1 WHERE row = ?1").and_then(|mut statement| statement.execute([row])).map_err(SpoolError::of(TASK))?;
        }
        transaction.commit().map_err(SpoolError::of(TASK))
    }

    /// All calls that were withdrawn and whose copies may still live: a restored backup must forget them again.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn withdrawn(&self) -> Result<Vec<CallId>, SpoolError> {
        let calls: Vec<String> = self
            .connection
            .prepare_cached("SELECT call FROM withdrawal")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .map_err(SpoolError::of("reading withdrawals"))?;
        Ok(calls.into_iter().filter_map(|call| call.parse().ok()).collect())
    }

    /// The contests, the newest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn contests(&self) -> Result<Vec<Contest>, SpoolError> {
        let read = |row: &rusqlite::Row<'_>| Ok(Contest { call: row.get(0)?, at_ms: row.get(1)?, metric: row.get(2)?, reason: row.get(3)?, outcome: row.get(4)? });
        self.connection
            .prepare_cached("SELECT call, at_ms, metric, reason, outcome FROM contest ORDER BY at_ms DESC LIMIT 10000")
            .and_then(|mut statement| statement.query_map([], read)?.collect())
            .map_err(SpoolError::of("reading contests"))
    }

    /// Deletes contests and withdrawals whose time has come. Returns how many.
    ///
    /// # Errors
    /// It could not be written.
    pub fn expire_contests(&mut self, now_ms: i64) -> Result<u64, SpoolError> {
        const TASK: &str = "deleting old contests";
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(SpoolError::of(TASK))?;
        let mut gone = 0;
        for statement in ["DELETE FROM contest WHERE expires_ms <= ?1", "DELETE FROM withdrawal WHERE expires_ms <= ?1"] {
            gone += transaction.execute(statement, [now_ms]).map_err(SpoolError::of(TASK))?;
        }
        transaction.commit().map_err(SpoolError::of(TASK))?;
        Ok(gone as u64)
    }
}

fn withdraw(transaction: &rusqlite::Transaction<'_>, call: CallId, subject: Option<Subject>, expires_ms: i64, now_ms: i64) -> rusqlite::Result<()> {
    let is_new = transaction
        .prepare_cached("INSERT INTO withdrawal (call, queued_ms, expires_ms) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![call.to_string(), now_ms, expires_ms])?
        > 0;
    if is_new { append(transaction, &Doing { act: Act::Withdrawn, subject, call: Some(call) }, now_ms) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
