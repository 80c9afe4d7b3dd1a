//! The threads that put speech into words, and the hall where turns wait for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use sotto_measure::schedule::{Load, Next, Options, Scheduler, Standing, Step, Ticket};
use sotto_measure::{Answer, Edition, Job, Recogniser};

use super::{IDLE, MOST_WORKERS, NewWords, Pace, TOGETHER, TURNS, TURNS_SECONDS, Vital};
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
    /// Each with the first of the terms that it serves; those before it serve older calls.
    recognisers: Mutex<Vec<(Edition, Recogniser)>>,
    /// How often they changed.
    changes: AtomicU64,
}

struct State {
    scheduler: Scheduler,
    load: Load,
    is_closed: bool,
}

impl Hall {
    pub(super) fn new(workers: usize, pace: Pace, recogniser: Option<Recogniser>) -> Self {
        let options = Options { workers, turns: TURNS, seconds: TURNS_SECONDS, together: TOGETHER, is_live: pace == Pace::Live };
        let state = State { scheduler: Scheduler::new(options), load: Load::default(), is_closed: false };
        let recognisers = Mutex::new(recogniser.map(|recogniser| (Edition::default(), recogniser)).into_iter().collect());
        Self { state: Mutex::new(state), changed: Condvar::new(), began: Instant::now(), is_manned: workers > 0, pace, recognisers, changes: AtomicU64::new(1) }
    }

    /// Turns of calls under these terms become words so.
    pub(super) fn renew(&self, edition: Edition, words: NewWords) {
        let mut recognisers = self.recognisers();
        match words {
            NewWords::None => {}
            NewWords::Readers(readers) => {
                if let Some((_, recogniser)) = recognisers.last() {
                    recogniser.agree(edition, readers);
                }
            }
            NewWords::Recogniser(recogniser) => {
                if let Some(readers) = recogniser.readers() {
                    recogniser.agree(edition, readers);
                }
                recognisers.push((edition, recogniser));
            }
        }
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// No call keeps to terms older than `oldest` any more: what served them goes.
    pub(super) fn forget(&self, oldest: Edition) {
        let mut recognisers = self.recognisers();
        let before = recognisers.len();
        while recognisers.get(1).is_some_and(|(first, _)| *first <= oldest) {
            recognisers.remove(0);
        }
        recognisers.iter().for_each(|(_, recogniser)| recogniser.forget(oldest));
        if recognisers.len() != before {
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// Those of a worker, where they changed since it last asked.
    fn refresh(&self, known: &mut u64, own: &mut Vec<(Edition, Recogniser)>) {
        let changes = self.changes.load(Ordering::Acquire);
        if std::mem::replace(known, changes) == changes {
            return;
        }
        // What a worker has keeps the room that it works in.
        let recognisers = self.recognisers();
        own.retain(|(first, _)| recognisers.iter().any(|(known, _)| known == first));
        for (first, recogniser) in recognisers.iter() {
            if !own.iter().any(|(known, _)| known == first) {
                own.push((*first, recogniser.clone()));
            }
        }
    }

    fn recognisers(&self) -> MutexGuard<'_, Vec<(Edition, Recogniser)>> {
        self.recognisers.lock().unwrap_or_else(PoisonError::into_inner)
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
pub(super) fn work(worker: usize, hall: &Hall, vital: &Vital, to_results: &SyncSender<Answer>) {
    super::name(c"sotto-words");
    if hall.pace == Pace::Live {
        step_back(worker);
    }
    let (mut known, mut recognisers) = (0, Vec::new());
    loop {
        vital.worker_turn(worker);
        hall.refresh(&mut known, &mut recognisers);
        let (jobs, ticket) = match hall.next() {
            Work::Batch(jobs, ticket) => (jobs, ticket),
            Work::Nothing => continue,
            Work::Over => return,
        };
        // Turns of calls that began after they were handed out came with what serves them.
        hall.refresh(&mut known, &mut recognisers);
        for answer in recognise(&mut recognisers, jobs) {
            if to_results.send(answer).is_err() {
                return;
            }
        }
        hall.finish(ticket);
    }
}

/// Each turn by what serves the terms of its call: nearly always one recogniser for all.
fn recognise(recognisers: &mut [(Edition, Recogniser)], mut jobs: Vec<Job>) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(jobs.len());
    for (first, recogniser) in recognisers.iter_mut().rev() {
        let (served, older): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.edition() >= *first);
        jobs = older;
        if served.is_empty() {
            continue;
        }
        let (heard, error) = recogniser.recognise(served);
        if let Some(error) = error {
            say(&Event::RecogniserFailed(&error));
        }
        answers.extend(heard);
    }
    answers.extend(jobs.into_iter().map(Job::shed));
    answers
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
