//! Keeps every file that is ever made in a folder, with its last content, whatever becomes of it: databases, their logs, scratch.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(crate) struct Keeper {
    kept: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Watches a folder, and links what appears there into another one of the same file system.
    pub(crate) fn start(watched: &Path, kept: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, from, to) = (Arc::clone(&stop), watched.to_owned(), kept.to_owned());
        let thread = thread::spawn(move || {
            let mut seen = HashSet::new();
            loop {
                let is_last = asked.load(Ordering::Relaxed);
                look(&from, &to, &mut seen);
                if is_last {
                    return;
                }
                thread::sleep(Duration::from_millis(2));
            }
        });
        Self { kept: kept.to_owned(), stop, thread: Some(thread) }
    }

    /// Every file that there was, by its name, with what it held in the end.
    pub(crate) fn finish(mut self) -> Vec<(String, Vec<u8>)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        let files = fs::read_dir(&self.kept).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())).collect()
    }
}

/// A second link to a file outlives the first: SQLite deletes its log when the last connection closes, `replay` its whole scratch.
fn look(folder: &Path, kept: &Path, seen: &mut HashSet<u64>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            look(&entry.path(), kept, seen);
        } else if metadata.is_file() && !seen.contains(&metadata.ino()) {
            let name = format!("{}.{}", entry.file_name().to_string_lossy(), metadata.ino());
            if fs::hard_link(entry.path(), kept.join(name)).is_ok() {
                seen.insert(metadata.ino());
            }
        }
    }
}
