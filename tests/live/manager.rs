//! The service manager's end of sd_notify(3).

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sotto_tests::process::{PATIENCE, wait_for};

/// Half of it is the period in which a service must say that it is alive.
pub(crate) const WATCHDOG_MICROS: u64 = 400_000;

pub(crate) struct Manager {
    path: PathBuf,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    /// Listens in a folder.
    pub(crate) fn start(folder: &Path) -> Self {
        let path = folder.join("notify");
        drop(std::fs::remove_file(&path));
        let socket = UnixDatagram::bind(&path).unwrap();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let written = Arc::clone(&heard);
        thread::spawn(move || {
            let mut message = [0; 4_096];
            while let Ok(length) = socket.recv(&mut message) {
                let lines = String::from_utf8_lossy(&message[..length]).lines().map(str::to_owned).collect::<Vec<_>>();
                written.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
            }
        });
        Self { path, heard }
    }

    /// What a unit with Type=notify and a watchdog gives its service.
    pub(crate) fn manage(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", WATCHDOG_MICROS.to_string());
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|heard| *heard == line).count()
    }

    pub(crate) fn wait(&self, line: &str, times: usize) {
        wait_for(line, PATIENCE, || (self.count(line) >= times).then_some(())).unwrap();
    }
}
