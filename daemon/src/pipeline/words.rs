//! The threads that put speech into words, and the hall where turns wait for them.

use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use sotto_measure::schedule::{Load, Next, Options, Scheduler, Standing, Step, Ticket};
use sotto_measure::{Answer, Job, Recogniser};

use super::{IDLE, MOST_WORKERS, Pace, TOGETHER, TURNS, TURNS_SECONDS, Vital};
use crate::events::{Event, say};

/// How much hearing goes before recognising, where both want one core (as `nice` counts): a packet that is not read in time is lost.
const NICE: i32 = 10;

/// Where turns wait.
pub(super) struct Hall {
    state: Mutex<State>,
    /// A turn came, a batch is done, or it is over.
    changed: Condvar,
    began: Instant,
    is_manned: bool,
    pace: Pace,
}

struct State {
    scheduler: Scheduler,
    load: Load,
    is_closed: bool,
}

impl Hall {
    pub(super) fn new(workers: usize, pace: Pace) -> Self {
        let options = Options { workers, turns: TURNS, seconds: TURNS_SECONDS, together: TOGETHER, is_live: pace == Pace::Live };
        let state = State { scheduler: Scheduler::new(options), load: Load::default(), is_closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), began: Instant::now(), is_manned: workers > 0, pace }
    }

    /// The answer of the turn that there is no room for, if there is one.
    pub(super) fn submit(&self, job: Job) -> Option<Answer> {
        if !self.is_manned {
            return Some(job.shed());
        }
        let left_out = self.lock().scheduler.submit(job, self.began.elapsed());
        self.changed.notify_one();
        left_out
    }

    pub(super) fn has_room(&self) -> bool {
        self.lock().scheduler.has_room()
    }

    pub(super) fn look(&self, load: Load) -> Option<Step> {
        let mut state = self.lock();
        state.load = load;
        state.scheduler.look(self.began.elapsed(), &load)
    }

    /// The words of a turn were counted, so many microseconds after it had ended.
    pub(super) fn counted(&self, micros: i64) {
        let waited = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        self.lock().scheduler.counted(waited, self.began.elapsed());
    }

    pub(super) fn standing(&self) -> Standing {
        self.lock().scheduler.standing(self.began.elapsed())
    }

    /// Nobody waits for words any more.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// What a worker is to do; nothing, from time to time, where there is nothing.
    fn next(&self) -> Work {
        let mut state = self.lock();
        if state.is_closed {
            return Work::Over;
        }
        let load = state.load;
        let wait = match state.scheduler.next_batch(self.began.elapsed(), &load) {
            Next::Batch(jobs, ticket) => return Work::Batch(jobs, ticket),
            Next::Later(after) => after.min(IDLE),
            Next::Nothing => IDLE,
        };
        drop(self.changed.wait_timeout(state, wait));
        Work::Nothing
    }

    fn finish(&self, ticket: Ticket) {
        self.lock().scheduler.finish(ticket, self.began.elapsed());
        self.changed.notify_all();
    }

    /// A thread that panicked is told by whoever waits for it; the turns of the others are as they were.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Work {
    Batch(Vec<Job>, Ticket),
    Nothing,
    Over,
}

/// One for each core that this process may use, by its affinity and its control group.
pub(super) fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_WORKERS))
}

/// Puts turns into words until hearing hangs up.
pub(super) fn work(worker: usize, mut recogniser: Recogniser, hall: &Hall, vital: &Vital, to_results: &SyncSender<Answer>) {
    super::name(c"sotto-words");
    if hall.pace == Pace::Live {
        step_back(worker);
    }
    loop {
        vital.worker_turn(worker);
        let (jobs, ticket) = match hall.next() {
            Work::Batch(jobs, ticket) => (jobs, ticket),
            Work::Nothing => continue,
            Work::Over => return,
        };
        let (answers, error) = recogniser.recognise(jobs);
        if let Some(error) = error {
            say(&Event::RecogniserFailed(&error));
        }
        for answer in answers {
            if to_results.send(answer).is_err() {
                return;
            }
        }
        hall.finish(ticket);
    }
}

/// Keeps a worker on a core of its own, where there is one for each, and behind hearing. Where the system refuses, it works all the same.
fn step_back(worker: usize) {
    // 0 names the thread that asks.
    let _ = setpriority_process(None, NICE);
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    // A control group may grant the time of fewer cores than may be used: which, it leaves open.
    if cores.len() == workers() {
        let mut own = CpuSet::new();
        own.set(cores[worker % cores.len()]);
        let _ = sched_setaffinity(None, &own);
    }
}
