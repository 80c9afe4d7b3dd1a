//! The desk between the spool and the connection: what happened is made durable, and what goes out is written.

use std::collections::VecDeque;

use sotto_charter::Names;
use sotto_report::messages::{Birth, Coverage, Event as Change, EventKind, Gauges, Health, State, Status, Withdrawn};
use sotto_report::{Fingerprint, Millis};
use sotto_spool::{DeadLetter, Entry, Spool, SpoolError};
use tokio::time::Instant;

use crate::courier::{Courier, Outcome, Parcel, WINDOW};
use crate::egress::Counting;
use crate::event::{Answer, Event, Loss};
use crate::mqtt::{Letter, Limits, Link, Signal};
use crate::render::{has_names, render, render_charter, render_notice, render_withdrawn};
use crate::run::{Config, UplinkError, schema_fingerprint};
use crate::withdrawing::Withdrawing;
use crate::Message;

const HEALTH_EVERY_MS: u64 = 30_000;

/// A broker forgets a health that was not renewed: a gauge that stands still would look well.
const HEALTH_EXPIRES_S: u32 = 90;

/// The ledger is published when it changed, and no more often than this.
const COVERAGE_EVERY_MS: u64 = 5_000;

/// How often it is looked whether a score was contested or erased: downstream hears of it within this.
const WITHDRAWALS_EVERY_MS: u64 = 1_000;

/// A tombstone that nobody has heard is said again after this.
const UNHEARD_MS: u64 = 10_000;

/// How often what the tap leaves out is looked at.
const SHEDDING_EVERY_MS: u64 = 1_000;

const EXPIRE_EVERY_MS: u64 = 60_000;

const HOUR_MS: i64 = 3_600_000;

/// What a signal asks of the loop.
pub(crate) enum Heard {
    More,
    Farewell,
    Lost(Loss),
}

/// What lies between the spool and the connection.
pub(crate) struct Desk<Clock, Events> {
    pub(crate) config: Config,
    pub(crate) spool: Spool,
    clock: Clock,
    pub(crate) events: Events,
    pub(crate) courier: Courier,
    began: Instant,
    connection: u64,
    limits: Option<Limits>,
    lookahead: Lookahead,
    /// Acknowledged with success, not deleted yet.
    delivered: Vec<i64>,
    kept_back: Vec<(i64, DeadLetter)>,
    /// Answers other than success, to be told and counted together.
    kept: Vec<(Answer, u64)>,
    published_coverage: Option<Coverage>,
    /// What the tap said of its shedding when it was last told, or first seen.
    told_shedding: Option<Gauges>,
    next_shedding_ms: u64,
    next_health_ms: u64,
    next_coverage_ms: u64,
    next_withdrawal_ms: u64,
    next_expire_ms: u64,
    has_told_names_unknown: bool,
    withdrawing: Withdrawing,
    counting: Counting,
}

/// Rows that were read from the spool and wait for their turn.
#[derive(Default)]
struct Lookahead {
    after: i64,
    entries: VecDeque<Entry>,
}

impl Lookahead {
    /// The first row after `after`; it stays at the front.
    fn next(&mut self, spool: &mut Spool, after: i64) -> Result<Option<i64>, SpoolError> {
        if after < self.after {
            self.entries.clear();
        }
        self.after = after;
        while self.entries.front().is_some_and(|entry| entry.row <= after) {
            self.entries.pop_front();
        }
        if self.entries.is_empty() {
            self.entries = spool.pending(after, usize::from(WINDOW))?.into();
        }
        Ok(self.entries.front().map(|entry| entry.row))
    }
}

impl<Clock: Fn() -> i64, Events: FnMut(Event)> Desk<Clock, Events> {
    pub(crate) fn new(config: Config, spool: Spool, clock: Clock, events: Events) -> Result<Self, SpoolError> {
        Ok(Self {
            counting: Counting::default(),
            withdrawing: Withdrawing::open(config.told.rights.as_deref())?,
            courier: Courier::new(config.seed),
            config,
            spool,
            clock,
            events,
            began: Instant::now(),
            connection: 0,
            limits: None,
            lookahead: Lookahead::default(),
            delivered: Vec::new(),
            kept_back: Vec::new(),
            kept: Vec::new(),
            published_coverage: None,
            told_shedding: None,
            next_shedding_ms: 0,
            next_health_ms: 0,
            next_coverage_ms: 0,
            next_withdrawal_ms: 0,
            next_expire_ms: 0,
            has_told_names_unknown: false,
        })
    }

    pub(crate) fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.limits.is_some()
    }

    pub(crate) fn open(&mut self) -> Result<Link, UplinkError> {
        self.connection = self.spool.count_connection()?;
        self.has_told_names_unknown = false;
        let Config { broker, credentials, tls, about, .. } = &self.config;
        let will = self.status(State::Offline);
        Ok(Link::open(broker, credentials.as_ref(), tls.as_ref(), about.client_id(), will))
    }

    /// Takes in what happened.
    pub(crate) fn notice(&mut self, signal: Signal) -> Heard {
        let now_ms = self.monotonic_ms();
        match signal {
            Signal::Connected(limits) => {
                self.limits = Some(limits);
                self.lookahead = Lookahead::default();
                self.courier.connected(now_ms, limits.receive_maximum);
                for message in [Message::Status, Message::Birth, Message::Health, Message::Coverage, Message::Notice, Message::CallWithdrawn] {
                    self.courier.announce(message);
                }
                self.published_coverage = None;
                self.next_health_ms = now_ms + HEALTH_EVERY_MS;
                self.next_coverage_ms = now_ms + COVERAGE_EVERY_MS;
                (self.events)(Event::Connected { connection: self.connection });
            }
            Signal::Sent(packet_id) => {
                if self.courier.sent(packet_id).is_err() {
                    return Heard::Lost(Loss::Protocol);
                }
            }
            Signal::Answered(packet_id, answer) => match self.courier.answered(now_ms, packet_id, answer) {
                Outcome::Delivered(row) => self.delivered.push(row),
                Outcome::Kept(_) => match self.kept.iter_mut().find(|(known, _)| *known == answer) {
                    Some((_, rows)) => *rows += 1,
                    None => self.kept.push((answer, 1)),
                },
                Outcome::KeptBack(row, why) => self.kept_back.push((row, why)),
                // Downstream must hear of it: nobody has it before somebody subscribes.
                Outcome::Notice(Message::CallWithdrawn) if answer == Answer::Success => self.withdrawing.acknowledged(),
                Outcome::Notice(Message::CallWithdrawn) => {
                    self.withdrawing.unheard();
                    self.next_withdrawal_ms = now_ms + UNHEARD_MS;
                }
                // A retained message is kept for those who come later.
                Outcome::Notice(_) if matches!(answer, Answer::Success | Answer::NoSubscriber) => {}
                Outcome::Notice(message) => (self.events)(Event::Refused { message, answer }),
                Outcome::Farewell => return Heard::Farewell,
                Outcome::Unasked => return Heard::Lost(Loss::Protocol),
            },
            Signal::Lost(loss) => return Heard::Lost(loss),
        }
        Heard::More
    }

    /// Makes durable what was noticed.
    pub(crate) fn settle(&mut self) -> Result<(), UplinkError> {
        if self.withdrawing.settle()? {
            self.courier.announce(Message::CallWithdrawn);
        }
        if !self.delivered.is_empty() {
            let rows = self.spool.acked(&self.delivered)?;
            self.delivered.clear();
            (self.events)(Event::Delivered { rows });
        }
        for (answer, rows) in std::mem::take(&mut self.kept) {
            if answer == Answer::NoSubscriber {
                self.spool.count_no_subscriber(rows)?;
            }
            (self.events)(Event::Kept { rows, answer });
        }
        for (row, why) in std::mem::take(&mut self.kept_back) {
            self.keep_back(row, why)?;
        }
        Ok(())
    }

    fn keep_back(&mut self, row: i64, why: DeadLetter) -> Result<(), UplinkError> {
        self.spool.keep_back(row, why)?;
        (self.events)(Event::KeptBack { why });
        Ok(())
    }

    /// After the end of a connection: how long to wait, milliseconds.
    pub(crate) fn part(&mut self, loss: Loss) -> Result<u64, UplinkError> {
        self.limits = None;
        let parting = self.courier.lost(loss);
        (self.events)(Event::Lost { loss, retry_ms: parting.wait_ms });
        if let Some((row, why)) = parting.kept_back {
            self.keep_back(row, why)?;
        }
        Ok(parting.wait_ms)
    }

    pub(crate) fn expire(&mut self) -> Result<(), UplinkError> {
        let now_ms = self.monotonic_ms();
        if now_ms >= self.next_expire_ms {
            self.next_expire_ms = now_ms + EXPIRE_EVERY_MS;
            let rows = self.spool.expire((self.clock)())?;
            if rows > 0 {
                (self.events)(Event::Expired { rows });
            }
        }
        Ok(())
    }

    pub(crate) fn housekeeping(&mut self) -> Result<(), UplinkError> {
        self.expire()?;
        let now_ms = self.monotonic_ms();
        if now_ms >= self.next_health_ms {
            self.next_health_ms = now_ms + HEALTH_EVERY_MS;
            self.courier.announce(Message::Health);
        }
        if now_ms >= self.next_withdrawal_ms && self.is_connected() {
            self.next_withdrawal_ms = now_ms + WITHDRAWALS_EVERY_MS;
            if self.withdrawing.is_waiting()? {
                self.courier.announce(Message::CallWithdrawn);
            }
            self.withdrawing.count(&mut self.counting)?;
        }
        if now_ms >= self.next_shedding_ms && self.is_connected() {
            self.next_shedding_ms = now_ms + SHEDDING_EVERY_MS;
            if let Some(tap) = self.spool.tap_gauges()? {
                // A tap that leaves nothing out, and never did, is no news; nor is one that began anew.
                let told = self.told_shedding.unwrap_or_default();
                if tap.gauges.shed_level != told.shed_level || tap.gauges.shed_steps() > told.shed_steps() {
                    self.courier.announce(Message::Event);
                } else {
                    self.told_shedding = Some(tap.gauges);
                }
            }
        }
        if now_ms >= self.next_coverage_ms && self.is_connected() {
            self.next_coverage_ms = now_ms + COVERAGE_EVERY_MS;
            if self.published_coverage != Some(self.coverage()?) {
                self.courier.announce(Message::Coverage);
            }
        }
        Ok(())
    }

    /// The ledger, its time left out. Just after the hour it is once more that of the hour that ended.
    fn coverage(&self) -> Result<Coverage, SpoolError> {
        let now = (self.clock)();
        let hour = Millis::rounded(now - now.rem_euclid(HOUR_MS));
        let ended = self.published_coverage.filter(|published| published.hour < hour);
        let coverage = match ended {
            Some(published) => self.spool.coverage(published.hour.get())?,
            None => self.spool.coverage(now)?,
        };
        let coverage = Coverage { ts: Millis::default(), ..coverage };
        // It was published as it ended: on to the next.
        if ended == Some(coverage) { Ok(Coverage { ts: Millis::default(), ..self.spool.coverage(now)? }) } else { Ok(coverage) }
    }

    /// What goes out next, if something can.
    pub(crate) fn next_letter(&mut self) -> Result<Option<Letter>, UplinkError> {
        loop {
            let now_ms = self.monotonic_ms();
            let (spool, lookahead) = (&mut self.spool, &mut self.lookahead);
            let parcel = self.courier.offer(now_ms, |after| lookahead.next(spool, after))?;
            let Some(limits) = self.limits else { return Ok(None) };
            let letter = match parcel {
                None => return Ok(None),
                Some(Parcel::Notice(message)) => self.letter_about(message)?,
                Some(Parcel::Farewell) => Some(self.status(State::Offline)),
                Some(Parcel::Row(row)) => self.letter_of(row, limits)?,
            };
            match letter {
                Some(letter) => {
                    self.counting.count(&letter.topic, &letter.payload, &self.config.about, (self.clock)());
                    return Ok(Some(Letter { is_retained: letter.is_retained && limits.keeps_retained, ..letter }));
                }
                None => self.courier.withdraw(),
            }
        }
    }

    fn letter_of(&mut self, row: i64, limits: Limits) -> Result<Option<Letter>, UplinkError> {
        let Some(entry) = self.lookahead.entries.pop_front().filter(|entry| entry.row == row) else { return Ok(None) };
        let left_ms = entry.score.expires.get() - (self.clock)();
        if left_ms <= 0 {
            // Retention takes it within a minute.
            return Ok(None);
        }
        let is_nameless = entry.score.team.is_none() && entry.score.line.is_none();
        let names = if is_nameless { Some(Names::default()) } else { self.spool.names(entry.names)? };
        let Some(names) = names else {
            if !std::mem::replace(&mut self.has_told_names_unknown, true) {
                (self.events)(Event::NamesUnknown);
            }
            return Ok(None);
        };
        if !has_names(&entry.score, &names) {
            self.keep_back(row, DeadLetter::Invalid)?;
            return Ok(None);
        }
        let (topic, payload) = render(&entry.score, &names, &self.config.about);
        let expires_s = u32::try_from((left_ms / 1_000).max(1)).unwrap_or(u32::MAX);
        let letter = Letter { topic, payload, is_retained: false, expires_s: Some(expires_s) };
        if limits.maximum_packet_size.is_some_and(|maximum| letter.packet_size() > maximum as usize) {
            self.keep_back(row, DeadLetter::TooLarge)?;
            return Ok(None);
        }
        Ok(Some(letter))
    }

    /// `None` where the broker could not take it.
    fn letter_about(&mut self, message: Message) -> Result<Option<Letter>, UplinkError> {
        let ts_ms = Millis::rounded((self.clock)());
        let about = &self.config.about;
        let mut expires_s = None;
        let (topic, payload) = match message {
            Message::Status => return Ok(Some(self.status(State::Online))),
            Message::Birth => render_notice(&self.birth(ts_ms), about),
            Message::Health => {
                expires_s = Some(HEALTH_EXPIRES_S);
                render_notice(&self.health(ts_ms)?, about)
            }
            Message::Coverage => {
                let coverage = self.coverage()?;
                self.published_coverage = Some(coverage);
                render_notice(&Coverage { ts: ts_ms, ..coverage }, &self.config.about)
            }
            Message::CallWithdrawn => {
                let Some(withdrawal) = self.withdrawing.next()? else { return Ok(None) };
                render_withdrawn(&Withdrawn { v: 1, call: withdrawal.call }, &self.config.about)
            }
            Message::Notice if self.config.told.notice.is_empty() => return Ok(None),
            Message::Notice => render_charter(&self.config.told.notice, self.config.charter, ts_ms, about),
            Message::Event => {
                let gauges = self.spool.tap_gauges()?.map(|tap| tap.gauges).unwrap_or_default();
                let shed_level_before = self.told_shedding.map_or(0, |told| told.shed_level);
                self.told_shedding = Some(gauges);
                let (topic, payload) = render_notice(&Change { ts_ms, event: EventKind::Shedding, shed_level: gauges.shed_level, shed_level_before }, about);
                // News of the moment: a dashboard keeps it, a broker need not.
                return Ok(Some(Letter { topic, payload, is_retained: false, expires_s: None }));
            }
            Message::CallScore => return Ok(None),
        };
        let letter = Letter { topic, payload, is_retained: message != Message::CallWithdrawn, expires_s };
        let maximum = self.limits.and_then(|limits| limits.maximum_packet_size);
        Ok(Some(letter).filter(|letter| maximum.is_none_or(|maximum| letter.packet_size() <= maximum as usize)))
    }

    fn status(&self, state: State) -> Letter {
        let status = Status { ts_ms: Millis::rounded((self.clock)()), state, connection: self.connection };
        let (topic, payload) = render_notice(&status, &self.config.about);
        Letter { topic, payload, is_retained: true, expires_s: None }
    }

    fn birth(&self, ts_ms: Millis) -> Birth {
        let (version_major, version_minor, version_patch) = self.config.version;
        Birth {
            ts_ms,
            connection: self.connection,
            version_major,
            version_minor,
            version_patch,
            epoch: Fingerprint(u64::from(self.spool.epoch())),
            charter: self.config.charter,
            schema: schema_fingerprint(),
        }
    }

    fn health(&self, ts_ms: Millis) -> Result<Health, SpoolError> {
        let now = (self.clock)();
        let backlog = self.spool.backlog(now)?;
        let tap = self.spool.tap_gauges()?;
        let anchor = self.withdrawing.anchor()?.filter(|anchor| anchor.seq > 0);
        Ok(Health {
            ts_ms,
            connection: self.connection,
            backlog: backlog.waiting,
            backlog_age_s: backlog.oldest_ms / 1_000,
            expired_unacked: backlog.expired_unacked,
            dead_letters: backlog.dead_letters,
            acked: backlog.acked,
            no_subscriber: backlog.no_subscriber,
            invalid_rows: backlog.invalid,
            audit_seq: anchor.map(|anchor| anchor.seq),
            audit_hash: anchor.map(|anchor| Fingerprint(anchor.hash.iter().take(8).fold(0, |sum, &byte| (sum << 8) | u64::from(byte)))),
            tap_age_s: tap.map(|tap| u64::try_from((now - tap.written_ms) / 1_000).unwrap_or(0)),
            tap: tap.map(|tap| tap.gauges).unwrap_or_default(),
        })
    }
}
