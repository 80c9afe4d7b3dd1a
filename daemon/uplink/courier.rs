//! The courier: which row goes out when, and what becomes of it. No socket, no clock, no database.
//!
//! One rule: **a row is done with when it was acknowledged with success, and at no other time.** Whose word counts is the site's to say: the
//! broker's PUBACK, or a collector's that has the row on its own disk ([`Trust`]). All else (a lost connection, any other answer, silence)
//! leaves it where it is, to be sent again.
//!
//! Rows that come while connected do not queue behind those that waited before: the two take turns.
//!
//! Times are milliseconds of a clock that never goes back. A life is: [`Courier::connected`]; then [`Courier::offer`] whenever the client can
//! take one, [`Courier::sent`] when the client gave it a packet id, [`Courier::answered`] on its PUBACK; [`Courier::lost`] at the end.

use std::collections::BTreeSet;

use sotto_spool::DeadLetter;

use crate::event::{Answer, Loss};
use crate::random::Random;
use crate::Message;

/// How many may be in flight. A broker may ask for fewer.
pub const WINDOW: u16 = 32;

/// So long may the broker acknowledge nothing while something is in flight.
pub const STALLED_AFTER_MS: u64 = 30_000;

/// Ceiling of the first wait for a new connection; it doubles with each failure.
const RETRY_MS: u64 = 1_000;

/// The ceiling's ceiling.
const RETRY_AT_MOST_MS: u64 = 120_000;

/// No wait is shorter.
const RETRY_AT_LEAST_MS: u64 = 100;

/// A broker that acknowledged something is there: whatever ended the connection since, it counts as no more failures in a row than these, so that
/// the wait is 8 s at most. The long waits are for a broker that is away, or that refuses us.
const FAILURES_WHILE_THERE: u32 = 4;

/// The first pause after an answer that leaves the row; it doubles while the answer stays the same.
const PAUSE_MS: u64 = 5_000;

/// The longest such pause.
const PAUSE_AT_MOST_MS: u64 = 60_000;

/// Between two rounds over rows that were left behind.
const ROUND_MS: u64 = 10_000;

/// So many rows may be with the broker while no collector has them.
pub const HANDED_AT_MOST: usize = 1_024;

/// So long may a collector take for what the broker has, before it is sent once more; it doubles each time.
pub const COLLECTED_WITHIN_MS: u64 = 60_000;

/// The longest such wait.
const COLLECTED_AT_MOST_MS: u64 = 16 * 60_000;

/// Whose acknowledgement ends a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Trust {
    /// The broker's: it keeps what it has taken.
    #[default]
    Broker,
    /// A collector's: what the broker has taken may still be lost with the broker.
    Collector,
}

/// What a new connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The broker's receive maximum (65,535 where it named none).
    pub receive_maximum: u16,
    /// Whether a subscription took the first packet id.
    pub has_subscribed: bool,
    /// The newest row that waits; 0 where none does. What is newer came while connected.
    pub newest_row: i64,
}

/// What is handed to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parcel {
    /// A row of the outbox.
    Row(i64),
    /// A message about the box.
    Notice(Message),
    /// The status `offline`, at a clean stop.
    Farewell,
}

/// What became of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered: delete the row.
    Delivered(i64),
    /// The broker has it; it stays until a collector does.
    Handed(i64),
    /// The row stays, to be offered again.
    Kept(i64),
    /// The broker will never take the row: keep it back.
    KeptBack(i64, DeadLetter),
    /// A message about the box was taken, or not.
    Notice(Message),
    /// It is known that we are offline.
    Farewell,
    /// An answer to nothing that is in flight.
    Unasked,
}

/// The client's packet ids went another way than they must: nothing that it says can be matched with a row any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfStep;

/// What follows the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parting {
    /// Wait so long before the next attempt, milliseconds.
    pub wait_ms: u64,
    /// A row that ended it, and that the broker will never take.
    pub kept_back: Option<(i64, DeadLetter)>,
}

/// See the module.
#[derive(Debug)]
pub struct Courier {
    random: Random,
    /// Connections in a row that came to nothing.
    failures: u32,
    /// How the next connection begins, by how the last one ended.
    start: Start,
    connection: Option<Connection>,
    trust: Trust,
    handed: Handed,
}

/// Rows that the broker has and a collector has not, over all connections.
#[derive(Debug, Default)]
struct Handed {
    rows: BTreeSet<i64>,
    /// When a collector last had some of them, or the first of them was handed over.
    progress_ms: u64,
    /// How often in a row they were sent once more without any.
    repeats: u32,
}

/// After a connection that ended before any row was acknowledged, a row may be what ends it: go one by one, and from another row on.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    after_row: i64,
    is_narrow: bool,
}

#[derive(Debug)]
struct Connection {
    /// Packet ids run from 1 to this, and then from 1 again, as rumqttc's do.
    size: u16,
    next_id: u16,
    /// By packet id less one.
    in_flight: Vec<Option<Parcel>>,
    /// Handed to the client, which has not given it an id yet.
    handed: Option<Parcel>,
    notices: [bool; Message::ALL.len()],
    /// The last row that was offered of those that waited before.
    cursor: i64,
    /// The newest of them.
    newest_row: i64,
    /// The last row that was offered of those that came since.
    live_cursor: i64,
    /// Whose turn it is.
    is_live_turn: bool,
    /// Whether rows before a cursor were left.
    has_left_rows: bool,
    next_round_ms: u64,
    /// One row at a time, until one succeeds.
    is_narrow: bool,
    paused_until_ms: u64,
    pauses: u32,
    /// When the broker last acknowledged something, or had nothing to acknowledge.
    progress_ms: u64,
    is_acknowledging: bool,
    has_delivered_rows: bool,
    /// Another box uses our name.
    is_contested: bool,
    is_leaving: bool,
}

impl Courier {
    /// `seed` spreads the reconnections of several boxes.
    #[must_use]
    pub const fn new(seed: u64, trust: Trust) -> Self {
        let handed = Handed { rows: BTreeSet::new(), progress_ms: 0, repeats: 0 };
        Self { random: Random::new(seed), failures: 0, start: Start { after_row: 0, is_narrow: false }, connection: None, trust, handed }
    }

    /// A new connection.
    pub fn connected(&mut self, now_ms: u64, terms: Terms) {
        let size = terms.receive_maximum.clamp(1, WINDOW);
        let start = std::mem::take(&mut self.start);
        self.connection = Some(Connection {
            size,
            next_id: if terms.has_subscribed && size > 1 { 2 } else { 1 },
            in_flight: vec![None; usize::from(size)],
            handed: None,
            notices: [false; Message::ALL.len()],
            cursor: start.after_row,
            newest_row: terms.newest_row,
            live_cursor: terms.newest_row,
            is_live_turn: true,
            has_left_rows: start.after_row > 0,
            next_round_ms: now_ms,
            is_narrow: start.is_narrow,
            paused_until_ms: 0,
            pauses: 0,
            progress_ms: now_ms,
            is_acknowledging: false,
            has_delivered_rows: false,
            is_contested: false,
            is_leaving: false,
        });
    }

    /// A message about the box should go out. Asking twice before it does is asking once.
    pub fn announce(&mut self, message: Message) {
        if let Some(connection) = &mut self.connection {
            connection.notices[message as usize] = true;
        }
    }

    /// Another box uses our name: it will take this connection over, or we have taken over its.
    pub fn contested(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.is_contested = true;
        }
    }

    /// From now on nothing goes out but that we are offline.
    pub fn leave(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.notices = [false; Message::ALL.len()];
            connection.is_leaving = true;
        }
    }

    /// What the client should be given now. `next_row` finds the first row after one and up to another that waits.
    ///
    /// # Errors
    /// Those of `next_row`.
    pub fn offer<E>(&mut self, now_ms: u64, next_row: impl FnMut(i64, i64) -> Result<Option<i64>, E>) -> Result<Option<Parcel>, E> {
        let Some(connection) = &mut self.connection else { return Ok(None) };
        if self.handed.is_overdue(now_ms) {
            self.handed.rows.clear();
            self.handed.repeats += 1;
            connection.begin_again();
        }
        let parcel = connection.choose(now_ms, &self.handed.rows, next_row)?;
        if parcel.is_some() {
            if connection.is_idle() {
                connection.progress_ms = now_ms;
            }
            connection.handed = parcel;
        }
        Ok(parcel)
    }

    /// What was offered was not handed to the client after all; the row stays.
    pub fn withdraw(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.has_left_rows |= matches!(connection.handed.take(), Some(Parcel::Row(_)));
        }
    }

    /// The client gave what was handed to it a packet id.
    ///
    /// # Errors
    /// Not the id that is due, or nothing was handed: end the connection.
    pub fn sent(&mut self, packet_id: u16) -> Result<(), OutOfStep> {
        let connection = self.connection.as_mut().ok_or(OutOfStep)?;
        let parcel = connection.handed.take().ok_or(OutOfStep)?;
        let slot = connection.in_flight.get_mut(usize::from(packet_id).wrapping_sub(1)).ok_or(OutOfStep)?;
        if packet_id != connection.next_id || slot.replace(parcel).is_some() {
            return Err(OutOfStep);
        }
        connection.next_id = if packet_id == connection.size { 1 } else { packet_id + 1 };
        Ok(())
    }

    /// The broker's PUBACK.
    pub fn answered(&mut self, now_ms: u64, packet_id: u16, answer: Answer) -> Outcome {
        let Some(connection) = &mut self.connection else { return Outcome::Unasked };
        let slot = connection.in_flight.get_mut(usize::from(packet_id).wrapping_sub(1));
        let Some(parcel) = slot.and_then(Option::take) else { return Outcome::Unasked };
        connection.progress_ms = now_ms;
        connection.is_acknowledging |= matches!(answer, Answer::Success | Answer::NoSubscriber);
        match (parcel, answer) {
            (Parcel::Notice(message), _) => Outcome::Notice(message),
            (Parcel::Farewell, _) => Outcome::Farewell,
            (Parcel::Row(row), Answer::Success) => {
                connection.has_delivered_rows = true;
                connection.widen();
                if self.trust == Trust::Broker {
                    return Outcome::Delivered(row);
                }
                if self.handed.rows.is_empty() {
                    self.handed.progress_ms = now_ms;
                }
                self.handed.rows.insert(row);
                Outcome::Handed(row)
            }
            (Parcel::Row(row), Answer::PayloadFormat) => Outcome::KeptBack(row, DeadLetter::PayloadFormat),
            (Parcel::Row(row), _) => {
                connection.has_left_rows = true;
                connection.pause(now_ms);
                Outcome::Kept(row)
            }
        }
    }

    /// A collector has what lies within these ranges, both ends included. Returns those rows that it was owed: they are delivered. What was
    /// never handed over it cannot have.
    pub fn collected(&mut self, now_ms: u64, ranges: impl IntoIterator<Item = (i64, i64)>) -> Vec<i64> {
        let mut rows = Vec::new();
        for (from, to) in ranges {
            if from <= to {
                rows.extend(self.handed.rows.range(from..=to).copied());
            }
        }
        for row in &rows {
            self.handed.rows.remove(row);
        }
        if !rows.is_empty() {
            self.handed.progress_ms = now_ms;
            self.handed.repeats = 0;
        }
        rows
    }

    /// How many rows the broker has and no collector.
    #[must_use]
    pub fn handed(&self) -> usize {
        self.handed.rows.len()
    }

    /// Whether the broker has owed an acknowledgement for too long: end the connection.
    #[must_use]
    pub fn is_stalled(&self, now_ms: u64) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_idle() && now_ms.saturating_sub(connection.progress_ms) > STALLED_AFTER_MS)
    }

    /// The connection ended, or did not begin. All that was in flight is as if it had never been sent.
    pub fn lost(&mut self, loss: Loss) -> Parting {
        let connection = self.connection.take();
        // One that was taken over will be so again: its success is none. Nor is it where rows were sent and not one was delivered.
        let is_contested = loss == Loss::TakenOver || connection.as_ref().is_some_and(|connection| connection.is_contested);
        let succeeded = !is_contested
            && connection.as_ref().is_some_and(|connection| connection.has_delivered_rows || (connection.is_acknowledging && connection.rows().next().is_none()));
        let is_there = !is_contested && connection.as_ref().is_some_and(|connection| connection.is_acknowledging);
        self.failures = match self.failures.saturating_add(1) {
            _ if succeeded => 0,
            failures if is_there => failures.min(FAILURES_WHILE_THERE),
            failures => failures,
        };
        let doubled = RETRY_MS.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        let wait_ms = self.random.below(doubled.min(RETRY_AT_MOST_MS)).max(RETRY_AT_LEAST_MS);
        let mut kept_back = None;
        if let Some(connection) = connection {
            let rows: Vec<i64> = connection.rows().collect();
            let only = if let [row] = rows[..] { Some(row) } else { None };
            let why = match loss {
                Loss::PacketTooLarge => Some(DeadLetter::TooLarge),
                Loss::PayloadFormat => Some(DeadLetter::PayloadFormat),
                _ => None,
            };
            kept_back = only.zip(why);
            if !rows.is_empty() && !connection.has_delivered_rows && kept_back.is_none() {
                let after_row = only.filter(|_| connection.is_narrow).unwrap_or(0);
                self.start = Start { after_row, is_narrow: true };
            } else if why.is_some() {
                self.start = Start { after_row: 0, is_narrow: true };
            }
        }
        Parting { wait_ms, kept_back }
    }
}

impl Handed {
    fn is_overdue(&self, now_ms: u64) -> bool {
        let patience = (COLLECTED_WITHIN_MS << self.repeats.min(8)).min(COLLECTED_AT_MOST_MS);
        !self.rows.is_empty() && now_ms.saturating_sub(self.progress_ms) > patience
    }
}

impl Connection {
    fn choose<E>(&mut self, now_ms: u64, handed: &BTreeSet<i64>, mut next_row: impl FnMut(i64, i64) -> Result<Option<i64>, E>) -> Result<Option<Parcel>, E> {
        // The id that comes next may still be in flight, where the broker answers out of order: the client would stash the parcel.
        if self.handed.is_some() || self.in_flight[usize::from(self.next_id - 1)].is_some() {
            return Ok(None);
        }
        if let Some(message) = Message::ALL.into_iter().find(|message| self.notices[*message as usize]) {
            self.notices[message as usize] = false;
            return Ok(Some(Parcel::Notice(message)));
        }
        if self.is_leaving {
            let is_said = self.in_flight.contains(&Some(Parcel::Farewell));
            return Ok((!is_said).then_some(Parcel::Farewell));
        }
        if now_ms < self.paused_until_ms || (self.is_narrow && self.rows().next().is_some()) {
            return Ok(None);
        }
        if handed.len() + self.rows().count() >= HANDED_AT_MOST {
            return Ok(None);
        }
        loop {
            let first = self.is_live_turn;
            self.is_live_turn = !first;
            for is_live in [first, !first] {
                let cursor = if is_live { &mut self.live_cursor } else { &mut self.cursor };
                let newest = if is_live { i64::MAX } else { self.newest_row };
                while let Some(row) = next_row(*cursor, newest)? {
                    *cursor = row;
                    let is_out = self.in_flight.contains(&Some(Parcel::Row(row))) || handed.contains(&row);
                    if !is_out {
                        return Ok(Some(Parcel::Row(row)));
                    }
                }
            }
            if !self.has_left_rows || now_ms < self.next_round_ms {
                return Ok(None);
            }
            self.begin_again();
            self.has_left_rows = false;
            self.next_round_ms = now_ms + ROUND_MS;
        }
    }

    /// From the oldest row on; what came since counts with those that waited.
    const fn begin_again(&mut self) {
        self.cursor = 0;
        self.newest_row = self.live_cursor;
    }

    fn rows(&self) -> impl Iterator<Item = i64> + '_ {
        self.in_flight.iter().chain([&self.handed]).filter_map(|parcel| if let Some(Parcel::Row(row)) = parcel { Some(*row) } else { None })
    }

    fn is_idle(&self) -> bool {
        self.handed.is_none() && self.in_flight.iter().all(Option::is_none)
    }

    const fn widen(&mut self) {
        self.is_narrow = false;
        self.paused_until_ms = 0;
        self.pauses = 0;
    }

    /// What one row was told holds for the others too, most likely: wait, then try with one.
    fn pause(&mut self, now_ms: u64) {
        self.is_narrow = true;
        if now_ms >= self.paused_until_ms {
            self.paused_until_ms = now_ms + (PAUSE_MS << self.pauses.min(8)).min(PAUSE_AT_MOST_MS);
            self.pauses = self.pauses.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests;
