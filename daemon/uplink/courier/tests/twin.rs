//! The twin: a box, a broker and a collector that exist in numbers alone, with everything between them that can go wrong. Each seed is a
//! life of an hour or so; a seed that fails can be lived again:
//!
//! `SOTTO_SEED=4711 cargo test --release -p sotto-uplink twin -- --nocapture`, and `SOTTO_SEEDS=100000` for a campaign.

use std::collections::VecDeque;

use sotto_spool::Timekeeper;

use super::*;

/// Seeds that every run of the tests lives through.
const SEEDS: u64 = 3_000;

const ROWS: i64 = 60;

/// Until here everything goes wrong, and from here on nothing.
const HEALS_AT_MS: u64 = 20 * 60_000;

/// By then all must have arrived: the longest wait for a collector, and some rounds.
const DONE_BY_MS: u64 = HEALS_AT_MS + 45 * 60_000;

const WALL_MS: i64 = 1_790_000_000_000;
const KEPT_FOR_MS: i64 = 7 * 86_400_000;

struct World {
    seed: u64,
    random: Random,
    now_ms: u64,
    trust: Trust,
    /// The outbox: what survives a crash of the box.
    rows: BTreeSet<i64>,
    added: i64,
    deleted: BTreeSet<i64>,
    kept_back: BTreeSet<i64>,
    courier: Courier,
    link: Option<Link>,
    connect_at_ms: u64,
    broker: Broker,
    collector: Collector,
    /// By how much the wall clock is wrong, and until when.
    wrong_by_ms: i64,
    wrong_until_ms: u64,
    timekeeper: Timekeeper,
    next_expire_ms: u64,
}

/// A connection between box and broker; what is on its way in either direction is lost with it.
struct Link {
    size: u16,
    next_id: u16,
    up: VecDeque<(u16, i64)>,
    down: VecDeque<Down>,
    is_half_open: bool,
}

enum Down {
    Answer(u16, Answer),
    /// Ranges that the collector has.
    Collected(Vec<(i64, i64)>),
}

struct Broker {
    is_up: bool,
    back_at_ms: u64,
    /// What it took and the collector has not fetched; gone when it is wiped.
    queue: VecDeque<i64>,
    /// What it ever took.
    took: BTreeSet<i64>,
    receive_maximum: u16,
}

#[derive(Default)]
struct Collector {
    /// Received, not committed yet: gone in a crash.
    open: BTreeSet<i64>,
    durable: BTreeSet<i64>,
    down_until_ms: u64,
}

#[test]
fn a_twin_of_box_broker_and_collector_loses_nothing() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SOTTO_SEED") {
        return World::new(seed).live();
    }
    let seeds = number("SOTTO_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        World::new(seed).live();
    }
    eprintln!("{seeds} lives, nothing lost");
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let trust = if random.below(2) == 0 { Trust::Broker } else { Trust::Collector };
        let receive_maximum = [1, 2, 7, 32, 33, u16::MAX][random.below(6) as usize];
        Self {
            seed,
            now_ms: 0,
            trust,
            rows: BTreeSet::new(),
            added: 0,
            deleted: BTreeSet::new(),
            kept_back: BTreeSet::new(),
            courier: Courier::new(seed, trust),
            link: None,
            connect_at_ms: 0,
            broker: Broker { is_up: true, back_at_ms: 0, queue: VecDeque::new(), took: BTreeSet::new(), receive_maximum },
            collector: Collector::default(),
            wrong_by_ms: 0,
            wrong_until_ms: 0,
            timekeeper: Timekeeper::new(WALL_MS),
            next_expire_ms: 0,
            random,
        }
    }

    fn live(mut self) {
        while self.added < ROWS || !self.rows.is_empty() {
            self.now_ms += 20 + self.random.below(2_000);
            assert!(self.now_ms < DONE_BY_MS, "seed {}: {:?} never arrived ({:?})", self.seed, self.rows, self.trust);
            if self.is_ill() {
                self.misfortune();
            } else {
                self.broker.back_at_ms = self.broker.back_at_ms.min(self.now_ms);
                self.collector.down_until_ms = self.collector.down_until_ms.min(self.now_ms);
                self.link.iter_mut().for_each(|link| link.is_half_open = false);
            }
            if self.added < ROWS && (!self.is_ill() || self.random.below(12) == 0) {
                self.added += 1;
                self.rows.insert(self.added);
            }
            self.turn_broker();
            self.turn_collector();
            self.turn_box();
            self.expire();
        }
        let accounted: BTreeSet<i64> = self.deleted.union(&self.kept_back).copied().collect();
        assert_eq!(accounted, (1..=ROWS).collect(), "seed {}", self.seed);
    }

    fn is_ill(&self) -> bool {
        self.now_ms < HEALS_AT_MS
    }

    fn misfortune(&mut self) {
        match self.random.below(160) {
            // The box is switched off: the courier forgets everything, the rows are on the disk.
            0 | 1 => {
                self.link = None;
                self.courier = Courier::new(self.random.below(u64::MAX), self.trust);
                self.connect_at_ms = self.now_ms + self.random.below(20_000);
                self.timekeeper = Timekeeper::new(WALL_MS);
            }
            // The broker is killed; where a collector is trusted it may lose all that it had, else it keeps its word.
            2 | 3 => {
                self.cut(Loss::Closed);
                self.broker.is_up = false;
                self.broker.back_at_ms = self.now_ms + self.random.below(120_000);
                if self.trust == Trust::Collector && self.random.below(2) == 0 {
                    self.broker.queue.clear();
                }
            }
            4..=8 => {
                let loss = [Loss::Closed, Loss::Unreachable, Loss::TakenOver, Loss::PacketTooLarge, Loss::Disconnected][self.random.below(5) as usize];
                self.cut(loss);
            }
            // Nothing arrives any more, and nobody is told.
            9 => self.link.iter_mut().for_each(|link| link.is_half_open = true),
            10 => {
                self.collector.open.clear();
                self.collector.down_until_ms = self.now_ms + self.random.below(300_000);
            }
            // The clock is set wrong, and put right within some minutes; a clock that is wrong for longer is believed.
            11 if self.wrong_until_ms + 120_000 < self.now_ms => {
                let years = 365 * 86_400_000 * (1 + self.random.below(10) as i64);
                self.wrong_by_ms = if self.random.below(2) == 0 { years } else { -years };
                self.wrong_until_ms = self.now_ms + self.random.below(9 * 60_000);
            }
            12 => {
                // What the broker had for the collector is dropped, as by a queue that is full.
                if self.trust == Trust::Collector {
                    self.broker.queue.pop_front();
                }
            }
            _ => {}
        }
    }

    fn cut(&mut self, loss: Loss) {
        if self.link.take().is_some() {
            let parting = self.courier.lost(loss);
            self.part(parting);
        }
    }

    fn part(&mut self, parting: Parting) {
        self.connect_at_ms = self.now_ms + parting.wait_ms;
        if let Some((row, _)) = parting.kept_back {
            self.rows.remove(&row);
            self.kept_back.insert(row);
        }
    }

    fn turn_broker(&mut self) {
        if !self.broker.is_up && self.now_ms >= self.broker.back_at_ms {
            self.broker.is_up = true;
        }
        let is_ill = self.is_ill();
        let Some(link) = self.link.as_mut().filter(|link| !link.is_half_open && self.broker.is_up) else { return };
        while let Some((id, row)) = link.up.pop_front() {
            let answer = match self.random.below(40) {
                0 if is_ill => Answer::NoSubscriber,
                1 if is_ill => Answer::NotAuthorized,
                2 if is_ill => Answer::Quota,
                3 if is_ill && self.random.below(10) == 0 => Answer::PayloadFormat,
                // Stalled: no word of it.
                4 if is_ill => continue,
                _ => Answer::Success,
            };
            if answer == Answer::Success {
                self.broker.took.insert(row);
                self.broker.queue.push_back(row);
            }
            let place = if is_ill && self.random.below(6) == 0 { 0 } else { link.down.len() };
            link.down.insert(place, Down::Answer(id, answer));
            if is_ill && self.random.below(15) == 0 {
                // Once more, or of something that nobody sent: the loop ends the connection there; the courier must not care.
                let id = if self.random.below(2) == 0 { id } else { self.random.below(1 << 16) as u16 | 64 };
                link.down.push_back(Down::Answer(id, Answer::Success));
            }
        }
    }

    fn turn_collector(&mut self) {
        if self.trust == Trust::Broker || self.now_ms < self.collector.down_until_ms {
            return;
        }
        if self.broker.is_up {
            let fetched = self.random.below(8) as usize;
            for _ in 0..fetched.min(self.broker.queue.len()) {
                self.collector.open.extend(self.broker.queue.pop_front());
            }
        }
        if self.random.below(3) > 0 {
            return;
        }
        self.collector.durable.append(&mut self.collector.open);
        // It says what it has; whether it arrives is another matter, and it says it again.
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for row in &self.collector.durable {
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == *row => *to = *row,
                _ => ranges.push((*row, *row)),
            }
        }
        let is_lost = self.is_ill() && self.random.below(4) == 0;
        if let Some(link) = self.link.as_mut().filter(|link| !link.is_half_open && self.broker.is_up && !is_lost) {
            link.down.push_back(Down::Collected(ranges));
        }
    }

    fn turn_box(&mut self) {
        if self.link.is_none() {
            if self.now_ms < self.connect_at_ms {
                return;
            }
            if !self.broker.is_up {
                let parting = self.courier.lost(Loss::Unreachable);
                return self.part(parting);
            }
            let receive_maximum = self.broker.receive_maximum;
            let size = receive_maximum.clamp(1, WINDOW);
            let has_subscribed = self.trust == Trust::Collector;
            self.courier.connected(self.now_ms, Terms { receive_maximum, has_subscribed, newest_row: self.rows.last().copied().unwrap_or(0) });
            let next_id = if has_subscribed && size > 1 { 2 } else { 1 };
            self.link = Some(Link { size, next_id, up: VecDeque::new(), down: VecDeque::new(), is_half_open: false });
        }
        let Some(link) = &mut self.link else { return };
        let mut delivered = Vec::new();
        while let Some(down) = if link.is_half_open { None } else { link.down.pop_front() } {
            match down {
                Down::Answer(id, answer) => match self.courier.answered(self.now_ms, id, answer) {
                    Outcome::Delivered(row) => delivered.push(row),
                    Outcome::KeptBack(row, _) => {
                        self.rows.remove(&row);
                        self.kept_back.insert(row);
                    }
                    Outcome::Handed(row) => assert_eq!(self.trust, Trust::Collector, "seed {}: row {row}", self.seed),
                    Outcome::Kept(_) | Outcome::Unasked => {}
                    other => panic!("seed {}: {other:?}", self.seed),
                },
                Down::Collected(ranges) => delivered.extend(self.courier.collected(self.now_ms, ranges)),
            }
        }
        let has = if self.trust == Trust::Broker { &self.broker.took } else { &self.collector.durable };
        for row in delivered {
            assert!(has.contains(&row), "seed {}: row {row} was deleted, and nobody has it", self.seed);
            self.rows.remove(&row);
            self.deleted.insert(row);
        }
        while let Some(parcel) = self.courier.offer(self.now_ms, next_row(&self.rows)).unwrap() {
            let Parcel::Row(row) = parcel else { panic!("seed {}: {parcel:?}", self.seed) };
            self.courier.sent(link.next_id).unwrap_or_else(|_| panic!("seed {}: packet id {}", self.seed, link.next_id));
            link.up.push_back((link.next_id, row));
            link.next_id = if link.next_id == link.size { 1 } else { link.next_id + 1 };
        }
        if self.courier.is_stalled(self.now_ms) {
            self.cut(Loss::Stalled);
        }
    }

    /// Retention, as the desk does it: a clock that is wrong for some minutes ends nothing.
    fn expire(&mut self) {
        if self.now_ms < self.next_expire_ms {
            return;
        }
        self.next_expire_ms = self.now_ms + 60_000;
        let wrong = if self.now_ms < self.wrong_until_ms { self.wrong_by_ms } else { 0 };
        let wall_ms = WALL_MS + self.now_ms as i64 + wrong;
        let reading = self.timekeeper.look(wall_ms, self.now_ms as i64);
        let is_expired = wall_ms > WALL_MS + KEPT_FOR_MS;
        assert!(!(reading.is_steady && is_expired && !self.rows.is_empty()), "seed {}: rows end {wrong} ms before their time", self.seed);
    }
}
