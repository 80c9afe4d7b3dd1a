//! The gate and the spool: the one thread that writes, and what waits for a disk that is full.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sotto_capture::Wall;
use sotto_charter::Mark;
use sotto_measure::Output;
use sotto_redact::{Terms, agent, decided, gate, gauges, opening};
use sotto_report::CallId;
use sotto_report::messages::Gauges;
use sotto_spool::{Doing, MeasuredCall, People, Rights, Spool, SpoolError};

use super::{AGENTS_EVERY, Agreed, EXPIRE_EVERY, GROUP, IDLE, LATE, Pace, REMEMBERED, Stage, Standings, ToKeep, Vital, name, wall_clock, wall_millis};
use crate::events::{Event, say};
use crate::load;

/// What the keeper goes by.
pub(super) struct Keeping<'a> {
    /// What calls that begin now are kept by.
    pub(super) agreed: Arc<Agreed>,
    pub(super) pace: Pace,
    pub(super) vital: &'a Vital,
    pub(super) agents: &'a Mutex<Option<Standings>>,
    pub(super) rights: Rights,
    pub(super) people: Option<People>,
}

impl Keeping<'_> {
    /// Deletes what has been kept for as long as the charter says.
    fn expire(&mut self, now_ms: i64) -> Result<(), SpoolError> {
        let before_ms = now_ms - i64::from(self.agreed.charter.retention.audit_days) * 86_400_000;
        self.rights.expire_entries(before_ms, now_ms)?;
        self.rights.expire_contests(now_ms)?;
        self.people.as_mut().map_or(Ok(0), |people| people.expire(now_ms)).map(drop)
    }

    /// Looks whether an agent has paused, objected or acknowledged, and passes it on.
    fn look_at_agents(&self, known: &mut (i64, u64)) -> Result<(), SpoolError> {
        let Some(people) = &self.people else { return Ok(()) };
        let charter = &self.agreed.charter;
        let now = (people.version()?, charter.fingerprint());
        if std::mem::replace(known, now) != now {
            let register = Arc::new(load::register(people, charter)?);
            *self.agents.lock().unwrap_or_else(PoisonError::into_inner) = Some((now.1, register));
        }
        Ok(())
    }
}

/// The gate and the spool: the only thread that writes. Rows that come together are committed together.
pub(super) fn keep(from_hear: &Receiver<ToKeep>, spool: Spool, keeping: Keeping<'_>) -> Result<Spool, SpoolError> {
    name(c"sotto-keep");
    let mut keeper = Keeper { spool, keeping, calls: HashMap::new(), over: VecDeque::new(), refused: Vec::new(), doings: Vec::new(), measured: Vec::new(), expired: None };
    let (mut known, mut looked) = ((0, 0), Instant::now());
    let mut late = VecDeque::new();
    let mut is_full = false;
    loop {
        keeper.keeping.vital.turn(Stage::Keep);
        if looked.elapsed() >= AGENTS_EVERY {
            looked = Instant::now();
            keeper.keeping.look_at_agents(&mut known)?;
        }
        let (first, is_end) = match from_hear.recv_timeout(IDLE) {
            Ok(first) => (Some(first), false),
            Err(RecvTimeoutError::Timeout) if late.is_empty() => continue,
            Err(RecvTimeoutError::Timeout) => (None, false),
            Err(RecvTimeoutError::Disconnected) => (None, true),
        };
        let more = std::iter::from_fn(|| from_hear.try_recv().ok());
        late.extend(first.into_iter().chain(more).take(GROUP));
        match keeper.keep_with_all_room(&late) {
            Ok(()) => {
                late.clear();
                if std::mem::take(&mut is_full) {
                    say(&Event::DiskHasRoom);
                }
            }
            // What was committed is safe; the rest waits for room.
            Err(error @ SpoolError::Full { .. }) => {
                if !std::mem::replace(&mut is_full, true) {
                    say(&Event::DiskFull(&error));
                }
                if is_end {
                    return Err(error);
                }
                keeper.bound(&mut late);
            }
            Err(error) => return Err(error),
        }
        if is_end {
            return Ok(keeper.spool);
        }
    }
}

struct Keeper<'a> {
    spool: Spool,
    keeping: Keeping<'a>,
    /// The ids of calls that are open, and of some that are over, by their running number; and what each is kept by.
    calls: HashMap<u64, (CallId, Arc<Agreed>)>,
    /// Those that are over, the oldest first.
    over: VecDeque<u64>,
    /// Calls for which there was no room at all: when each began.
    refused: Vec<Wall>,
    /// What is to be written into the record, and whose calls were whose.
    doings: Vec<Doing>,
    measured: Vec<(MeasuredCall, Mark)>,
    /// When what is too old was last looked for.
    expired: Option<Instant>,
}

impl Keeper<'_> {
    /// Once more with what was held in reserve, where the disk is full.
    fn keep_with_all_room(&mut self, group: &VecDeque<ToKeep>) -> Result<(), SpoolError> {
        match self.keep(group) {
            Err(SpoolError::Full { .. }) if self.spool.give_way() => self.keep(group),
            kept => kept,
        }
    }

    fn keep(&mut self, group: &VecDeque<ToKeep>) -> Result<(), SpoolError> {
        let Self { spool, keeping, calls, over, refused, doings, measured, .. } = self;
        let (mut numbers, mut made_doings, mut made_measured) = (None, Vec::new(), Vec::new());
        let mut agreed = Arc::clone(&keeping.agreed);
        let mut batch = spool.batch()?;
        for at in refused.iter() {
            batch.refuse(&opening(*at))?;
        }
        let mut ended = Vec::new();
        for item in group {
            match item {
                ToKeep::Gauges(latest) => numbers = Some(*latest),
                ToKeep::Agreed(renewed) => {
                    agreed = Arc::clone(renewed);
                    made_doings.push(agreed.doing());
                }
                ToKeep::Output(Output::Opened(call, at)) => match batch.begin(&opening(*at))? {
                    Some(id) => {
                        calls.insert(call.0, (id, Arc::clone(&agreed)));
                    }
                    None => {
                        calls.remove(&call.0);
                    }
                },
                ToKeep::Output(Output::Findings(findings)) => {
                    let Some((call, own)) = calls.get(&findings.call.0) else { continue };
                    let call = *call;
                    let continues = findings.continues.and_then(|before| calls.get(&before.0)).map(|(before, _)| *before);
                    ended.push(findings.call.0);
                    let made = wall_clock();
                    let now = if keeping.pace == Pace::Live { made } else { findings.ended };
                    let terms = Terms { charter: &own.charter, models: own.models, continues, now, made };
                    batch.close(&gate(findings, call, terms), own.names, made.millis())?;
                    if let Some(mark) = agent(findings) {
                        let expires_ms = made.millis() + i64::from(own.charter.retention.scores_days) * 86_400_000;
                        made_measured.push((MeasuredCall { call, ended_ms: findings.ended.millis(), expires_ms }, mark));
                    }
                }
                ToKeep::Output(Output::Decided(call, at, decision)) => {
                    made_doings.extend(calls.get(&call.0).map(|(call, _)| Doing::decided(&decided(*call, *at, *decision))));
                }
                // Hearing keeps turns to itself.
                ToKeep::Output(Output::Turn(_)) => {}
            }
        }
        batch.commit()?;
        keeping.agreed = agreed;
        refused.clear();
        over.extend(ended);
        while over.len() > REMEMBERED {
            over.pop_front().and_then(|oldest| calls.remove(&oldest));
        }
        doings.append(&mut made_doings);
        measured.append(&mut made_measured);
        self.write_down(numbers)
    }

    /// What is written beside what was committed. On a full disk it waits: the calls themselves must not be committed twice.
    fn write_down(&mut self, numbers: Option<Gauges>) -> Result<(), SpoolError> {
        match self.write_down_at(wall_millis(), numbers) {
            Err(SpoolError::Full { .. }) if self.doings.len() + self.measured.len() < LATE => Ok(()),
            written => written,
        }
    }

    fn write_down_at(&mut self, now_ms: i64, numbers: Option<Gauges>) -> Result<(), SpoolError> {
        if let Some(numbers) = numbers {
            // Room is made first: what follows may need it.
            self.spool.make_room()?;
            self.spool.write_gauges(&gauges(numbers), now_ms)?;
        }
        self.keeping.rights.record(&self.doings, now_ms)?;
        self.doings.clear();
        if let Some(people) = &mut self.keeping.people {
            people.remember(&self.measured)?;
        }
        self.measured.clear();
        if numbers.is_some() && self.expired.is_none_or(|at| at.elapsed() >= EXPIRE_EVERY) {
            self.expired = Some(Instant::now());
            self.keeping.expire(now_ms)?;
        }
        Ok(())
    }

    /// What waits for room takes no memory without end. A call that had no row yet is counted as refused; one that has stays open, and is
    /// interrupted at the next start.
    fn bound(&mut self, late: &mut VecDeque<ToKeep>) {
        late.retain(|item| !matches!(item, ToKeep::Gauges(_)));
        while late.len() > LATE {
            match late.pop_front() {
                Some(ToKeep::Output(Output::Opened(_, at))) => self.refused.push(at),
                Some(ToKeep::Agreed(agreed)) => {
                    self.doings.push(agreed.doing());
                    self.keeping.agreed = agreed;
                }
                _ => {}
            }
        }
    }
}
