//! Opening: the file is ours, whole, of the present version, and set so that a commit survives a power cut.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use crate::lock::Lock;
use crate::mark::Mark;
use crate::room::Room;
use crate::salvage::{self, Found};
use crate::{Spool, SpoolError, View, upgrade};

const SCHEMA: &str = include_str!("schema.sql");

/// "sott".
pub(crate) const APPLICATION: i64 = 0x736f_7474;

/// 3.51.3, the first without the WAL-reset bug.
const LEAST_SQLITE: i32 = 3_051_003;

/// The tap and the uplink write at the same time; the one waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often an opening that SQLite refused as busy is tried again, and the pause before each: some five to ten seconds in all.
const TRIES: u32 = 250;
const BREATH: Duration = Duration::from_millis(20);

/// The log is cut back to this after a checkpoint, bytes.
const LOG_LIMIT: i64 = 32 << 20;

/// What a process that begins calls says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hearer {
    /// Fingerprint of the machine: on another one than before, calls are counted under a new epoch. Never 0.
    pub machine: i64,
    /// The most that the file may take, bytes.
    pub quota_bytes: u64,
}

impl Spool {
    /// Opens the spool, or makes it, for a process that sends or looks after it. `entropy` becomes the epoch of a new file, or of one
    /// that had to be made anew because the disk had damaged it: draw it at random. What could be read of a damaged one is in the new
    /// one then, what could not is told as lost, and [`Spool::salvaged`] says so.
    ///
    /// # Errors
    /// The file is of another program or of a newer version: it is left as it is. It is damaged, and another process has it open.
    /// Or its file system cannot hold it.
    pub fn open(path: &Path, entropy: u32) -> Result<Self, SpoolError> {
        Self::open_as(path, entropy, None)
    }

    /// The same for a process that begins calls: the epoch is bound to its machine, and the file keeps within a quota.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_to_hear(path: &Path, entropy: u32, hearer: Hearer) -> Result<Self, SpoolError> {
        Self::open_as(path, entropy, Some(hearer))
    }

    fn open_as(path: &Path, entropy: u32, hearer: Option<Hearer>) -> Result<Self, SpoolError> {
        let found = rusqlite::version_number();
        if found < LEAST_SQLITE {
            return Err(SpoolError::OldSqlite { found });
        }
        let mut lock = Lock::share(path)?;
        let mut salvaged = None;
        if salvage::is_due(path)? {
            salvaged = Some(lock.alone(|| salvage::run(path, entropy))?);
        }
        let opened = match Self::open_patiently(path, entropy, hearer) {
            Err(SpoolError::Damaged { .. }) if salvage::is_ours(path) => {
                salvaged = Some(lock.alone(|| salvage::run_if_damaged(path, entropy))?);
                Self::open_patiently(path, entropy, hearer)
            }
            opened => opened,
        };
        let spool = opened?;
        Ok(Self { salvaged: salvaged.flatten(), _lock: Some(lock), ..spool })
    }

    /// What had to be salvaged when this was opened; `None` where the file was whole.
    #[must_use]
    pub const fn salvaged(&self) -> Option<Found> {
        self.salvaged
    }

    fn open_patiently(path: &Path, entropy: u32, hearer: Option<Hearer>) -> Result<Self, SpoolError> {
        // While the other process turns a new file into one with a write-ahead log, SQLite may say "busy" without asking
        // the busy handler, so the wait is here.
        for _ in 0..TRIES {
            match Self::open_once(path, entropy, hearer) {
                Err(SpoolError::Busy { .. }) => std::thread::sleep(BREATH),
                opened => return opened,
            }
        }
        Self::open_once(path, entropy, hearer)
    }

    fn open_once(path: &Path, entropy: u32, hearer: Option<Hearer>) -> Result<Self, SpoolError> {
        let failed = SpoolError::opening(path);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
        connection.busy_timeout(BREATH).map_err(&failed)?;
        // First of all, whose it is: another's file is not even given a setting. In one transaction, as the other process may be
        // making it at this moment.
        let version = connection.unchecked_transaction().map_err(&failed).and_then(|reading| recognize(&reading, path))?;
        settle(&connection, path)?;
        if version == 0 {
            create(&mut connection, path, entropy)?;
        } else if version < upgrade::VERSION {
            // What is damaged is not built upon.
            check(&connection, path)?;
            upgrade::run(&mut connection, path, version)?;
        }
        check(&connection, path)?;
        connection.busy_timeout(PATIENCE).map_err(&failed)?;
        let mut epoch = crate::view::epoch(&connection).map_err(&failed)?;
        let mut mark = None;
        let mut room = Room::default();
        if let Some(hearer) = hearer {
            epoch = claim(&mut connection, path, entropy, hearer.machine)?;
            let (seq, row) = highest(&connection).map_err(&failed)?;
            mark = Some(Mark::extend(path, epoch, seq, row)?);
            room = Room::new(path, &connection, hearer.quota_bytes).map_err(&failed)?;
        }
        Ok(Self { view: View { connection }, epoch, mark, room, salvaged: None, folded_hour: None, _lock: None })
    }
}

impl View {
    /// Opens the spool to look at it, beside the processes that write.
    ///
    /// # Errors
    /// There is none, or none that this program knows, or one that a program of today has not opened yet.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let failed = SpoolError::opening(path);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
        connection.busy_timeout(PATIENCE).map_err(&failed)?;
        match recognize(&connection, path)? {
            0 => Err(SpoolError::NotASpool { path: path.to_owned() }),
            found if found < upgrade::VERSION => Err(SpoolError::Older { path: path.to_owned(), found }),
            _ => Ok(Self { connection }),
        }
    }
}

/// The version of a spool; 0 where the file is empty, and may become one.
pub(crate) fn recognize(connection: &Connection, path: &Path) -> Result<i64, SpoolError> {
    let failed = SpoolError::opening(path);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(&failed);
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application == APPLICATION && version > 0 {
        let known = upgrade::VERSION;
        return if version > known { Err(SpoolError::Newer { path: path.to_owned(), found: version, known }) } else { Ok(version) };
    }
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(&failed)?;
    if application == 0 && version == 0 && objects == 0 { Ok(0) } else { Err(SpoolError::NotASpool { path: path.to_owned() }) }
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
    if recognize(&transaction, path)? == 0 {
        fill(&transaction, entropy).map_err(&failed)?;
    }
    transaction.commit().map_err(failed)
}

/// The tables, and what each new file begins with.
pub(crate) fn fill(connection: &Connection, entropy: u32) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    connection.execute("INSERT INTO spool (one) VALUES (1)", [])?;
    connection.execute("INSERT INTO epoch (first_seq, epoch) VALUES (1, ?1)", [entropy])?;
    Ok(())
}

fn check(connection: &Connection, path: &Path) -> Result<(), SpoolError> {
    let result: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(SpoolError::opening(path))?;
    if result == "ok" {
        Ok(())
    } else if result.contains("error code=") && !result.contains("error code=11") {
        // A page could not be read, which is not the same as a page that was read and is wrong (SQLITE_CORRUPT, 11): the disk may answer
        // again, and nothing is taken apart before it does.
        Err(SpoolError::Unopened { path: path.to_owned(), code: rusqlite::ffi::SQLITE_IOERR })
    } else {
        Err(SpoolError::Damaged { path: path.to_owned() })
    }
}

/// Whether the file is whole, as far as can be read now.
pub(crate) fn is_whole(path: &Path) -> Result<bool, SpoolError> {
    let opened = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(SpoolError::opening(path));
    match opened.and_then(|connection| check(&connection, path)) {
        Ok(()) => Ok(true),
        Err(SpoolError::Damaged { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Binds the epoch to this machine, or begins one where it is bound to another. Returns the epoch that counts from now on.
fn claim(connection: &mut Connection, path: &Path, entropy: u32, machine: i64) -> Result<u32, SpoolError> {
    let failed = SpoolError::opening(path);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    let latest = "SELECT first_seq, epoch, machine FROM epoch ORDER BY first_seq DESC LIMIT 1";
    let (first_seq, mut epoch, bound): (i64, u32, i64) =
        transaction.query_row(latest, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(&failed)?;
    if bound == 0 {
        transaction.execute("UPDATE epoch SET machine = ?2 WHERE first_seq = ?1", params![first_seq, machine]).map_err(&failed)?;
    } else if bound != machine {
        // The very same number would be no new epoch.
        epoch = if epoch == entropy { entropy ^ 1 } else { entropy };
        let (seq, _) = highest(&transaction).map_err(&failed)?;
        transaction.execute("INSERT OR REPLACE INTO epoch (first_seq, epoch, machine) VALUES (?1, ?2, ?3)", params![seq + 1, epoch, machine]).map_err(&failed)?;
    }
    transaction.commit().map_err(failed)?;
    Ok(epoch)
}

/// The highest numbers that were ever given to a call and to a row.
pub(crate) fn highest(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let of = |table| connection.query_row("SELECT seq FROM sqlite_sequence WHERE name = ?1", [table], |row| row.get(0)).optional();
    Ok((of("call")?.unwrap_or(0), of("outbox")?.unwrap_or(0)))
}
