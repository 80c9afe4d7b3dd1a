//! The desk between the spool and the connection: what happened is made durable, and what goes out is written.

use std::collections::VecDeque;

use sotto_charter::Names;
use sotto_report::messages::{Birth, Coverage, Event as Change, EventKind, Gauges, Health, LostRange, State, Status, Withdrawn};
use sotto_report::{Fingerprint, Millis};
use sotto_spool::{DeadLetter, Entry, Loss, Spool, SpoolError, Timekeeper};
use tokio::time::Instant;

use crate::contract::contract_fingerprint;
use crate::courier::{Courier, Outcome, Parcel, Terms, Trust, WINDOW};
use crate::egress::Counting;
use crate::event::{Answer, Event, Loss as Ended};
use crate::mqtt::{Letter, Limits, Link, Signal, Wanted};
use crate::render::{has_names, render_charter, render_entry, render_notice, render_withdrawn};
use crate::run::{Config, UplinkError, schema_fingerprint};
use crate::withdrawing::Withdrawing;
use crate::{Message, Tls};

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

/// So many letters that come to nothing are looked at in one go, each perhaps with a commit: a broker that takes none of a million rows must not keep
/// the loop from the rest of its work.
const LEFT_AT_ONCE: usize = 64;

const HOUR_MS: i64 = 3_600_000;

const DAY_MS: i64 = 24 * HOUR_MS;

/// What a signal asks of the loop.
pub(crate) enum Heard {
    More,
    Farewell,
    Lost(Ended),
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
    /// The broker lets us in, and has not granted what we want to hear yet.
    is_asking: bool,
    /// The connection before ended over that: some brokers hang up where others say no. This one does without.
    is_shy: bool,
    /// Of our last birth that was acknowledged: whatever the broker keeps in its place came later.
    born: Option<Fingerprint>,
    /// Another box uses our name, which is not counted yet.
    is_contested: bool,
    /// The largest packet that the last broker took, 0 before the first.
    largest_packet: u32,
    /// It takes larger ones than the one before, and rows that were too large were not looked at again yet.
    is_roomier: bool,
    /// Rows that waited before, and rows that came since.
    lookaheads: [Lookahead; 2],
    /// The newest of those that waited before.
    newest_row: i64,
    /// Names the outbox to a collector.
    outbox: Fingerprint,
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
    timekeeper: Timekeeper,
    /// The loss that is being told.
    telling: Option<Loss>,
    /// That loss was acknowledged, which is not noted yet.
    is_told: bool,
    /// Acknowledgements could not be noted, which was said.
    is_disk_full: bool,
}

/// Rows that were read from the spool and wait for their turn.
#[derive(Default)]
struct Lookahead {
    after: i64,
    entries: VecDeque<Entry>,
}

impl Lookahead {
    /// The first row after `after` and up to `newest`; it stays at the front.
    fn next(&mut self, spool: &mut Spool, after: i64, newest: i64) -> Result<Option<i64>, SpoolError> {
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
        Ok(self.entries.front().map(|entry| entry.row).filter(|row| *row <= newest))
    }
}

impl<Clock: Fn() -> i64, Events: FnMut(Event)> Desk<Clock, Events> {
    pub(crate) fn new(config: Config, spool: Spool, clock: Clock, events: Events) -> Result<Self, SpoolError> {
        Ok(Self {
            counting: Counting::default(),
            withdrawing: Withdrawing::open(config.told.rights.as_deref())?,
            timekeeper: Timekeeper::new(spool.time_floor()?),
            courier: Courier::new(config.seed, config.trust),
            config,
            spool,
            clock,
            events,
            began: Instant::now(),
            connection: 0,
            limits: None,
            is_asking: false,
            is_shy: false,
            born: None,
            is_contested: false,
            largest_packet: 0,
            is_roomier: false,
            lookaheads: Default::default(),
            newest_row: 0,
            outbox: Fingerprint(0),
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
            telling: None,
            is_told: false,
            is_disk_full: false,
        })
    }

    pub(crate) fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.limits.is_some()
    }

    pub(crate) fn open(&mut self) -> Result<Link, UplinkError> {
        // On a full disk the number stays that of the connection before.
        match self.spool.count_connection() {
            Ok(connection) => self.connection = connection,
            Err(SpoolError::Full { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.has_told_names_unknown = false;
        self.outbox = Fingerprint(u64::from(self.spool.epoch()?));
        self.newest_row = self.spool.newest_row()?;
        Ok(Link::open(&self.config, self.status(State::Offline), self.wanted()))
    }

    fn wanted(&self) -> Wanted {
        Wanted { acks: self.config.trust == Trust::Collector, birth: !self.is_shy }
    }

    /// Takes in what happened.
    pub(crate) fn notice(&mut self, signal: Signal) -> Heard {
        let now_ms = self.monotonic_ms();
        match signal {
            Signal::Asking => self.is_asking = true,
            Signal::Connected(limits) => {
                self.is_asking = false;
                self.limits = Some(limits);
                let largest = limits.maximum_packet_size.unwrap_or(u32::MAX);
                // What the broker before could not take, this one may.
                self.is_roomier |= std::mem::replace(&mut self.largest_packet, largest) < largest;
                self.lookaheads = Default::default();
                let has_subscribed = self.wanted().is_any();
                self.courier.connected(now_ms, Terms { receive_maximum: limits.receive_maximum, has_subscribed, newest_row: self.newest_row });
                for message in [Message::Status, Message::Birth, Message::Health, Message::Coverage, Message::Notice, Message::CallWithdrawn, Message::Lost] {
                    self.courier.announce(message);
                }
                self.published_coverage = None;
                self.next_health_ms = now_ms + HEALTH_EVERY_MS;
                self.next_coverage_ms = now_ms + COVERAGE_EVERY_MS;
                (self.events)(Event::Connected { connection: self.connection });
            }
            // An epoch of this spool, and no connection that is yet to come: that was us.
            Signal::Born(epoch, connection) if (epoch == self.outbox || Some(epoch) == self.born) && connection <= self.connection => {}
            // At a box's first word somebody else's may be that of the box that it replaces.
            Signal::Born(epoch, _) if epoch != self.outbox && self.born.is_none() => {}
            Signal::Born(..) => {
                self.courier.contested();
                self.is_contested = true;
                (self.events)(Event::AnotherBox);
            }
            Signal::Sent(packet_id) => {
                if self.courier.sent(packet_id).is_err() {
                    return Heard::Lost(Ended::Protocol);
                }
            }
            Signal::Answered(packet_id, answer) => match self.courier.answered(now_ms, packet_id, answer) {
                Outcome::Delivered(row) => self.delivered.push(row),
                Outcome::Handed(_) => {}
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
                // Nobody has it before somebody subscribes.
                Outcome::Notice(Message::Lost) if answer == Answer::Success => self.is_told = true,
                Outcome::Notice(Message::Birth) if matches!(answer, Answer::Success | Answer::NoSubscriber) => self.born = Some(self.outbox),
                // A retained message is kept for those who come later.
                Outcome::Notice(_) if matches!(answer, Answer::Success | Answer::NoSubscriber) => {}
                Outcome::Notice(message) => (self.events)(Event::Refused { message, answer }),
                Outcome::Farewell => return Heard::Farewell,
                Outcome::Unasked => return Heard::Lost(Ended::Protocol),
            },
            Signal::Collected(ack) if ack.outbox == self.outbox => {
                let row = |number| i64::try_from(number).unwrap_or(i64::MAX);
                self.delivered.extend(self.courier.collected(now_ms, ack.orders.iter().map(|(from, to)| (row(from), row(to)))));
            }
            // Of a queue that this box had before.
            Signal::Collected(_) => {}
            Signal::Lost(loss) => return Heard::Lost(loss),
        }
        Heard::More
    }

    /// Makes durable what was noticed. On a full disk it stays noticed, and is tried again; whatever is sent meanwhile would be sent twice, so
    /// nothing is.
    pub(crate) fn settle(&mut self) -> Result<(), UplinkError> {
        match self.note() {
            Err(SpoolError::Full { .. }) => {
                if !std::mem::replace(&mut self.is_disk_full, true) {
                    (self.events)(Event::DiskFull);
                }
                Ok(())
            }
            noted => {
                self.is_disk_full &= noted.is_err();
                Ok(noted?)
            }
        }
    }

    fn note(&mut self) -> Result<(), SpoolError> {
        if self.withdrawing.settle()? {
            self.courier.announce(Message::CallWithdrawn);
        }
        if !self.delivered.is_empty() {
            let rows = self.spool.acked(&self.delivered)?;
            self.delivered.clear();
            (self.events)(Event::Delivered { rows });
        }
        if self.is_contested {
            self.spool.count_taken_over()?;
            self.is_contested = false;
        }
        if self.is_roomier {
            self.spool.reconsider_large()?;
            self.is_roomier = false;
        }
        while let Some((answer, rows)) = self.kept.pop() {
            if answer == Answer::NoSubscriber {
                self.spool.count_no_subscriber(rows)?;
            }
            (self.events)(Event::Kept { rows, answer });
        }
        while let Some((row, why)) = self.kept_back.last().copied() {
            self.keep_back(row, why)?;
            self.kept_back.pop();
        }
        if let Some(loss) = self.telling.filter(|_| self.is_told) {
            self.spool.told(loss.id)?;
            (self.events)(Event::LossTold { scores: loss.found.scores });
            (self.telling, self.is_told) = (None, false);
            // There may be another.
            self.courier.announce(Message::Lost);
        }
        Ok(())
    }

    fn keep_back(&mut self, row: i64, why: DeadLetter) -> Result<(), SpoolError> {
        self.spool.keep_back(row, why)?;
        (self.events)(Event::KeptBack { why });
        Ok(())
    }

    /// After the end of a connection: how long to wait, milliseconds.
    pub(crate) fn part(&mut self, loss: Ended) -> Result<u64, UplinkError> {
        self.limits = None;
        let parting = self.courier.lost(loss);
        (self.events)(Event::Lost { loss, retry_ms: parting.wait_ms });
        self.kept_back.extend(parting.kept_back);
        self.settle()?;
        self.is_shy = std::mem::take(&mut self.is_asking);
        if loss == Ended::TakenOver {
            self.spare_full(|spool| spool.count_taken_over())?;
        }
        Ok(parting.wait_ms)
    }

    /// Does what may wait where the disk is full.
    fn spare_full(&mut self, act: impl FnOnce(&mut Spool) -> Result<(), SpoolError>) -> Result<(), SpoolError> {
        match act(&mut self.spool) {
            Err(SpoolError::Full { .. }) => Ok(()),
            done => done,
        }
    }

    /// Retention, once a minute, by a clock that is believed.
    pub(crate) fn expire(&mut self) -> Result<(), UplinkError> {
        let now_ms = self.monotonic_ms();
        if now_ms < self.next_expire_ms {
            return Ok(());
        }
        self.next_expire_ms = now_ms + EXPIRE_EVERY_MS;
        let wall_ms = (self.clock)();
        let reading = self.timekeeper.look(wall_ms, i64::try_from(now_ms).unwrap_or(i64::MAX));
        if let Some(by_ms) = reading.jumped_ms {
            (self.events)(Event::ClockJumped { by_ms });
            self.spare_full(|spool| spool.note_time(0, 1))?;
        }
        if reading.is_steady {
            let mut rows = 0;
            self.spare_full(|spool| {
                rows = spool.expire(wall_ms)?;
                spool.note_time(wall_ms, 0)
            })?;
            if rows > 0 {
                (self.events)(Event::Expired { rows });
            }
            if rows >= Spool::AT_MOST {
                self.next_expire_ms = now_ms;
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
            self.courier.announce(Message::Lost);
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
        if self.is_disk_full {
            return Ok(None);
        }
        for _ in 0..LEFT_AT_ONCE {
            let now_ms = self.monotonic_ms();
            let (spool, [waited, came]) = (&mut self.spool, &mut self.lookaheads);
            let parcel = self.courier.offer(now_ms, |after, newest| {
                let lookahead = if newest == i64::MAX { &mut *came } else { &mut *waited };
                lookahead.next(spool, after, newest)
            })?;
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
        Ok(None)
    }

    fn letter_of(&mut self, row: i64, limits: Limits) -> Result<Option<Letter>, UplinkError> {
        let mut lookaheads = self.lookaheads.iter_mut();
        let found = lookaheads.find_map(|lookahead| lookahead.entries.pop_front_if(|entry| entry.row == row));
        let Some(entry) = found else { return Ok(None) };
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
        let (topic, payload) = render_entry(&entry, self.outbox, &names, &self.config.about);
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
            Message::Birth => render_notice(&self.birth(ts_ms)?, about),
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
            Message::Lost => {
                if self.telling.is_none() {
                    self.telling = self.spool.untold_loss()?;
                }
                let Some(Loss { found, .. }) = self.telling else { return Ok(None) };
                let told = LostRange { ts_ms, lost_from: found.from, lost_to: found.to, lost_calls: found.calls, lost_scores: found.scores };
                render_notice(&told, &self.config.about)
            }
            Message::CallScore => return Ok(None),
        };
        let letter = Letter { topic, payload, is_retained: !matches!(message, Message::CallWithdrawn | Message::Event | Message::Lost), expires_s };
        let maximum = self.limits.and_then(|limits| limits.maximum_packet_size);
        Ok(Some(letter).filter(|letter| maximum.is_none_or(|maximum| letter.packet_size() <= maximum as usize)))
    }

    fn status(&self, state: State) -> Letter {
        let status = Status { ts_ms: Millis::rounded((self.clock)()), state, connection: self.connection };
        let (topic, payload) = render_notice(&status, &self.config.about);
        Letter { topic, payload, is_retained: true, expires_s: None }
    }

    fn birth(&self, ts_ms: Millis) -> Result<Birth, SpoolError> {
        let (version_major, version_minor, version_patch) = self.config.version;
        Ok(Birth {
            ts_ms,
            connection: self.connection,
            version_major,
            version_minor,
            version_patch,
            epoch: Fingerprint(u64::from(self.spool.epoch()?)),
            charter: self.config.charter,
            schema: schema_fingerprint(),
            contract: contract_fingerprint(),
        })
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
            lost_calls: backlog.lost_calls,
            lost_scores: backlog.lost_scores,
            taken_over: backlog.taken_over,
            clock_jumps: backlog.clock_jumps,
            certificate_days_left: self.config.tls.as_ref().and_then(Tls::ends_s).map(|ends_s| days(ends_s * 1_000 - now)),
            charter_days_left: self.config.review_day.map(|day| days(day * DAY_MS - now + DAY_MS - 1)),
            tap_age_s: tap.map(|tap| u64::try_from((now - tap.written_ms) / 1_000).unwrap_or(0)),
            tap: tap.map(|tap| tap.gauges).unwrap_or_default(),
        })
    }
}

/// Whole days in so many milliseconds; 0 where they are over.
fn days(ms: i64) -> u64 {
    u64::try_from(ms / DAY_MS).unwrap_or(0)
}
