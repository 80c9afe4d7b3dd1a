//! A disk that fails: a file system below SQLite that passes everything on to the real one, but for the one operation that is told to fail. It
//! becomes the default of this process, so that what opens files through SQLite need not know of it.
//!
//! And a small one that fills.

#![expect(unsafe_code, reason = "SQLite's file systems are structures of C functions")]

use std::ffi::{c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, Once, PoisonError};

use rusqlite::ffi;
use tempfile::TempDir;

use crate::Error;
use crate::process::run;

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This operation alone, as of a bad sector or a cable that was loose.
    Once,
    /// This one and all that follow, as of a disk that is gone.
    ForGood,
    /// Whatever takes room, from this operation on.
    Full,
}

#[derive(Debug)]
struct State {
    operations: u64,
    fails_at: Option<(u64, Fault)>,
    failed: u64,
}

static STATE: Mutex<State> = Mutex::new(State { operations: 0, fails_at: None, failed: 0 });

/// Puts the failing file system below SQLite, for this whole process. It fails nothing before [`arm`].
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the default file system lives as long as the process. Ours is a copy of it with other functions, is leaked, and so lives
        // as long; SQLite asks for nothing else (https://www.sqlite.org/c3ref/vfs_find.html).
        unsafe {
            let real = ffi::sqlite3_vfs_find(std::ptr::null());
            let mut shim = Box::new(*real);
            shim.szOsFile += size_of::<File>() as c_int;
            shim.pNext = std::ptr::null_mut();
            shim.zName = c"fault".as_ptr();
            shim.pAppData = real.cast();
            shim.xOpen = Some(open);
            shim.xDelete = Some(delete);
            ffi::sqlite3_vfs_register(Box::into_raw(shim), 1);
        }
    });
}

/// From now on operations are counted anew, and the `nth`, from 1, fails.
pub fn arm(nth: u64, fault: Fault) {
    *state() = State { operations: 0, fails_at: Some((nth, fault)), failed: 0 };
}

/// Nothing fails any more. Returns how many operations there were since [`arm`], and how many of them failed.
pub fn disarm() -> (u64, u64) {
    let mut state = state();
    state.fails_at = None;
    (state.operations, state.failed)
}

/// A file system in memory of its own small size. It ends with the value.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many MiB; `None` where this may not be done, as by anyone but root.
    ///
    /// # Errors
    /// `mount` cannot be run.
    pub fn mount(mib: u32) -> Result<Option<Self>, Error> {
        let folder = tempfile::tempdir().map_err(|source| Error::new(format!("temporary folder: {source}")))?;
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "sotto-small"]).arg(folder.path()))?;
        Ok(mounted.status.success().then_some(Self { folder }))
    }

    /// A path on it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Fills it with a file to the last byte.
    ///
    /// # Errors
    /// The file cannot be made at all.
    pub fn fill(&self) -> Result<(), Error> {
        use std::io::Write as _;
        let path = self.path("filler");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).map_err(|source| Error::file(&path, &source))?;
        for size in [1 << 20, 4_096, 1] {
            let piece = vec![0x5a; size];
            while file.write_all(&piece).is_ok() {}
        }
        Ok(())
    }

    /// Takes that file away.
    pub fn free(&self) {
        drop(std::fs::remove_file(self.path("filler")));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path: &Path = self.folder.path();
        drop(run(Command::new("umount").arg("-l").arg(path)));
    }
}

fn state() -> std::sync::MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts an operation: the code that it fails with, if it does. `full` is what a full disk would say, 0 where it takes no room.
fn fails(code: c_int, full: c_int) -> Option<c_int> {
    let mut state = state();
    state.operations += 1;
    let (nth, fault) = state.fails_at?;
    let code = match fault {
        Fault::Once => (state.operations == nth).then_some(code),
        Fault::ForGood => (state.operations >= nth).then_some(code),
        Fault::Full => (state.operations >= nth && full != 0).then_some(full),
    };
    state.failed += u64::from(code.is_some());
    code
}

/// An open file of ours; the real one's structure follows it directly in memory.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
}

/// The real file behind ours.
///
/// # Safety
/// `file` was opened by [`open`].
unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: `install` asked SQLite for so much more room behind each file (szOsFile), and `open` put the real one there.
    unsafe { file.cast::<File>().add(1).cast() }
}

/// The file system that was the default before.
///
/// # Safety
/// `vfs` is ours.
unsafe fn below(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: `install` put it there.
    unsafe { (*vfs).pAppData.cast() }
}

unsafe extern "C" fn open(vfs: *mut ffi::sqlite3_vfs, name: ffi::sqlite3_filename, file: *mut ffi::sqlite3_file, flags: c_int, out: *mut c_int) -> c_int {
    // SAFETY: SQLite gives a block of szOsFile bytes for the file. Where xOpen fails, pMethods must be null, so that xClose is not called.
    unsafe {
        (*file).pMethods = std::ptr::null();
        if let Some(code) = fails(ffi::SQLITE_CANTOPEN, 0) {
            return code;
        }
        let vfs = below(vfs);
        let code = (*vfs).xOpen.map_or(ffi::SQLITE_ERROR, |open| open(vfs, name, real(file), flags, out));
        if code == ffi::SQLITE_OK {
            (*file).pMethods = &raw const METHODS;
        }
        code
    }
}

// SAFETY: SQLite alone calls it, with the pointers that its documentation promises.
unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    if let Some(code) = fails(ffi::SQLITE_IOERR_DELETE, 0) {
        return code;
    }
    // SAFETY: passed on as it came, to the file system that it was meant for.
    unsafe {
        let vfs = below(vfs);
        (*vfs).xDelete.map_or(ffi::SQLITE_ERROR, |delete| delete(vfs, name, sync))
    }
}

/// Passes a call on to the real file, unless it is its turn to fail.
macro_rules! passed_on {
    ($($name:ident $method:ident ($($argument:ident: $type:ty),*) fails $code:expr, full $full:expr;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file, $($argument: $type),*) -> c_int {
            if $code != 0 && let Some(code) = fails($code, $full) {
                return code;
            }
            // SAFETY: passed on as it came, to the real file, whose methods are those of the file system that opened it.
            unsafe {
                let file = real(file);
                (*(*file).pMethods).$method.map_or(ffi::SQLITE_ERROR, |method| method(file, $($argument),*))
            }
        }
    )*};
}

passed_on! {
    close xClose() fails 0, full 0;
    read xRead(to: *mut c_void, bytes: c_int, at: i64) fails ffi::SQLITE_IOERR_READ, full 0;
    write xWrite(from: *const c_void, bytes: c_int, at: i64) fails ffi::SQLITE_IOERR_WRITE, full ffi::SQLITE_FULL;
    truncate xTruncate(bytes: i64) fails ffi::SQLITE_IOERR_TRUNCATE, full 0;
    sync xSync(flags: c_int) fails ffi::SQLITE_IOERR_FSYNC, full 0;
    file_size xFileSize(bytes: *mut i64) fails ffi::SQLITE_IOERR_FSTAT, full 0;
    lock xLock(level: c_int) fails ffi::SQLITE_IOERR_LOCK, full 0;
    unlock xUnlock(level: c_int) fails 0, full 0;
    check_reserved_lock xCheckReservedLock(out: *mut c_int) fails 0, full 0;
    file_control xFileControl(operation: c_int, argument: *mut c_void) fails 0, full 0;
    sector_size xSectorSize() fails 0, full 0;
    device_characteristics xDeviceCharacteristics() fails 0, full 0;
    shm_map xShmMap(page: c_int, bytes: c_int, extend: c_int, out: *mut *mut c_void) fails ffi::SQLITE_IOERR_SHMMAP, full 0;
    shm_lock xShmLock(offset: c_int, n: c_int, flags: c_int) fails 0, full 0;
    shm_unmap xShmUnmap(delete: c_int) fails 0, full 0;
}

// SAFETY: SQLite alone calls it, with a file that `open` above made.
unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: as in `passed_on`.
    unsafe {
        let file = real(file);
        if let Some(barrier) = (*(*file).pMethods).xShmBarrier {
            barrier(file);
        }
    }
}

/// Version 2 of the structure: with shared memory, which a write-ahead log needs, and without memory-mapped pages, which the spool never asks for.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operation_that_is_named_fails_and_the_others_do_not() {
        install();
        let folder = tempfile::tempdir().unwrap();
        let work = |name: &str| {
            let connection = rusqlite::Connection::open(folder.path().join(name))?;
            connection.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
        };
        arm(u64::MAX, Fault::Once);
        work("whole").unwrap();
        let (operations, failed) = disarm();
        assert!(operations > 10 && failed == 0, "{operations} {failed}");
        let mut refused = 0;
        for nth in 1..=operations {
            arm(nth, Fault::ForGood);
            refused += u64::from(work(&format!("{nth}")).is_err());
            assert!(disarm().1 > 0, "operation {nth}");
        }
        assert!(refused + 4 > operations, "closing may fail without a word: {refused} of {operations}");
        arm(1, Fault::Full);
        assert!(work("full").is_err());
        disarm();
        work("again").unwrap();
    }

    #[test]
    fn a_small_disk_fills_and_frees() {
        let Some(disk) = SmallDisk::mount(1).unwrap() else {
            return crate::process::skip("no file system may be mounted here");
        };
        disk.fill().unwrap();
        assert!(std::fs::write(disk.path("more"), [0; 8_192]).is_err());
        disk.free();
        std::fs::write(disk.path("more"), [0; 8_192]).unwrap();
    }
}
