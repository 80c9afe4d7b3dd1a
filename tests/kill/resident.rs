//! An uplink in this process, on a thread of its own, whose every event is kept.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use sotto_spool::Spool;
use sotto_tests::Error;
use sotto_tests::process::{PATIENCE, wait_for};
use sotto_uplink::{Config, Event, UplinkError, run};
use tokio::sync::oneshot;

use crate::site::{Site, now_ms};

pub(crate) struct Resident {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), UplinkError>>>,
    events: Arc<Mutex<Vec<Event>>>,
    turns: Arc<Mutex<u64>>,
}

impl Resident {
    pub(crate) fn start(site: &Site, config: Config) -> Self {
        let spool = Spool::open(&site.spool_path(), 0).unwrap();
        let (stop, stopped) = oneshot::channel();
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let turns: Arc<Mutex<u64>> = Arc::default();
        let (kept, counted) = (Arc::clone(&events), Arc::clone(&turns));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let keep = move |event| kept.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            let progress = move || *counted.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            runtime.block_on(run(config, spool, now_ms, keep, progress, async move { drop(stopped.await) }))
        });
        Self { stop: Some(stop), thread: Some(thread), events, turns }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often its loop turned.
    pub(crate) fn turns(&self) -> u64 {
        *self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an event.
    pub(crate) fn wait(&self, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        wait_for(what, PATIENCE, || self.events().into_iter().find(&is_it))
            .map_err(|error| Error::new(format!("{error}; there were {:?}", self.events())))
            .unwrap()
    }

    /// Stops it cleanly, and returns all that it said.
    pub(crate) fn stop(mut self) -> Vec<Event> {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap().unwrap();
        self.events()
    }
}

/// Waits until no row waits for its acknowledgement.
pub(crate) fn wait_until_delivered(site: &Site) {
    wait_for("every row to be acknowledged", PATIENCE, || (site.backlog().waiting == 0).then_some(())).unwrap();
}
