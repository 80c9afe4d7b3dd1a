//! What was handed to the broker, counted.

use rusqlite::{TransactionBehavior, params};

use super::Rights;
use crate::SpoolError;

/// What left on one day under one kind of topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// The day (UTC), as ISO 8601 writes it.
    pub day: String,
    /// What the topic ends with.
    pub topic: String,
    /// Messages.
    pub messages: u64,
    /// Their topics and payloads, bytes.
    pub bytes: u64,
}

impl Rights {
    /// Adds to what was counted before.
    ///
    /// # Errors
    /// It could not be written; nothing changed then.
    pub fn count_egress(&mut self, counts: &[Egress]) -> Result<(), SpoolError> {
        const TASK: &str = "counting what left";
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(SpoolError::of(TASK))?;
        for count in counts {
            transaction
                .prepare_cached(
                    "INSERT INTO egress (day, topic, messages, bytes) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET messages = messages + excluded.messages, bytes = bytes + excluded.bytes",
                )
                .and_then(|mut statement| statement.execute(params![count.day, count.topic, count.messages, count.bytes]))
                .map_err(SpoolError::of(TASK))?;
        }
        transaction.commit().map_err(SpoolError::of(TASK))
    }

    /// All that was counted, by day and topic.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn egress(&self) -> Result<Vec<Egress>, SpoolError> {
        let read = |row: &rusqlite::Row<'_>| Ok(Egress { day: row.get(0)?, topic: row.get(1)?, messages: row.get(2)?, bytes: row.get(3)? });
        self.connection
            .prepare_cached("SELECT day, topic, messages, bytes FROM egress ORDER BY day, topic")
            .and_then(|mut statement| statement.query_map([], read)?.collect())
            .map_err(SpoolError::of("reading what left"))
    }
}
