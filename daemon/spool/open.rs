//! Opening: the file is ours, whole, of a version that is known, and set so that a commit survives a power cut.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::{Spool, SpoolError, View};

const SCHEMA: &str = include_str!("schema.sql");

/// "sott".
const APPLICATION: i64 = 0x736f_7474;

/// The schema's version, as in `schema.sql`.
const VERSION: i64 = 1;

/// 3.51.3, the first without the WAL-reset bug.
const LEAST_SQLITE: i32 = 3_051_003;

/// The tap and the uplink write at the same time; the one waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often an opening that SQLite refused as busy is tried again, and the pause before each: some five to ten seconds in all.
const TRIES: u32 = 250;
const BREATH: Duration = Duration::from_millis(20);

/// The log is cut back to this after a checkpoint, bytes.
const LOG_LIMIT: i64 = 32 << 20;

impl Spool {
    /// Opens the spool, or makes it. `entropy` becomes the epoch of a new file: draw it at random.
    ///
    /// # Errors
    /// The file is damaged, of another program or of a newer version: it is left as it is. Or its file system cannot hold it.
    pub fn open(path: &Path, entropy: u32) -> Result<Self, SpoolError> {
        let found = rusqlite::version_number();
        if found < LEAST_SQLITE {
            return Err(SpoolError::OldSqlite { found });
        }
        // While the other process turns a new file into one with a write-ahead log, SQLite may say "busy" without asking
        // the busy handler, so the wait is here.
        for _ in 0..TRIES {
            match Self::open_once(path, entropy) {
                Err(SpoolError::Busy { .. }) => std::thread::sleep(BREATH),
                opened => return opened,
            }
        }
        Self::open_once(path, entropy)
    }

    fn open_once(path: &Path, entropy: u32) -> Result<Self, SpoolError> {
        let failed = SpoolError::opening(path);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
        connection.busy_timeout(BREATH).map_err(&failed)?;
        // First of all, whose it is: another's file is not even given a setting. In one transaction, as the other process may be
        // making it at this moment.
        let is_new = !connection.unchecked_transaction().map_err(&failed).and_then(|reading| recognize(&reading, path))?;
        settle(&connection, path)?;
        if is_new {
            create(&mut connection, path, entropy)?;
        }
        check(&connection, path)?;
        connection.busy_timeout(PATIENCE).map_err(&failed)?;
        Ok(Self { view: View::new(connection).map_err(failed)? })
    }
}

impl View {
    /// Opens the spool to look at it, beside the processes that write.
    ///
    /// # Errors
    /// There is none, or none that this program knows.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let failed = SpoolError::opening(path);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
        connection.busy_timeout(PATIENCE).map_err(&failed)?;
        if !recognize(&connection, path)? {
            return Err(SpoolError::NotASpool { path: path.to_owned() });
        }
        Self::new(connection).map_err(failed)
    }
}

/// Whether the file is a spool; `false` where it is empty, and may become one.
fn recognize(connection: &Connection, path: &Path) -> Result<bool, SpoolError> {
    let failed = SpoolError::opening(path);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(&failed);
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application == APPLICATION {
        return if version > VERSION { Err(SpoolError::Newer { path: path.to_owned(), found: version, known: VERSION }) } else { Ok(true) };
    }
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(&failed)?;
    if application == 0 && version == 0 && objects == 0 { Ok(false) } else { Err(SpoolError::NotASpool { path: path.to_owned() }) }
}

/// Sets what each connection must set for itself, and reads back what durability rests on.
fn settle(connection: &Connection, path: &Path) -> Result<(), SpoolError> {
    let failed = SpoolError::opening(path);
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(&failed)?;
    if mode != "wal" {
        return Err(SpoolError::Setting { pragma: "journal_mode = wal" });
    }
    for (name, value, text) in [
        ("synchronous", 2, "synchronous = full"),
        ("foreign_keys", 1, "foreign_keys = on"),
        // What retention deleted is overwritten, not only unlinked.
        ("secure_delete", 1, "secure_delete = on"),
    ] {
        connection.pragma_update(None, name, value).map_err(&failed)?;
        let found: i64 = connection.pragma_query_value(None, name, |row| row.get(0)).map_err(&failed)?;
        if found != value {
            return Err(SpoolError::Setting { pragma: text });
        }
    }
    connection.pragma_update(None, "journal_size_limit", LOG_LIMIT).map_err(failed)
}

/// Makes the tables in one transaction, unless the other process was first.
fn create(connection: &mut Connection, path: &Path, entropy: u32) -> Result<(), SpoolError> {
    let failed = SpoolError::opening(path);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    if !recognize(&transaction, path)? {
        transaction.execute_batch(SCHEMA).map_err(&failed)?;
        transaction.execute("INSERT INTO spool (one, epoch) VALUES (1, ?1)", [entropy]).map_err(&failed)?;
    }
    transaction.commit().map_err(failed)
}

fn check(connection: &Connection, path: &Path) -> Result<(), SpoolError> {
    let result: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(SpoolError::opening(path))?;
    if result == "ok" { Ok(()) } else { Err(SpoolError::Damaged { path: path.to_owned() }) }
}
