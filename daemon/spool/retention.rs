//! What is kept, and for how long. Retention wins over delivery, and says so.

use rusqlite::params;

use crate::{Spool, SpoolError};

const DAY_MS: i64 = 86_400_000;

/// Calls that began longer ago than this lose their own row and are counted by hour.
const CALLS_FOLD_AFTER_MS: i64 = DAY_MS;

/// Hours longer ago than this are counted together.
const HOURS_FOLD_AFTER_MS: i64 = 35 * DAY_MS;

impl Spool {
    /// Deletes the scores whose time of keeping has ended, acknowledged or not, and folds old calls into counts. Returns how many
    /// scores were deleted; they are counted as `expired_unacked`. Call it about once a minute.
    ///
    /// # Errors
    /// It could not be written; nothing changed then.
    pub fn expire(&mut self, now_ms: i64) -> Result<u64, SpoolError> {
        const DOING: &str = "deleting what has expired";
        let failed = SpoolError::of(DOING);
        let transaction = self.transaction(DOING)?;
        let expired = transaction.execute("DELETE FROM outbox WHERE expires_ms <= ?1", [now_ms]).map_err(&failed)?;
        if expired > 0 {
            transaction.execute("UPDATE spool SET expired_unacked = expired_unacked + ?1", [expired]).map_err(&failed)?;
        }
        let folds = [
            (
                "INSERT INTO folded SELECT started_ms - started_ms % 3600000, outcome, reason, count(*) FROM call
                 WHERE outcome <> 'open' AND started_ms < ?1 AND seq NOT IN (SELECT call FROM outbox) GROUP BY 1, 2, 3
                 ON CONFLICT DO UPDATE SET calls = calls + excluded.calls",
                "DELETE FROM call WHERE outcome <> 'open' AND started_ms < ?1 AND seq NOT IN (SELECT call FROM outbox)",
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
            transaction.execute(count, params![before_ms]).map_err(&failed)?;
            transaction.execute(delete, params![before_ms]).map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)?;
        if expired > 0 {
            // The log still holds what was deleted. Where a reader stands in the way, the next one gets it.
            self.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
        }
        Ok(expired as u64)
    }
}
