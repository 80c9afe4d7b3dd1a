//! Why the spool cannot be used, or refuses.

use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use sotto_report::CallId;

/// Something that the spool could not or would not do. It never quotes what a row holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolError {
    /// The SQLite that was linked has the WAL-reset bug (fixed in 3.51.3).
    OldSqlite {
        /// Its version as SQLite counts: 3051002 is 3.51.2.
        found: i32,
    },
    /// The file is there and is no database, or a damaged one of somebody else. It is left as it is.
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The spool is damaged or gone, and another process has it open: it cannot be salvaged before that one has ended.
    DamagedInUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of another program. It is left as it is.
    NotASpool {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of this program. It is left as it is.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema's version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The file is of an older version, and whoever only looks does not upgrade it.
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema's version.
        found: i64,
    },
    /// SQLite did not take a setting without which a power cut could lose rows.
    Setting {
        /// The pragma.
        pragma: &'static str,
    },
    /// The file cannot be opened.
    Unopened {
        /// The file.
        path: PathBuf,
        /// SQLite's extended result code.
        code: i32,
    },
    /// The disk is full: nothing of this was kept, and nothing was acknowledged.
    Full {
        /// What was being done.
        doing: &'static str,
    },
    /// Another process held the file for longer than five seconds.
    Busy {
        /// What was being done.
        doing: &'static str,
    },
    /// SQLite failed in another way: nothing of this was kept.
    Database {
        /// What was being done.
        doing: &'static str,
        /// SQLite's extended result code.
        code: i32,
    },
    /// The call is not open: it was closed before, or never began.
    NotOpen {
        /// The call.
        call: CallId,
    },
    /// The call is of another spool.
    OtherEpoch {
        /// The call.
        call: CallId,
    },
    /// A closing that contradicts itself: the outcome is `open`, or the score is of another call or outcome, or it is longer than a row may be.
    Contradiction {
        /// The call.
        call: CallId,
    },
}

impl SpoolError {
    /// What SQLite said while `doing` something.
    pub(crate) fn of(doing: &'static str) -> impl Fn(rusqlite::Error) -> Self {
        move |error| {
            let code = error.sqlite_error().map_or(0, |error| error.extended_code);
            match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => Self::Full { doing },
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { doing },
                _ => Self::Database { doing, code },
            }
        }
    }

    /// What SQLite said while a file was opened.
    pub(crate) fn opening(path: &Path) -> impl Fn(rusqlite::Error) -> Self + '_ {
        move |error| {
            let code = error.sqlite_error().map_or(0, |error| error.extended_code);
            match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { path: path.to_owned() },
                Some(ErrorCode::DiskFull) => Self::Full { doing: "opening the spool" },
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { doing: "opening the spool" },
                _ => Self::Unopened { path: path.to_owned(), code },
            }
        }
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OldSqlite { found } => write!(formatter, "SQLite {found} can lose rows when its log is reset; 3051003 or newer is needed"),
            Self::Damaged { path } => write!(formatter, "{}: no database, and no spool that was damaged; move it away to begin a new one", path.display()),
            Self::DamagedInUse { path } => write!(formatter, "{}: damaged, and it cannot be salvaged while another process has it open", path.display()),
            Self::Older { path, found } => write!(formatter, "{}: schema version {found}; the tap or the uplink upgrades it at its next start", path.display()),
            Self::NotASpool { path } => write!(formatter, "{}: a database of another program", path.display()),
            Self::Newer { path, found, known } => {
                write!(formatter, "{}: schema version {found}, and this program knows {known} at most; use the newer program", path.display())
            }
            Self::Setting { pragma } => write!(formatter, "the spool's file system does not allow `{pragma}`; it needs a local disk"),
            Self::Unopened { path, code } => write!(formatter, "{}: cannot be opened: {}", path.display(), rusqlite::ffi::code_to_str(*code)),
            Self::Full { doing } => write!(formatter, "{doing}: the disk is full"),
            Self::Busy { doing } => write!(formatter, "{doing}: another process holds the spool"),
            Self::Database { doing, code } => write!(formatter, "{doing}: {} (SQLite {code})", rusqlite::ffi::code_to_str(*code)),
            Self::NotOpen { call } => write!(formatter, "call {call} is not open"),
            Self::OtherEpoch { call } => write!(formatter, "call {call} is of another spool"),
            Self::Contradiction { call } => write!(formatter, "the closing of call {call} contradicts itself"),
        }
    }
}

impl std::error::Error for SpoolError {}
