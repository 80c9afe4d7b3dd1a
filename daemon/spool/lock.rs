//! Who has the spool open. SQLite's own locks guard what it does; this one guards the exchange of the whole file, which SQLite cannot
//! know of: a file that is moved away under an open connection takes the other process's commits along.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::SpoolError;

/// How often a lock that others hold is tried again, and the pause before each: some ten seconds in all, which a process that met the
/// same damage takes to end.
const TRIES: u32 = 200;
const BREATH: Duration = Duration::from_millis(50);

/// A share in the file, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes a share in the spool at `path`.
    pub(crate) fn share(path: &Path) -> Result<Self, SpoolError> {
        let failed = |_| SpoolError::Unopened { path: path.to_owned(), code: rusqlite::ffi::SQLITE_CANTOPEN };
        let name = beside(path, "-lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(name).map_err(failed)?;
        let lock = Self { file, path: path.to_owned() };
        lock.try_patiently(File::try_lock_shared)?;
        Ok(lock)
    }

    /// Does something while nobody else has the spool open, and keeps a share afterwards.
    pub(crate) fn alone<T>(&mut self, act: impl FnOnce() -> Result<T, SpoolError>) -> Result<T, SpoolError> {
        // Two that share and both want to be alone would wait for each other.
        drop(self.file.unlock());
        self.try_patiently(File::try_lock)?;
        let done = act();
        drop(self.file.unlock());
        self.try_patiently(File::try_lock_shared)?;
        done
    }

    fn try_patiently(&self, lock: impl Fn(&File) -> Result<(), TryLockError>) -> Result<(), SpoolError> {
        for _ in 0..TRIES {
            match lock(&self.file) {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => std::thread::sleep(BREATH),
                // A file system without locks is none for SQLite either.
                Err(TryLockError::Error(_)) => return Err(SpoolError::Setting { pragma: "flock" }),
            }
        }
        Err(SpoolError::DamagedInUse { path: self.path.clone() })
    }
}

/// The file beside the spool with this ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
