//! Every thread, channel and capacity of the hearing side, in flow order. Only this file and those below it read a clock.
//!
//! ```text
//!  capture ──batches──▶ hear (dialog, measure) ──opened, findings, gauges──▶ keep (redact, spool)
//!                        │  ▲
//!                   turns▼  │words
//!                       words (a recogniser for each core)
//! ```
//!
//! Against the stream flows one thing: a recording server's answers, from hear to the sockets of its clients.
//!
//! Nothing waits on a stage behind it without a bound. Live, hearing waits for nobody: what there is no time for is left out step by step,
//! as `sotto_measure::schedule` says; in replay, hearing waits for room among the turns, so that a file gives the same scores on any machine,
//! and takes back words while it waits. So no circle of waiting can close.

mod count;
mod keep;
mod words;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sotto_capture::{CaptureError, Captured, Next, Outlet, Progress, Source, Wall};
use sotto_charter::{Charter, Register, Site, day_of};
use sotto_dialog::{ConsentHeader, Dialogs, EndCause, Errand, IsAgent, Keys, Limits, ServerOptions};
use sotto_measure::schedule::{Load, Standing, Step};
use sotto_measure::{Answer, Depth, Job, Level, Measure, Output, Readers, Recogniser};
use sotto_models::vad::Vad;
use sotto_report::messages::Gauges;
use sotto_report::Fingerprint;
use sotto_spool::{Act, Doing, People, Rights, Spool, SpoolError, Timekeeper};

use crate::events::{Event, say};
use crate::pressure::Pressure;
pub(crate) use count::{Until, count};
use keep::{Keeping, keep};
use words::Hall;
use crate::timeline::Timeline;

/// Batches between capture and hearing: at 256 packets each, about 0.16 s of 2,000 calls.
const BATCHES: usize = 64;
/// Packets in a batch at most.
const BATCH: usize = 256;
/// Packets that hearing looks ahead at: what they need fits into a small cache together, and the allocator keeps the memory of seven at hand.
const AHEAD: usize = 7;
/// A batch is handed on after this, full or not.
const BATCH_AGE: Duration = Duration::from_millis(20);
/// Turns that wait for the recognisers; live, the next one is shed.
const TURNS: usize = 512;
/// Seconds of sound in them: 16 MB.
const TURNS_SECONDS: f32 = 1_000.0;
/// Turns, of whatever calls, that are recognised together at most: eight cost the decoder little more than one.
const TOGETHER: usize = 8;
/// Threads that recognise at most.
const MOST_WORKERS: usize = 16;
/// How often the load is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the kernel's memory pressure is.
const PRESSURE_EVERY: Duration = Duration::from_secs(1);
/// Openings and findings that wait for the disk.
const KEPT: usize = 1_024;
/// Calls that are over whose ids are remembered, for those that continue them.
const REMEMBERED: usize = 16_384;
/// Commits are grouped over this much.
const GROUP: usize = 64;
/// Openings and findings that a full disk did not take, and that are tried again; beyond, a call is counted as refused.
const LATE: usize = 4_096;
/// How often the tap writes its gauges.
const GAUGES_EVERY: Duration = Duration::from_secs(10);
/// How often the tap looks whether an agent has paused, objected or acknowledged.
const AGENTS_EVERY: Duration = Duration::from_millis(500);
/// How often the record, contests and whose calls were whose are looked through for what is too old.
const EXPIRE_EVERY: Duration = Duration::from_secs(3_600);
/// How long a stage sleeps when it has nothing to do; it says that it is alive as often.
const IDLE: Duration = Duration::from_millis(100);
/// How long calls that were cut off by a stop may still wait for their words.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What hearing needs.
pub(crate) struct Hearing {
    pub(crate) charter: Arc<Charter>,
    pub(crate) site: Arc<Site>,
    pub(crate) vad: Option<Vad>,
    pub(crate) recogniser: Option<Recogniser>,
    pub(crate) models: Option<Fingerprint>,
    pub(crate) recording: Option<Recording>,
    pub(crate) pace: Pace,
    pub(crate) vital: Arc<Vital>,
    /// Draws the spot checks; nobody can guess it.
    pub(crate) seed: u64,
    /// What the box does goes on record there.
    pub(crate) rights: Rights,
    /// Whose call is which; `None` where nothing is to be kept of that.
    pub(crate) people: Option<People>,
    /// How agents stand at the beginning.
    pub(crate) register: Register,
}

/// What a recording server has beside a listener: how it behaves, and its way back to the clients.
pub(crate) struct Recording {
    pub(crate) options: ServerOptions,
    pub(crate) outlet: Outlet,
}

/// What is agreed anew: for calls that begin from now on.
pub(crate) struct Renewal {
    pub(crate) charter: Arc<Charter>,
    pub(crate) site: Arc<Site>,
    /// Fingerprint of the site's names.
    pub(crate) names: i64,
    /// The whole pack's; with it, what of it is needed and was not there or was another's.
    pub(crate) models: Option<Fingerprint>,
    pub(crate) vad: Option<Vad>,
    pub(crate) words: NewWords,
    /// How agents stand under the charter.
    pub(crate) register: Register,
}

/// What puts speech into words from now on.
pub(crate) enum NewWords {
    /// Nothing: the charter asks for none.
    None,
    /// The recogniser that is there; its words are read by these.
    Readers(Readers),
    /// Another.
    Recogniser(Recogniser),
}

/// What calls are kept by.
struct Agreed {
    charter: Arc<Charter>,
    models: Option<Fingerprint>,
    names: i64,
}

impl Agreed {
    /// What goes on record when it comes into force.
    fn doing(&self) -> Doing {
        Doing::of(Act::Began { charter: self.charter.fingerprint(), models: self.models.map_or(0, |models| models.0) })
    }
}

/// How agents stand, under the charter of this fingerprint.
type Standings = (u64, Arc<Register>);

/// Live or from files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The world does not wait: what cannot be done in time is shed.
    Live,
    /// Files wait.
    Replay,
}

/// What other threads may know of a running pipeline: whether it should stop, and whether every stage still turns.
#[derive(Default)]
pub(crate) struct Vital {
    /// Set to stop: open calls end as interrupted, everything is committed.
    pub(crate) stop: AtomicBool,
    /// What is agreed anew, until hearing has taken it in.
    renewal: Mutex<Option<Renewal>>,
    turns: [AtomicU64; 4],
    /// How often each of the threads that recognise has turned, and how many there are.
    workers: [AtomicU64; MOST_WORKERS],
    manned: AtomicUsize,
}

/// The stages, in flow order.
#[derive(Clone, Copy)]
enum Stage {
    Capture,
    Hear,
    Words,
    Keep,
}

impl Vital {
    fn turn(&self, stage: Stage) {
        self.turns[stage as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn worker_turn(&self, worker: usize) {
        self.workers[worker].fetch_add(1, Ordering::Relaxed);
    }

    /// How often each stage's loop has turned. A stage that stands still between two looks is stuck: even an idle one turns. Of several threads the
    /// one that turned least counts.
    pub(crate) fn turns(&self) -> [u64; 4] {
        let mut turns = [0, 1, 2, 3].map(|stage: usize| self.turns[stage].load(Ordering::Relaxed));
        let workers = &self.workers[..self.manned.load(Ordering::Relaxed)];
        let least = workers.iter().map(|turns| turns.load(Ordering::Relaxed)).min();
        // Where no words are asked for there is nobody to stand still.
        turns[Stage::Words as usize] = least.unwrap_or(turns[Stage::Hear as usize]);
        turns
    }

    /// From now on calls that begin are measured by this.
    pub(crate) fn renew(&self, renewal: Renewal) {
        *self.renewal.lock().unwrap_or_else(PoisonError::into_inner) = Some(renewal);
    }

    fn renewal(&self) -> Option<Renewal> {
        self.renewal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What a run came to.
#[derive(Default)]
pub(crate) struct Came {
    pub(crate) capture: sotto_capture::Counters,
    pub(crate) dialog: sotto_dialog::Counters,
    pub(crate) measure: sotto_measure::Counters,
    /// Sources that could not be read to their end; what was readable counted.
    pub(crate) damaged: Vec<CaptureError>,
    /// Turns that were put into words.
    pub(crate) turns_done: u64,
    /// How words kept up; `None` of [`count`], which asks for none.
    pub(crate) words: Option<Standing>,
    /// What the streams of the calls came to; kept by [`count`] alone.
    pub(crate) streams: Vec<Stream>,
}

/// One leg's stream, by running numbers: nothing in it tells whose it was.
pub(crate) struct Stream {
    /// The call's running number.
    pub(crate) call: u64,
    /// 0 for the calling side, 1 for the called one.
    pub(crate) side: usize,
    /// The codec of most packets.
    pub(crate) codec: String,
    /// Distinct packets received.
    pub(crate) packets: u64,
    /// Packets that never came.
    pub(crate) lost: u64,
    /// Packets that came more than once.
    pub(crate) duplicated: u64,
    /// The largest interarrival jitter, microseconds.
    pub(crate) jitter_micros: u32,
}

enum ToHear {
    Batch(Vec<Captured>, sotto_capture::Counters),
    /// A file is at its end.
    End(sotto_capture::Counters),
}

enum ToKeep {
    Output(Output),
    Gauges(Gauges),
    /// Calls that begin after this are kept by it.
    Agreed(Arc<Agreed>),
}

/// Runs sources through the whole pipeline into the spool, until they end or [`Vital::stop`] is set.
pub(crate) fn run(sources: Vec<Box<dyn Source>>, hearing: Hearing, spool: Spool, names: i64, progress: impl Fn(Progress) + Send) -> Result<(Came, Spool), SpoolError> {
    let Hearing { charter, site, vad, recogniser, models, recording, pace, vital, seed, mut rights, people, register } = hearing;
    let (started, floor) = (Instant::now(), spool.time_floor()?);
    let timeline = Timeline::new(floor.saturating_mul(1_000), wall_clock().micros, 0);
    let (to_hear, from_capture) = sync_channel(BATCHES);
    // Live, words may be agreed on later.
    let workers = if recogniser.is_some() || pace == Pace::Live { words::workers() } else { 0 };
    let hears_words = recogniser.is_some();
    let hall = &Hall::new(workers, pace, recogniser);
    let (to_results, from_words) = sync_channel(TURNS);
    let (to_keep, from_hear) = sync_channel(KEPT);
    let dialogs = dialogs(&charter, &site, recording.as_ref());
    let between = &AtomicUsize::new(0);
    let measure = Measure::new(Arc::clone(&charter), site, vad, Depth::Full).with_seed(seed);
    // The charter wants words and there is no recogniser: the site's language is none that is blanked.
    let measure = if charter.needs_words() && !hears_words { measure.without_words() } else { measure };
    let vital = &*vital;
    let agents = Mutex::new(Some((charter.fingerprint(), Arc::new(register))));
    let agents = &agents;
    let agreed = Arc::new(Agreed { charter: Arc::clone(&charter), models, names });
    rights.record(&[agreed.doing()], wall_millis())?;

    thread::scope(|scope| {
        let capture = scope.spawn(move || capture(sources, pace, vital, &Way { to_hear, between }, &progress));
        vital.manned.store(workers, Ordering::Relaxed);
        for worker in 0..workers {
            let to_results = to_results.clone();
            scope.spawn(move || words::work(worker, hall, vital, &to_results));
        }
        drop(to_results);
        let keep = scope.spawn(move || keep(&from_hear, spool, Keeping { agreed, pace, vital, agents, rights, people }));
        let mut hear = Hear {
            dialogs,
            outlet: recording.map(|recording| recording.outlet),
            is_outlet_failing: false,
            measure,
            agents,
            charter: charter.fingerprint(),
            pace,
            vital,
            hall,
            from_words,
            to_keep,
            latest: Wall::default(),
            last_gauges: None,
            started,
            timeline,
            timekeeper: Timekeeper::new(floor),
            shift_micros: 0,
            capture: sotto_capture::Counters::default(),
            back: Vec::new(),
            turns_done: 0,
            watch: Watch::new(between),
            is_cut_off: false,
        };
        hear.run(&from_capture);
        let mut came = Came {
            capture: hear.capture,
            dialog: hear.dialogs.counters(),
            measure: hear.measure.counters(),
            turns_done: hear.turns_done,
            words: Some(hall.standing()),
            ..Came::default()
        };
        // Hanging up ends the recognisers and the keeper; a keeper that failed must also stop the capture.
        hall.close();
        drop(hear);
        drop(from_capture);
        let kept = join(keep.join());
        came.damaged = join(capture.join());
        Ok((came, kept?))
    })
}

/// Cores that this process may use: so many threads recognise.
pub(crate) fn cores() -> usize {
    words::workers()
}

/// Names the thread, for `top -H` and the like.
fn name(name: &std::ffi::CStr) {
    // A thread without a name works as well.
    let _ = rustix::thread::set_name(name);
}

/// A panic in a stage is a bug; it goes on in the thread that waited for it.
fn join<T>(joined: thread::Result<T>) -> T {
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The way from capture to hearing.
struct Way<'a> {
    to_hear: SyncSender<ToHear>,
    /// How many are on it.
    between: &'a AtomicUsize,
}

impl Way<'_> {
    /// Whether hearing still listens.
    fn send(&self, what: ToHear) -> bool {
        self.between.fetch_add(1, Ordering::Relaxed);
        self.to_hear.send(what).is_ok()
    }
}

/// Reads sources one after the other.
fn capture(sources: Vec<Box<dyn Source>>, pace: Pace, vital: &Vital, way: &Way<'_>, progress: &impl Fn(Progress)) -> Vec<CaptureError> {
    name(c"sotto-capture");
    let mut damaged = Vec::new();
    let mut is_down = false;
    for mut source in sources {
        let mut batch = Vec::with_capacity(BATCH);
        let mut since = Instant::now();
        loop {
            vital.turn(Stage::Capture);
            let next = if vital.stopping() { Ok(Next::End) } else { source.next() };
            let mut hand_on = false;
            let mut is_end = false;
            match next {
                Ok(Next::Item(item)) => {
                    if batch.is_empty() && pace == Pace::Live {
                        since = Instant::now();
                    }
                    batch.push(item);
                    hand_on = batch.len() == BATCH || (pace == Pace::Live && since.elapsed() > BATCH_AGE);
                }
                Ok(Next::Quiet) => hand_on = true,
                Ok(Next::InterfaceDown) => {
                    if !std::mem::replace(&mut is_down, true) {
                        say(&Event::InterfaceDown);
                    }
                }
                Ok(Next::InterfaceUp) => {
                    if std::mem::replace(&mut is_down, false) {
                        say(&Event::InterfaceUp);
                    }
                }
                Ok(Next::End) => is_end = true,
                Err(error) => {
                    // Replay tells it at its end.
                    if pace == Pace::Live {
                        say(&Event::CaptureFailed(&error));
                    }
                    damaged.push(error);
                    is_end = true;
                }
            }
            if hand_on || (is_end && !batch.is_empty()) {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                if !way.send(ToHear::Batch(full, source.counters())) {
                    return damaged;
                }
                if let Some(at) = source.progress() {
                    progress(at);
                }
            }
            if is_end {
                if !way.send(ToHear::End(source.counters())) {
                    return damaged;
                }
                break;
            }
        }
    }
    damaged
}

/// Looks ahead at the next [`AHEAD`] items: what they will need is brought close to the processor while nobody waits for it.
fn expect(items: &[Captured], dialogs: &Dialogs, measure: &Measure) {
    let mut soon = [None; AHEAD];
    for (soon, item) in soon.iter_mut().zip(items) {
        if let Captured::Datagram(datagram) = item {
            *soon = Some(datagram);
        }
    }
    measure.expect(dialogs.expect(soon));
}

/// Gives what was captured to whom it concerns, and says when it came.
fn pass_on(item: Captured, dialogs: &mut Dialogs) -> Wall {
    let at;
    match item {
        Captured::Datagram(datagram) => {
            at = datagram.at;
            dialogs.datagram(datagram);
        }
        Captured::Segment(segment) => {
            at = segment.at;
            dialogs.segment(segment);
        }
        Captured::Pcm(pcm) => {
            at = pcm.at;
            dialogs.pcm(pcm);
        }
        Captured::Line(pcm) => {
            at = pcm.at;
            dialogs.line(pcm);
        }
    }
    at
}

/// The state of the hearing thread: which call, who talks when, numbers.
struct Hear<'a> {
    dialogs: Dialogs,
    outlet: Option<Outlet>,
    /// The last errand failed, which was said.
    is_outlet_failing: bool,
    measure: Measure,
    /// How agents stand, where that is news.
    agents: &'a Mutex<Option<Standings>>,
    /// Fingerprint of the charter in force.
    charter: u64,
    pace: Pace,
    vital: &'a Vital,
    hall: &'a Hall,
    from_words: Receiver<Answer>,
    to_keep: SyncSender<ToKeep>,
    /// The latest stamp seen.
    latest: Wall,
    started: Instant,
    timeline: Timeline,
    timekeeper: Timekeeper,
    /// What is added to the kernel's stamps, where its clock jumped.
    shift_micros: i64,
    last_gauges: Option<Instant>,
    capture: sotto_capture::Counters,
    /// Answers that came while something else was under way, and those to turns that never reached a recogniser.
    back: Vec<Answer>,
    turns_done: u64,
    watch: Watch<'a>,
    /// The keeper is gone: nothing can be committed any more.
    is_cut_off: bool,
}

impl Hear<'_> {
    fn run(&mut self, from_capture: &Receiver<ToHear>) {
        name(c"sotto-hear");
        while !self.is_cut_off {
            self.vital.turn(Stage::Hear);
            if let Some(renewal) = self.vital.renewal() {
                self.renew(renewal);
            }
            let news = self.agents.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Standings under a charter that is no longer in force are followed by those under the new one.
            if let Some((_, register)) = news.filter(|(charter, _)| *charter == self.charter) {
                let now = self.now();
                self.measure.register(register, now);
            }
            while let Ok(answer) = self.from_words.try_recv() {
                self.answered(answer);
            }
            let next = from_capture.recv_timeout(IDLE);
            let mut behind = Duration::ZERO;
            match next {
                Ok(ToHear::Batch(batch, counters)) => {
                    self.watch.between.fetch_sub(1, Ordering::Relaxed);
                    self.capture = counters;
                    self.keep_time();
                    let mut batch = batch.into_iter();
                    while !batch.as_slice().is_empty() {
                        expect(batch.as_slice(), &self.dialogs, &self.measure);
                        batch.by_ref().take(AHEAD).for_each(|item| self.captured(item));
                    }
                    self.measure.look();
                    self.pump();
                    behind = Duration::from_micros(u64::try_from(self.now().since(self.latest)).unwrap_or(0));
                }
                Ok(ToHear::End(counters)) => {
                    self.watch.between.fetch_sub(1, Ordering::Relaxed);
                    self.capture = counters;
                    self.end();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.dialogs.advance(self.now());
            self.pump();
            self.look(behind);
            self.write_gauges(false);
        }
        self.await_words();
        self.write_gauges(true);
    }

    /// Calls that begin from now on are measured by other terms; those that run keep to theirs.
    fn renew(&mut self, renewal: Renewal) {
        let Renewal { charter, site, names, models, vad, words, register } = renewal;
        let (keys, agents, header) = listened(&charter, &site);
        self.dialogs.renew(keys, agents, header);
        self.charter = charter.fingerprint();
        let edition = self.measure.renew(Arc::clone(&charter), site, vad);
        if charter.needs_words() && matches!(words, NewWords::None) {
            self.measure.leave_out_words();
        }
        self.hall.renew(edition, words);
        let agreed = ToKeep::Agreed(Arc::new(Agreed { charter, models, names }));
        self.is_cut_off |= self.to_keep.send(agreed).is_err();
        let now = self.now();
        self.measure.register(Arc::new(register), now);
        self.pump();
    }

    /// Looks at the load; what there is no time for is left out from here on.
    fn look(&mut self, behind: Duration) {
        if self.pace == Pace::Replay || !self.watch.is_due() {
            return;
        }
        let load = self.watch.load(behind, self.capture.kernel_drops + self.capture.overruns);
        let Some(Step { from, to, shed }) = self.hall.look(load) else { return };
        say(&Event::Shedding { from, to });
        self.measure.shed_to(to, self.now());
        self.dialogs.be_deaf(to >= Level::Signalling);
        self.back.extend(shed);
        self.pump();
        // Whoever looks at the numbers must not see the step later than what comes of it.
        self.last_gauges = None;
    }

    /// Live, looks whether the wall clock jumped: calls that run go on as if it had not.
    fn keep_time(&mut self) {
        if self.pace == Pace::Live {
            let (wall, monotonic) = (wall_clock(), self.started.elapsed());
            let reading = self.timekeeper.look(wall.millis(), i64::try_from(monotonic.as_millis()).unwrap_or(i64::MAX));
            let monotonic = i64::try_from(monotonic.as_micros()).unwrap_or(i64::MAX);
            self.shift_micros = self.timeline.shift(wall.micros, monotonic, reading.is_steady && self.measure.open() == 0);
        }
    }

    fn captured(&mut self, mut item: Captured) {
        if self.shift_micros != 0 {
            let at = match &mut item {
                Captured::Datagram(datagram) => &mut datagram.at,
                Captured::Segment(segment) => &mut segment.at,
                Captured::Pcm(pcm) | Captured::Line(pcm) => &mut pcm.at,
            };
            at.micros = at.micros.saturating_add(self.shift_micros);
        }
        self.latest = self.latest.max(pass_on(item, &mut self.dialogs));
        self.pump();
    }

    /// A file is at its end, or the box is told to stop: what is open is interrupted.
    fn end(&mut self) {
        let cause = if self.vital.stopping() { EndCause::Stopped } else { EndCause::CaptureEnded };
        self.dialogs.finish(self.now(), cause);
        self.pump();
    }

    /// Moves on whatever came out, until nothing does.
    fn pump(&mut self) {
        while let Some(errand) = self.dialogs.errand() {
            self.run_errand(errand);
        }
        let today = day_of(self.now().micros);
        while let Some(output) = self.dialogs.poll() {
            match output {
                sotto_dialog::Output::Event(event) => self.measure.event(event, today),
                sotto_dialog::Output::Audio(audio) => self.measure.audio(&audio),
            }
        }
        loop {
            for answer in std::mem::take(&mut self.back) {
                self.answer(answer);
            }
            match self.measure.poll() {
                Some(Output::Turn(job)) => self.hand_to_words(job),
                Some(kept) => self.is_cut_off |= self.to_keep.send(ToKeep::Output(kept)).is_err(),
                None if self.back.is_empty() => break,
                None => {}
            }
        }
    }

    /// What a recording server wants done. It goes on without what cannot be: clients say again what is not answered.
    fn run_errand(&mut self, errand: Errand) {
        let Some(outlet) = &self.outlet else { return };
        let done = match errand {
            Errand::Listen(address) => outlet.listen(address),
            Errand::Close(address) => {
                outlet.close(address);
                return;
            }
            Errand::Send(reply) => outlet.send(&reply),
        };
        if let Err(error) = &done
            && !self.is_outlet_failing
        {
            say(&Event::AnsweringFailed(error));
        }
        self.is_outlet_failing = done.is_err();
    }

    fn hand_to_words(&mut self, job: Job) {
        while self.pace == Pace::Replay && !self.hall.has_room() {
            self.vital.turn(Stage::Hear);
            match self.from_words.recv_timeout(IDLE) {
                Ok(answer) => self.back.push(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.back.extend(self.hall.submit(job));
    }

    fn answered(&mut self, answer: Answer) {
        self.answer(answer);
        self.pump();
    }

    fn answer(&mut self, answer: Answer) {
        if !answer.is_shed() {
            self.turns_done += 1;
            if self.pace == Pace::Live {
                self.hall.counted(self.now().since(answer.ended()));
            }
        }
        self.measure.answer(answer);
    }

    /// Calls that are over wait for their words; when stopping, not for ever.
    fn await_words(&mut self) {
        let since = Instant::now();
        while self.measure.open() > 0 && !self.is_cut_off {
            self.vital.turn(Stage::Hear);
            match self.from_words.recv_timeout(IDLE) {
                Ok(answer) => self.answered(answer),
                Err(RecvTimeoutError::Timeout) if !self.vital.stopping() || since.elapsed() < LAST_WORDS => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    self.measure.give_up();
                    self.pump();
                    break;
                }
            }
        }
    }

    fn write_gauges(&mut self, is_last: bool) {
        if !is_last && self.last_gauges.is_some_and(|last| last.elapsed() < GAUGES_EVERY) {
            return;
        }
        self.last_gauges = Some(Instant::now());
        self.hall.forget(self.measure.oldest());
        let (dialog, measure) = (self.dialogs.counters(), self.measure.counters());
        let standing = self.hall.standing();
        let entered = |level: Level| standing.entered[level.index()];
        let millis = |wait: Option<Duration>| wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let gauges = Gauges {
            calls_open: self.measure.open() as u64,
            packets: self.capture.frames,
            packets_dropped: self.capture.kernel_drops + self.capture.overruns,
            sip_messages: dialog.sip_messages,
            sip_refused: dialog.sip_malformed + dialog.sdp_malformed,
            rtp_packets: dialog.rtp_packets,
            rtp_unbound: dialog.unbound,
            turns: self.turns_done,
            turns_shed: measure.turns_shed,
            audio_s: measure.seconds_decoded,
            turns_waiting: standing.waiting as u64,
            words_p50_ms: millis(standing.wait_p50),
            words_p95_ms: millis(standing.wait_p95),
            shed_level: standing.level.index() as u64,
            shed_agent_words: entered(Level::NoAgentWords),
            shed_unsampled_words: entered(Level::SampledCalls),
            shed_all_words: entered(Level::VoiceActivity),
            shed_sound: entered(Level::RtpStatistics),
            shed_media: entered(Level::Signalling),
            packets_shed: measure.frames_shed + dialog.media_shed,
        };
        self.is_cut_off |= self.to_keep.send(ToKeep::Gauges(gauges)).is_err();
    }

    fn now(&self) -> Wall {
        match self.pace {
            Pace::Live => Wall::from_micros(wall_clock().micros.saturating_add(self.shift_micros)),
            Pace::Replay => self.latest,
        }
    }
}

/// What hearing knows of the load.
struct Watch<'a> {
    /// Batches on the way from capture.
    between: &'a AtomicUsize,
    last_look: Option<Instant>,
    drops: u64,
    pressure: Pressure,
    last_pressure: Option<Instant>,
    memory_percent: f32,
}

impl<'a> Watch<'a> {
    fn new(between: &'a AtomicUsize) -> Self {
        Self { between, last_look: None, drops: 0, pressure: Pressure::find(), last_pressure: None, memory_percent: 0.0 }
    }

    fn is_due(&mut self) -> bool {
        is_due(&mut self.last_look, LOOK_EVERY)
    }

    fn load(&mut self, behind: Duration, drops: u64) -> Load {
        if is_due(&mut self.last_pressure, PRESSURE_EVERY) {
            self.memory_percent = self.pressure.memory_percent();
        }
        let before = std::mem::replace(&mut self.drops, drops);
        let backlog = self.between.load(Ordering::Relaxed) as f32 / BATCHES as f32;
        Load { backlog, behind, is_dropping: drops > before, memory_percent: self.memory_percent }
    }
}

/// Whether it is so long since it last was.
fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let is_due = last.is_none_or(|last| last.elapsed() >= every);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}

/// A listener that knows the charter's keys, and no others, and the site's agents.
fn dialogs(charter: &Charter, site: &Arc<Site>, recording: Option<&Recording>) -> Dialogs {
    let limits = Limits::default();
    let dialogs = match recording {
        Some(recording) => Dialogs::recording_server(limits, recording.options.clone()),
        None => Dialogs::new(limits),
    };
    let (keys, agents, header) = listened(charter, site);
    dialogs.with_keys(keys).with_agents(agents).with_consent_header(header)
}

/// What a listener knows of charter and site.
fn listened(charter: &Charter, site: &Arc<Site>) -> (Keys, IsAgent, ConsentHeader) {
    let (keys, evidence) = (&charter.keys, &charter.evidence);
    let keys = Keys::new(&keys.objection, &keys.pause, &keys.resume).with_consent(&keys.consent, &keys.private);
    (keys, sotto_measure::agents(Arc::clone(site)), ConsentHeader::new(&evidence.sip_header, &evidence.given, &evidence.refused))
}

/// The wall clock.
pub(crate) fn wall_clock() -> Wall {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Wall::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The wall clock, milliseconds since 1970: for the uplink and for the rows' times.
pub(crate) fn wall_millis() -> i64 {
    wall_clock().millis()
}

/// When a file was last changed: where the wall clock stood for a recording that does not say.
pub(crate) fn modified(file: &std::path::Path) -> Wall {
    let since = std::fs::metadata(file).and_then(|data| data.modified()).ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or_else(wall_clock, |since| Wall::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)))
}
