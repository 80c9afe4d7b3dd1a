//! Every thread, channel and capacity of the hearing side, in flow order. The only file that reads a clock.
//!
//! ```text
//!  capture ──batches──▶ hear (dialog, measure) ──opened, findings, gauges──▶ keep (redact, spool)
//!                        │  ▲
//!                   turns▼  │words
//!                       words (recogniser)
//! ```
//!
//! Against the stream flows one thing: a recording server's answers, from hear to the sockets of its clients.
//!
//! Nothing waits on a stage behind it without a bound. Live, a turn that finds the recogniser's queue full is shed and counted;
//! in replay, hearing waits instead, so that a file gives the same scores on any machine. The recogniser never waits to hand
//! back words: that channel holds as many as can be out. So no circle of waiting can close.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sotto_capture::{CaptureError, Captured, Next, Outlet, Progress, Source, Wall};
use sotto_charter::{Charter, Register, Site, day_of};
use sotto_dialog::{ConsentHeader, Dialogs, EndCause, Errand, Keys, Limits, ServerOptions};
use sotto_measure::{Answer, Depth, Job, Measure, Output, Recogniser};
use sotto_models::vad::Vad;
use sotto_redact::{Terms, agent, decided, gate, gauges, opening};
use sotto_report::Fingerprint;
use sotto_report::messages::Gauges;
use sotto_spool::{Act, Doing, MeasuredCall, People, Rights, Spool, SpoolError};

use crate::events::{Event, say};
use crate::load;

/// Batches between capture and hearing: at 256 packets each, about 0.16 s of 2,000 calls.
const BATCHES: usize = 64;
/// Packets in a batch at most.
const BATCH: usize = 256;
/// A batch is handed on after this, full or not.
const BATCH_AGE: Duration = Duration::from_millis(20);
/// Turns that wait for the recogniser; live, the next one is shed.
const TURNS: usize = 64;
/// Turns, of whatever calls, that are recognised together at most: eight cost the decoder little more than one.
const TOGETHER: usize = 8;
/// Openings and findings that wait for the disk.
const KEPT: usize = 1_024;
/// Calls that are over whose ids are remembered, for those that continue them.
const REMEMBERED: usize = 16_384;
/// Commits are grouped over this much.
const GROUP: usize = 64;
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
    turns: [AtomicU64; 4],
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

    /// How often each stage's loop has turned. A stage that stands still between two looks is stuck: even an idle one turns.
    pub(crate) fn turns(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|stage: usize| self.turns[stage].load(Ordering::Relaxed))
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
}

/// Runs sources through the whole pipeline into the spool, until they end or [`Vital::stop`] is set.
pub(crate) fn run(sources: Vec<Box<dyn Source>>, hearing: Hearing, spool: Spool, names: i64, progress: impl Fn(Progress) + Send) -> Result<(Came, Spool), SpoolError> {
    let Hearing { charter, site, vad, recogniser, models, recording, pace, vital, seed, mut rights, people, register } = hearing;
    let (to_hear, from_capture) = sync_channel(BATCHES);
    let (to_words, from_turns) = sync_channel(TURNS);
    // All turns that can be out at once: the queue, those being recognised, and one to spare.
    let (to_results, from_words) = sync_channel(TURNS + TOGETHER + 1);
    let (to_keep, from_hear) = sync_channel(KEPT);
    let dialogs = dialogs(&charter, &site, recording.as_ref());
    let measure = Measure::new(Arc::clone(&charter), site, vad, Depth::Full).with_seed(seed);
    let vital = &*vital;
    let charter = &charter;
    let agents = Mutex::new(Some(Arc::new(register)));
    let agents = &agents;
    let began = Act::Began { charter: charter.fingerprint(), models: models.map_or(0, |models| models.0) };
    rights.record(&[Doing::of(began)], wall_millis())?;

    thread::scope(|scope| {
        let capture = scope.spawn(move || capture(sources, pace, vital, &to_hear, &progress));
        scope.spawn(move || recognise(recogniser, vital, &from_turns, &to_results));
        let keep = scope.spawn(move || keep(&from_hear, spool, Keeping { charter, models, names, pace, vital, agents, rights, people }));
        let mut hear = Hear {
            dialogs,
            outlet: recording.map(|recording| recording.outlet),
            is_outlet_failing: false,
            measure,
            agents,
            pace,
            vital,
            to_words,
            to_keep,
            latest: Wall::default(),
            last_gauges: None,
            capture: sotto_capture::Counters::default(),
            shed: Vec::new(),
            turns_done: 0,
            is_cut_off: false,
        };
        hear.run(&from_capture, &from_words);
        let mut came = Came { capture: hear.capture, dialog: hear.dialogs.counters(), measure: hear.measure.counters(), ..Came::default() };
        // Hanging up ends the recogniser and the keeper; a keeper that failed must also stop the capture.
        drop(hear);
        drop(from_capture);
        let kept = join(keep.join());
        came.damaged = join(capture.join());
        Ok((came, kept?))
    })
}

/// A panic in a stage is a bug; it goes on in the thread that waited for it.
fn join<T>(joined: thread::Result<T>) -> T {
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Reads sources one after the other.
fn capture(sources: Vec<Box<dyn Source>>, pace: Pace, vital: &Vital, to_hear: &SyncSender<ToHear>, progress: &impl Fn(Progress)) -> Vec<CaptureError> {
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
                if to_hear.send(ToHear::Batch(full, source.counters())).is_err() {
                    return damaged;
                }
                if let Some(at) = source.progress() {
                    progress(at);
                }
            }
            if is_end {
                if to_hear.send(ToHear::End(source.counters())).is_err() {
                    return damaged;
                }
                break;
            }
        }
    }
    damaged
}

/// The state of the hearing thread: which call, who talks when, numbers.
struct Hear<'a> {
    dialogs: Dialogs,
    outlet: Option<Outlet>,
    /// The last errand failed, which was said.
    is_outlet_failing: bool,
    measure: Measure,
    /// How agents stand, where that is news.
    agents: &'a Mutex<Option<Arc<Register>>>,
    pace: Pace,
    vital: &'a Vital,
    to_words: SyncSender<Job>,
    to_keep: SyncSender<ToKeep>,
    /// The latest stamp seen.
    latest: Wall,
    last_gauges: Option<Instant>,
    capture: sotto_capture::Counters,
    /// Answers to turns that never reached the recogniser.
    shed: Vec<Answer>,
    turns_done: u64,
    /// The keeper is gone: nothing can be committed any more.
    is_cut_off: bool,
}

impl Hear<'_> {
    fn run(&mut self, from_capture: &Receiver<ToHear>, from_words: &Receiver<Answer>) {
        while !self.is_cut_off {
            self.vital.turn(Stage::Hear);
            let news = self.agents.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(register) = news {
                let now = self.now();
                self.measure.register(register, now);
            }
            while let Ok(answer) = from_words.try_recv() {
                self.answered(answer);
            }
            match from_capture.recv_timeout(IDLE) {
                Ok(ToHear::Batch(batch, counters)) => {
                    self.capture = counters;
                    for item in batch {
                        self.captured(item);
                    }
                }
                Ok(ToHear::End(counters)) => {
                    self.capture = counters;
                    self.end();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.dialogs.advance(self.now());
            self.pump();
            self.write_gauges(false);
        }
        self.await_words(from_words);
        self.write_gauges(true);
    }

    fn captured(&mut self, item: Captured) {
        match item {
            Captured::Datagram(datagram) => {
                self.latest = self.latest.max(datagram.at);
                self.dialogs.datagram(datagram);
            }
            Captured::Segment(segment) => {
                self.latest = self.latest.max(segment.at);
                self.dialogs.segment(segment);
            }
            Captured::Pcm(pcm) => {
                self.latest = self.latest.max(pcm.at);
                self.dialogs.pcm(pcm);
            }
            Captured::Line(pcm) => {
                self.latest = self.latest.max(pcm.at);
                self.dialogs.line(pcm);
            }
        }
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
        while let Some(output) = self.measure.poll() {
            match output {
                Output::Turn(job) => self.hand_to_words(job),
                kept => self.is_cut_off |= self.to_keep.send(ToKeep::Output(kept)).is_err(),
            }
            while let Some(answer) = self.shed.pop() {
                self.measure.answer(answer);
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
        match self.pace {
            Pace::Replay => {
                if let Err(refused) = self.to_words.send(job) {
                    self.shed.push(refused.0.shed());
                }
            }
            Pace::Live => match self.to_words.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => self.shed.push(job.shed()),
            },
        }
    }

    fn answered(&mut self, answer: Answer) {
        self.turns_done += 1;
        self.measure.answer(answer);
        self.pump();
    }

    /// Calls that are over wait for their words; when stopping, not for ever.
    fn await_words(&mut self, from_words: &Receiver<Answer>) {
        let since = Instant::now();
        while self.measure.open() > 0 && !self.is_cut_off {
            self.vital.turn(Stage::Hear);
            match from_words.recv_timeout(IDLE) {
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
        let (dialog, measure) = (self.dialogs.counters(), self.measure.counters());
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
        };
        self.is_cut_off |= self.to_keep.send(ToKeep::Gauges(gauges)).is_err();
    }

    fn now(&self) -> Wall {
        match self.pace {
            Pace::Live => wall_clock(),
            Pace::Replay => self.latest,
        }
    }
}

/// Turns speech into words until hearing hangs up.
fn recognise(mut recogniser: Option<Recogniser>, vital: &Vital, from_turns: &Receiver<Job>, to_results: &SyncSender<Answer>) {
    loop {
        vital.turn(Stage::Words);
        let first = match from_turns.recv_timeout(IDLE) {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // What waits already goes along; nobody is waited for.
        let jobs: Vec<Job> = std::iter::once(first).chain(from_turns.try_iter()).take(TOGETHER).collect();
        let answers = match &mut recogniser {
            None => jobs.into_iter().map(Job::shed).collect(),
            Some(recogniser) => {
                let (answers, error) = recogniser.recognise(jobs);
                if let Some(error) = error {
                    say(&Event::RecogniserFailed(&error));
                }
                answers
            }
        };
        for answer in answers {
            if to_results.send(answer).is_err() {
                return;
            }
        }
    }
}

/// What the keeper goes by.
struct Keeping<'a> {
    charter: &'a Charter,
    models: Option<Fingerprint>,
    names: i64,
    pace: Pace,
    vital: &'a Vital,
    agents: &'a Mutex<Option<Arc<Register>>>,
    rights: Rights,
    people: Option<People>,
}

impl Keeping<'_> {
    /// Deletes what has been kept for as long as the charter says.
    fn expire(&mut self, now_ms: i64) -> Result<(), SpoolError> {
        let before_ms = now_ms - i64::from(self.charter.retention.audit_days) * 86_400_000;
        self.rights.expire_entries(before_ms, now_ms)?;
        self.rights.expire_contests(now_ms)?;
        self.people.as_mut().map_or(Ok(0), |people| people.expire(now_ms)).map(drop)
    }

    /// Looks whether an agent has paused, objected or acknowledged, and passes it on.
    fn look_at_agents(&self, known: &mut i64) -> Result<(), SpoolError> {
        let Some(people) = &self.people else { return Ok(()) };
        let version = people.version()?;
        if std::mem::replace(known, version) != version {
            let register = Arc::new(load::register(people, self.charter)?);
            *self.agents.lock().unwrap_or_else(PoisonError::into_inner) = Some(register);
        }
        Ok(())
    }
}

/// The gate and the spool: the only thread that writes. Rows that come together are committed together.
fn keep(from_hear: &Receiver<ToKeep>, mut spool: Spool, mut keeping: Keeping<'_>) -> Result<Spool, SpoolError> {
    let mut calls = HashMap::new();
    // Those that are over, the oldest first.
    let mut over = VecDeque::new();
    let (mut known, mut looked, mut expired) = (0, Instant::now(), None);
    loop {
        keeping.vital.turn(Stage::Keep);
        if looked.elapsed() >= AGENTS_EVERY {
            looked = Instant::now();
            keeping.look_at_agents(&mut known)?;
        }
        let first = match from_hear.recv_timeout(IDLE) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(spool),
        };
        let group = std::iter::once(first).chain(std::iter::from_fn(|| from_hear.try_recv().ok())).take(GROUP);
        let (mut numbers, mut doings, mut measured) = (None, Vec::new(), Vec::new());
        let mut batch = spool.batch()?;
        for item in group {
            match item {
                ToKeep::Gauges(latest) => numbers = Some(latest),
                ToKeep::Output(Output::Opened(call, at)) => {
                    calls.insert(call, batch.begin(&opening(at))?);
                }
                ToKeep::Output(Output::Findings(findings)) => {
                    let Some(&call) = calls.get(&findings.call) else { continue };
                    let continues = findings.continues.and_then(|before| calls.get(&before).copied());
                    over.push_back(findings.call);
                    if over.len() > REMEMBERED
                        && let Some(oldest) = over.pop_front()
                    {
                        calls.remove(&oldest);
                    }
                    let made = wall_clock();
                    let now = if keeping.pace == Pace::Live { made } else { findings.ended };
                    let terms = Terms { charter: keeping.charter, models: keeping.models, continues, now, made };
                    batch.close(&gate(&findings, call, terms), keeping.names, made.millis())?;
                    if let Some(mark) = agent(&findings) {
                        let expires_ms = made.millis() + i64::from(keeping.charter.retention.scores_days) * 86_400_000;
                        measured.push((MeasuredCall { call, ended_ms: findings.ended.millis(), expires_ms }, mark));
                    }
                }
                ToKeep::Output(Output::Decided(call, at, decision)) => {
                    doings.extend(calls.get(&call).map(|call| Doing::decided(&decided(*call, at, decision))));
                }
                // Hearing keeps turns to itself.
                ToKeep::Output(Output::Turn(_)) => {}
            }
        }
        batch.commit()?;
        keeping.rights.record(&doings, wall_millis())?;
        if let Some(people) = &mut keeping.people {
            people.remember(&measured)?;
        }
        if numbers.is_some() && expired.is_none_or(|at: Instant| at.elapsed() >= EXPIRE_EVERY) {
            expired = Some(Instant::now());
            keeping.expire(wall_millis())?;
        }
        if let Some(numbers) = numbers {
            spool.write_gauges(&gauges(numbers), wall_millis())?;
        }
    }
}

/// How far `replay --until` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Until {
    /// Read the packets.
    Capture,
    /// Follow calls and streams.
    Dialog,
    /// Decode the sound.
    Decode,
}

/// Runs sources through the first stages only, on one thread, and counts.
pub(crate) fn count(sources: Vec<Box<dyn Source>>, until: Until, charter: &Arc<Charter>, site: &Arc<Site>) -> (Came, Duration) {
    let began = Instant::now();
    let mut came = Came::default();
    let mut streams = Vec::new();
    let mut dialogs = dialogs(charter, site, None);
    let mut measure = Measure::new(Arc::clone(charter), Arc::clone(site), None, Depth::Decode);
    let mut drain = |dialogs: &mut Dialogs, latest: Wall| {
        while let Some(output) = dialogs.poll() {
            if let sotto_dialog::Output::Event(event) = &output {
                for (side, facts) in event.streams().unwrap_or_default().into_iter().enumerate() {
                    streams.extend(facts.map(|facts| Stream {
                        call: event.call().0,
                        side,
                        codec: format!("{:?}", facts.codec).to_lowercase(),
                        packets: facts.packets,
                        lost: facts.lost,
                        duplicated: facts.duplicated,
                        jitter_micros: facts.jitter_micros,
                    }));
                }
            }
            match output {
                _ if until != Until::Decode => {}
                sotto_dialog::Output::Event(event) => measure.event(event, day_of(latest.micros)),
                sotto_dialog::Output::Audio(audio) => measure.audio(&audio),
            }
        }
        while measure.poll().is_some() {}
    };
    for mut source in sources {
        let mut latest = Wall::default();
        loop {
            let item = match source.next() {
                Ok(Next::Item(item)) => item,
                Ok(Next::End) => break,
                Ok(_) => continue,
                Err(error) => {
                    came.damaged.push(error);
                    break;
                }
            };
            if until == Until::Capture {
                continue;
            }
            match item {
                Captured::Datagram(datagram) => {
                    latest = latest.max(datagram.at);
                    dialogs.datagram(datagram);
                }
                Captured::Segment(segment) => {
                    latest = latest.max(segment.at);
                    dialogs.segment(segment);
                }
                Captured::Pcm(pcm) => {
                    latest = latest.max(pcm.at);
                    dialogs.pcm(pcm);
                }
                Captured::Line(pcm) => {
                    latest = latest.max(pcm.at);
                    dialogs.line(pcm);
                }
            }
            dialogs.advance(latest);
            drain(&mut dialogs, latest);
        }
        dialogs.finish(latest, EndCause::CaptureEnded);
        drain(&mut dialogs, latest);
        came.capture = source.counters();
    }
    came.dialog = dialogs.counters();
    came.measure = measure.counters();
    came.streams = streams;
    (came, began.elapsed())
}

/// A listener that knows the charter's keys, and no others, and the site's agents.
fn dialogs(charter: &Charter, site: &Arc<Site>, recording: Option<&Recording>) -> Dialogs {
    let keys = &charter.keys;
    let limits = Limits::default();
    let dialogs = match recording {
        Some(recording) => Dialogs::recording_server(limits, recording.options.clone()),
        None => Dialogs::new(limits),
    };
    let evidence = &charter.evidence;
    dialogs
        .with_keys(Keys::new(&keys.objection, &keys.pause, &keys.resume).with_consent(&keys.consent, &keys.private))
        .with_agents(sotto_measure::agents(Arc::clone(site)))
        .with_consent_header(ConsentHeader::new(&evidence.sip_header, &evidence.given, &evidence.refused))
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
