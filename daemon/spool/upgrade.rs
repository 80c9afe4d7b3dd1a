//! From an older version of the file to the present one, a step at a time, each in a file of its own.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::SpoolError;
use crate::open::recognize;

/// The steps: the first leads from version 1 to version 2.
const STEPS: [&str; 1] = [include_str!("upgrade/2.sql")];

/// The present version, as in `schema.sql`.
pub(crate) const VERSION: i64 = STEPS.len() as i64 + 1;

/// Takes the steps from `found` on, all in one transaction: a power cut leaves the old file or the new one.
pub(crate) fn run(connection: &mut Connection, path: &Path, found: i64) -> Result<(), SpoolError> {
    let failed = SpoolError::opening(path);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    // The other process may have been first.
    let taken = usize::try_from(recognize(&transaction, path)?.max(found) - 1).unwrap_or(0);
    for step in STEPS.iter().skip(taken) {
        transaction.execute_batch(step).map_err(&failed)?;
    }
    transaction.commit().map_err(failed)
}

/// A file of the first version, brought up to `version`.
#[cfg(test)]
pub(crate) fn up_to(connection: &mut Connection, path: &Path, version: i64) {
    assert_eq!(recognize(connection, path), Ok(1));
    for step in STEPS.iter().take(usize::try_from(version - 1).unwrap()) {
        connection.execute_batch(step).unwrap();
    }
}
