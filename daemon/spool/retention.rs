//! What is kept, and for how long. Retention wins over delivery, and says so.

use rusqlite::{Transaction, params};

use crate::{Spool, SpoolError};

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// Calls that began longer ago than this lose their own row and are counted by hour.
const CALLS_FOLD_AFTER_MS: i64 = DAY_MS;

/// Hours longer ago than this are counted together.
const HOURS_FOLD_AFTER_MS: i64 = 35 * DAY_MS;

/// Rows deleted at once: the tap must not wait for long.
const AT_ONCE: u64 = 1_000;

impl Spool {
    /// Deletes scores whose time of keeping has ended, acknowledged or not, and once an hour folds old calls into counts. Returns how many
    /// scores were deleted, [`Spool::AT_MOST`] at most; they are counted as `expired_unacked`. Call it about once a minute, and again at once
    /// where it was as many as that, with a time that is believed ([`Timekeeper`](crate::Timekeeper)).
    ///
    /// # Errors
    /// It could not be written; nothing changed then.
    pub fn expire(&mut self, now_ms: i64) -> Result<u64, SpoolError> {
        const DOING: &str = "deleting what has expired";
        let expired = self.durable(DOING, |transaction| {
            let expired = transaction.execute("DELETE FROM outbox WHERE row IN (SELECT row FROM outbox WHERE expires_ms <= ?1 LIMIT ?2)", [now_ms, AT_ONCE as i64])?;
            if expired > 0 {
                transaction.execute("UPDATE spool SET expired_unacked = expired_unacked + ?1", [expired])?;
            }
            Ok(expired as u64)
        })?;
        let hour = now_ms.div_euclid(HOUR_MS);
        if self.folded_hour != Some(hour) {
            self.durable("folding old calls", |transaction| fold(transaction, now_ms))?;
            self.folded_hour = Some(hour);
        }
        if expired > 0 && expired < AT_ONCE {
            // The log still holds what was deleted. Where a reader stands in the way, the next one gets it.
            self.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(SpoolError::of(DOING))?;
        }
        Ok(expired)
    }

    /// The most that [`Spool::expire`] deletes at once.
    pub const AT_MOST: u64 = AT_ONCE;
}

fn fold(transaction: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<()> {
    let folds = [
        (
            "INSERT INTO folded SELECT started_ms - started_ms % 3600000, outcome, reason, count(*) FROM call
             WHERE outcome <> 'open' AND started_ms < ?1 AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.call = seq) GROUP BY 1, 2, 3
             ON CONFLICT DO UPDATE SET calls = calls + excluded.calls",
            "DELETE FROM call WHERE outcome <> 'open' AND started_ms < ?1 AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.call = seq)",
            now_ms.saturating_sub(CALLS_FOLD_AFTER_MS),
        ),
        (
            "INSERT INTO folded SELECT 0, outcome, reason, sum(calls) FROM folded WHERE hour_ms > 0 AND hour_ms < ?1 GROUP BY 2, 3
             ON CONFLICT DO UPDATE SET calls = calls + excluded.calls",
            "DELETE FROM folded WHERE hour_ms > 0 AND hour_ms < ?1",
            now_ms.saturating_sub(HOURS_FOLD_AFTER_MS),
        ),
    ];
    for (count, delete, before_ms) in folds {
        transaction.execute(count, params![before_ms])?;
        transaction.execute(delete, params![before_ms])?;
    }
    Ok(())
}
