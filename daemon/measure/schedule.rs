//! Which turns become words, when, and what is left out where there is not enough time.
//!
//! No thread and no clock: whoever owns a [`Scheduler`] gives it turns ([`Scheduler::submit`]), lets workers ask for work
//! ([`Scheduler::next_batch`]) and say when it is done ([`Scheduler::finish`]), and lets it look at the load now and then
//! ([`Scheduler::look`]). Times are durations from one beginning that the caller chose.
//!
//! Turns wait in one queue, the oldest first, and are handed out in batches: a decoder that takes eight turns at once does each in a
//! fraction of the time. A turn may wait a little for company where the workers are busy anyway. Two turns of one leg are never with two workers,
//! so that a leg's words come back in the order in which they were said.
//!
//! Where there is not enough time, work is left out step by step ([`Level`]), in an order that never changes: see [`ladder`]. A score needs nearly all of
//! a leg's words, so what is left out is left out by whole calls: of agents' words, the first to go, those of so many calls go on being heard as
//! there is time for.

mod ladder;
mod rate;

use std::collections::VecDeque;
use std::time::Duration;

use sotto_private::{Call, Level, Side};

use crate::words::{Answer, Job};
use ladder::{Ladder, Strain};
use rate::{Rate, Waits};

/// What is known of the load from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// How full the way from capture to hearing is, 0..1.
    pub backlog: f32,
    /// How old what is heard now is already.
    pub behind: Duration,
    /// Packets were lost on the way in since the last look.
    pub is_dropping: bool,
    /// The part of the time in which some thread waited for memory (the kernel's pressure stall information, `some avg10`), percent.
    pub memory_percent: f32,
}

impl Load {
    /// Hearing cannot keep up, or will soon not.
    fn is_heavy(&self) -> bool {
        self.backlog >= 0.5 || self.behind >= LATE || self.is_dropping || self.memory_percent >= 10.0
    }

    /// Hearing has room to spare.
    fn is_light(&self) -> bool {
        self.backlog < 0.1 && self.behind < LATE / 4 && !self.is_dropping && self.memory_percent < 5.0
    }
}

/// What was heard this long ago, or has waited for words this long, is late.
const LATE: Duration = Duration::from_secs(2);
/// A turn waits no longer than this for others to join it, and that only where the workers are busy all the time.
const GATHER: Duration = Duration::from_millis(200);
/// How long a batch should take: so long does its first turn wait for its last. Where turns wait already, it may take longer.
const BATCH_TIME: f64 = 0.6;
/// A worker that is at one batch for longer than this stands still: what more it could do is not known.
const STANDS_STILL: Duration = Duration::from_secs(10);
/// A worker that is kept from work by what comes first asks again after this.
const REST: Duration = Duration::from_millis(20);
/// Of all calls, one in so many is in the sample.
const SAMPLED: u64 = 4;
/// The part of the workers' time that may be promised: what comes in bunches must not wait too long.
const PROMISED: f64 = 0.8;

/// How a scheduler works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads that turn speech into words.
    pub workers: usize,
    /// Turns that may wait.
    pub turns: usize,
    /// Sound that may wait in all, seconds; each takes 16 KB.
    pub seconds: f32,
    /// Turns that are handed out together at most.
    pub together: usize,
    /// Whether the world does not wait: then work is shed. From files it is not; their reader waits while [`Scheduler::has_room`] says no.
    pub is_live: bool,
}

/// What a worker is to do.
#[derive(Debug)]
pub enum Next {
    /// These turns.
    Batch(Vec<Job>, Ticket),
    /// To ask again after this, or when another turn has come.
    Later(Duration),
    /// Nothing, until another turn comes or a worker has finished.
    Nothing,
}

/// Names a batch that was handed out. To be brought back.
#[derive(Debug)]
pub struct Ticket {
    legs: Vec<(Call, Side)>,
    seconds: f64,
    since: Duration,
}

/// A step down or up the ladder.
#[derive(Debug)]
pub struct Step {
    /// Where it stood.
    pub from: Level,
    /// Where it stands.
    pub to: Level,
    /// Turns that waited and that this step leaves out.
    pub shed: Vec<Answer>,
}

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What is left out.
    pub level: Level,
    /// How often each level was stepped down to, by [`Level::index`]; the first is always 0.
    pub entered: [u64; Level::ALL.len()],
    /// Turns that wait for a worker.
    pub waiting: usize,
    /// From the end of a turn until its words were counted, the median over the last minute; `None` where none was.
    pub wait_p50: Option<Duration>,
    /// The same, the time that 95 % stayed below.
    pub wait_p95: Option<Duration>,
}

/// See the module.
#[derive(Debug)]
pub struct Scheduler {
    options: Options,
    /// In the order in which they came.
    queue: VecDeque<Waiting>,
    queued_seconds: f32,
    /// Legs of which a worker has a turn; as often as it has.
    legs_out: Vec<(Call, Side)>,
    /// When the batches began that workers are at.
    working: Vec<Duration>,
    ladder: Ladder,
    /// At [`Level::NoAgentWords`], agents' words are heard all the same in so many of [`SAMPLED`] calls.
    spared: u64,
    /// Since when there has not been enough time for that.
    spared_in_vain: Option<Duration>,
    /// Seconds of sound that came to be recognised, by [`Class`].
    offered: [Rate; 3],
    /// Seconds of sound that were recognised, and the seconds that it took one worker.
    recognised: Rate,
    worked: Rate,
    waits: Waits,
}

#[derive(Debug)]
struct Waiting {
    job: Job,
    since: Duration,
}

/// What a turn is worth when not all can be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// The agent's, or nobody knows whose.
    Agent,
    /// A customer's.
    Customer,
    /// A customer's, of a call that is in the sample.
    Sampled,
}

impl Class {
    const ALL: [Self; 3] = [Self::Agent, Self::Customer, Self::Sampled];

    fn of(job: &Job) -> Self {
        if !job.is_customer {
            Self::Agent
        } else if job.turn.call.0.is_multiple_of(SAMPLED) {
            Self::Sampled
        } else {
            Self::Customer
        }
    }

    /// Whether it is still put into words at a level.
    const fn is_heard_at(self, level: Level) -> bool {
        match level {
            Level::All => true,
            Level::NoAgentWords => !matches!(self, Self::Agent),
            Level::SampledCalls => matches!(self, Self::Sampled),
            Level::VoiceActivity | Level::RtpStatistics | Level::Signalling => false,
        }
    }
}

impl Scheduler {
    /// With nothing to do.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options: Options { workers: options.workers.max(1), together: options.together.max(1), turns: options.turns.max(1), ..options },
            queue: VecDeque::new(),
            queued_seconds: 0.0,
            legs_out: Vec::new(),
            working: Vec::new(),
            ladder: Ladder::default(),
            spared: 0,
            spared_in_vain: None,
            offered: Default::default(),
            recognised: Rate::default(),
            worked: Rate::default(),
            waits: Waits::default(),
        }
    }

    /// Whether another turn may come. Who submits one all the same sheds one.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.options.turns && self.queued_seconds < self.options.seconds
    }

    /// A turn that wants to be words. Where there is no room for it, or none at this level, the answer of the one that is left out comes back:
    /// a full queue lets an agent's turn go before a customer's.
    pub fn submit(&mut self, job: Job, now: Duration) -> Option<Answer> {
        let class = Class::of(&job);
        self.offered[class as usize].add(f64::from(job.seconds()), now);
        if !self.is_heard(&job, self.ladder.level()) {
            return Some(job.shed());
        }
        let mut left_out = None;
        if !self.has_room() {
            let last_agent = if class == Class::Agent { None } else { self.queue.iter().rposition(|waiting| Class::of(&waiting.job) == Class::Agent) };
            match last_agent.and_then(|at| self.queue.remove(at)) {
                Some(agent) => {
                    self.queued_seconds -= agent.job.seconds();
                    left_out = Some(agent.job.shed());
                }
                None => return Some(job.shed()),
            }
        }
        self.queued_seconds += job.seconds();
        self.queue.push_back(Waiting { job, since: now });
        left_out
    }

    /// Work for one worker.
    pub fn next_batch(&mut self, now: Duration, load: &Load) -> Next {
        let oldest = match self.queue.front() {
            None => return Next::Nothing,
            Some(oldest) => now.saturating_sub(oldest.since),
        };
        if self.options.is_live && load.is_heavy() && !self.working.is_empty() {
            // Hearing comes first: what is not heard is lost, what waits for words is not.
            return Next::Later(REST);
        }
        let idle = self.options.workers.saturating_sub(self.working.len()).max(1);
        let share = self.queue.len().div_ceil(idle).min(self.options.together);
        if self.options.is_live && share < self.options.together {
            let patience = GATHER.mul_f64(self.utilisation(self.ladder.level(), now).min(1.0));
            if oldest < patience {
                return Next::Later(patience - oldest);
            }
        }
        let most_seconds = match self.cost(now) {
            Some(cost) if self.options.is_live && oldest < LATE / 2 => BATCH_TIME / cost,
            _ => f64::INFINITY,
        };
        let (mut jobs, mut legs, mut seconds) = (Vec::new(), Vec::new(), 0.0);
        let mut at = 0;
        while at < self.queue.len() && jobs.len() < share && (jobs.is_empty() || seconds < most_seconds) {
            let leg = self.queue[at].job.leg();
            // With another worker: its words must come back before these.
            let is_out = self.legs_out.contains(&leg);
            match if is_out { None } else { self.queue.remove(at) } {
                None => at += 1,
                Some(Waiting { job, .. }) => {
                    seconds += f64::from(job.seconds());
                    self.queued_seconds -= job.seconds();
                    legs.push(leg);
                    jobs.push(job);
                }
            }
        }
        if jobs.is_empty() {
            return Next::Nothing;
        }
        self.working.push(now);
        self.legs_out.extend_from_slice(&legs);
        Next::Batch(jobs, Ticket { legs, seconds, since: now })
    }

    /// A worker has brought back the answers of a batch.
    pub fn finish(&mut self, ticket: Ticket, now: Duration) {
        if let Some(at) = self.working.iter().position(|since| *since == ticket.since) {
            self.working.swap_remove(at);
        }
        for leg in &ticket.legs {
            if let Some(at) = self.legs_out.iter().position(|out| out == leg) {
                self.legs_out.swap_remove(at);
            }
        }
        self.recognised.add(ticket.seconds, now);
        self.worked.add(now.saturating_sub(ticket.since).as_secs_f64(), now);
    }

    /// The words of a turn were counted, `waited` after it had ended.
    pub fn counted(&mut self, waited: Duration, now: Duration) {
        self.waits.add(waited, now);
    }

    /// A look at the load; a step down or up where it is time for one. To be called several times a second.
    pub fn look(&mut self, now: Duration, load: &Load) -> Option<Step> {
        if !self.options.is_live {
            return None;
        }
        let oldest = self.queue.front().map_or(Duration::ZERO, |oldest| now.saturating_sub(oldest.since));
        let is_filling = self.queue.len() * 2 >= self.options.turns || self.queued_seconds * 2.0 >= self.options.seconds;
        let from = self.ladder.level();
        let would_fit = from.above().is_none_or(|above| self.utilisation(above, now) <= PROMISED);
        let strain = Strain {
            is_hearing: load.is_heavy(),
            is_recognising: oldest >= LATE || is_filling,
            is_calm: load.is_light() && oldest < LATE / 4 && !is_filling && would_fit && !self.working.iter().any(|since| now.saturating_sub(*since) > STANDS_STILL),
        };
        let is_sparing = self.spares_for_now(strain, now);
        let to = self.ladder.look(now, Strain { is_recognising: strain.is_recognising && !is_sparing, ..strain })?;
        let is_first_step = (from, to) == (Level::All, Level::NoAgentWords);
        self.spared = if is_first_step && !load.is_heavy() { self.would_be_spared(now) } else { 0 };
        let mut shed = Vec::new();
        if to > from {
            for Waiting { job, since } in std::mem::take(&mut self.queue) {
                if self.is_heard(&job, to) {
                    self.queue.push_back(Waiting { job, since });
                } else {
                    self.queued_seconds -= job.seconds();
                    shed.push(job.shed());
                }
            }
        }
        Some(Step { from, to, shed })
    }

    /// What is left out now.
    #[must_use]
    pub fn level(&self) -> Level {
        self.ladder.level()
    }

    /// How things stand.
    #[must_use]
    pub fn standing(&self, now: Duration) -> Standing {
        let [wait_p50, wait_p95] = self.waits.quantiles([0.5, 0.95], now);
        Standing { level: self.ladder.level(), entered: self.ladder.entered(), waiting: self.queue.len(), wait_p50, wait_p95 }
    }

    fn is_heard(&self, job: &Job, level: Level) -> bool {
        let class = Class::of(job);
        let is_spared = class == Class::Agent && level == Level::NoAgentWords && job.turn.call.0 % SAMPLED < self.spared;
        class.is_heard_at(level) || is_spared
    }

    /// Whether strain is not yet a matter for the ladder: agents' words that are still heard go first.
    fn spares_for_now(&mut self, strain: Strain, now: Duration) -> bool {
        if self.spared == 0 || !(strain.is_hearing || strain.is_recognising) {
            self.spared_in_vain = None;
            return false;
        }
        let since = *self.spared_in_vain.get_or_insert(now);
        if now.saturating_sub(since) >= LATE {
            self.spared = 0;
        }
        true
    }

    /// In how many of [`SAMPLED`] calls there is time for agents' words too.
    fn would_be_spared(&self, now: Duration) -> u64 {
        let [all, without] = [Level::All, Level::NoAgentWords].map(|level| self.utilisation(level, now));
        let fits = |spared: &u64| without + (all - without) * *spared as f64 / SAMPLED as f64 <= PROMISED;
        (1..SAMPLED).rev().find(fits).unwrap_or(0)
    }

    /// What one worker needs for a second of sound, seconds; known once something was recognised.
    fn cost(&self, now: Duration) -> Option<f64> {
        let recognised = self.recognised.per_second(now);
        (recognised > 0.0).then(|| self.worked.per_second(now) / recognised).filter(|cost| *cost > 0.0)
    }

    /// The part of the workers' time that the turns that come would take at a level; above 1 they cannot all be recognised.
    fn utilisation(&self, level: Level, now: Duration) -> f64 {
        let heard = Class::ALL.into_iter().filter(|class| class.is_heard_at(level));
        let offered: f64 = heard.map(|class| self.offered[class as usize].per_second(now)).sum();
        offered * self.cost(now).unwrap_or(0.0) / self.options.workers as f64
    }
}

#[cfg(test)]
mod tests;
