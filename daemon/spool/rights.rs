//! The rights file, beside the spool: the audit chain, contests, withdrawals. `rights.sql` tells what is kept and why.
//!
//! The tap, the uplink and the commands of an administrator each open it; SQLite lets one write at a time. Time is an argument.

pub(crate) mod audit;
mod contests;
mod egress;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::SpoolError;

pub use contests::{Contest, ContestError, ContestReason, Resolution, Withdrawal};
pub use egress::Egress;

const SCHEMA: &str = include_str!("rights.sql");

/// "sotr".
const APPLICATION: i64 = 0x736f_7472;
const VERSION: i64 = 1;

/// Several processes write; each waits for the others.
const PATIENCE: Duration = Duration::from_secs(5);

/// One process's connection to the rights file.
#[derive(Debug)]
pub struct Rights {
    pub(crate) connection: Connection,
}

impl Rights {
    /// Where it lies: beside the spool, under the spool's name.
    #[must_use]
    pub fn beside(spool: &Path) -> PathBuf {
        spool.with_extension("rights.db")
    }

    /// Opens it, or makes it.
    ///
    /// # Errors
    /// It is no rights file, of a newer version, damaged, or cannot be made.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        open(path, SCHEMA, APPLICATION, VERSION).map(|connection| Self { connection })
    }
}

/// Opens a file of ours that lies beside the spool, with the settings that the spool has, or makes it.
pub(crate) fn open(path: &Path, schema: &str, application: i64, version: i64) -> Result<Connection, SpoolError> {
    let failed = SpoolError::opening(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
    connection.busy_timeout(PATIENCE).map_err(&failed)?;
    let recognize = |connection: &Connection| {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(&failed);
        let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(&failed)?;
        match (pragma("application_id")?, pragma("user_version")?) {
            (found, known) if found == application && known == version => Ok(true),
            (found, newer) if found == application => Err(SpoolError::Newer { path: path.to_owned(), found: newer, known: version }),
            (0, 0) if objects == 0 => Ok(false),
            _ => Err(SpoolError::NotASpool { path: path.to_owned() }),
        }
    };
    // Whose it is comes first: another's file is not even given a setting.
    recognize(&connection)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(&failed)?;
    if mode != "wal" {
        return Err(SpoolError::Setting { pragma: "journal_mode = wal" });
    }
    for (name, value) in [("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)] {
        connection.pragma_update(None, name, value).map_err(&failed)?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    if !recognize(&transaction)? {
        transaction.execute_batch(schema).map_err(&failed)?;
    }
    transaction.commit().map_err(&failed)?;
    let result: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(&failed)?;
    if result == "ok" { Ok(connection) } else { Err(SpoolError::Damaged { path: path.to_owned() }) }
}
