use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use super::*;

mod twin;

/// A table of rows, as the spool keeps them.
fn next_row(rows: &BTreeSet<i64>) -> impl Fn(i64, i64) -> Result<Option<i64>, Infallible> + '_ {
    |after, newest| Ok(rows.range(after + 1..).next().copied().filter(|row| *row <= newest))
}

/// A connection that finds these rows waiting.
fn connect(courier: &mut Courier, now_ms: u64, receive_maximum: u16, rows: &BTreeSet<i64>) {
    courier.connected(now_ms, Terms { receive_maximum, has_subscribed: false, newest_row: rows.last().copied().unwrap_or(0) });
}

fn offer(courier: &mut Courier, now_ms: u64, rows: &BTreeSet<i64>) -> Option<Parcel> {
    courier.offer(now_ms, next_row(rows)).unwrap()
}

/// Offers and sends all that may go out; the ids follow rumqttc's count.
fn send_all(courier: &mut Courier, now_ms: u64, rows: &BTreeSet<i64>, id: &mut u16, size: u16) -> Vec<Parcel> {
    std::iter::from_fn(|| {
        let parcel = offer(courier, now_ms, rows)?;
        courier.sent(*id).unwrap();
        *id = if *id == size { 1 } else { *id + 1 };
        Some(parcel)
    })
    .collect()
}

#[test]
fn notices_go_first_and_the_window_holds() {
    let rows: BTreeSet<i64> = (1..=100).collect();
    let mut courier = Courier::new(1, Trust::Broker);
    assert_eq!(offer(&mut courier, 0, &rows), None, "not connected");
    connect(&mut courier, 0, u16::MAX, &rows);
    courier.announce(Message::Birth);
    courier.announce(Message::Status);
    let mut id = 1;
    let sent = send_all(&mut courier, 0, &rows, &mut id, WINDOW);
    assert_eq!(sent.len(), usize::from(WINDOW));
    assert_eq!(sent[..3], [Parcel::Notice(Message::Status), Parcel::Notice(Message::Birth), Parcel::Row(1)]);
    // The second slot is free, but the id that comes next is still in flight.
    assert_eq!(courier.answered(1, 2, Answer::Success), Outcome::Notice(Message::Birth));
    assert_eq!(offer(&mut courier, 1, &rows), None);
    assert_eq!(courier.answered(1, 1, Answer::Success), Outcome::Notice(Message::Status));
    assert_eq!(send_all(&mut courier, 1, &rows, &mut id, WINDOW), [Parcel::Row(31), Parcel::Row(32)]);
    assert_eq!(courier.answered(2, 3, Answer::Success), Outcome::Delivered(1));
    for (id, what) in [(3, "twice"), (0, "no id"), (33, "beyond the window"), (u16::MAX, "far beyond")] {
        assert_eq!(courier.answered(2, id, Answer::Success), Outcome::Unasked, "{what}");
    }
}

#[test]
fn the_client_must_count_as_we_do() {
    let rows: BTreeSet<i64> = (1..=9).collect();
    let mut courier = Courier::new(1, Trust::Broker);
    connect(&mut courier, 0, 2, &rows);
    assert_eq!(courier.sent(1), Err(OutOfStep), "nothing was handed over");
    offer(&mut courier, 0, &rows);
    assert_eq!(offer(&mut courier, 0, &rows), None, "one at a time");
    assert_eq!(courier.sent(2), Err(OutOfStep));
}

#[test]
fn a_broker_may_take_one_at_a_time() {
    let rows: BTreeSet<i64> = (1..=9).collect();
    let mut courier = Courier::new(1, Trust::Broker);
    connect(&mut courier, 0, 1, &rows);
    let mut id = 1;
    for row in 1..=9 {
        assert_eq!(send_all(&mut courier, 0, &rows, &mut id, 1), [Parcel::Row(row)]);
        assert_eq!(courier.answered(0, 1, Answer::Success), Outcome::Delivered(row));
    }
}

#[test]
fn what_nobody_subscribes_to_stays_and_is_offered_slowly() {
    let rows: BTreeSet<i64> = (1..=5).collect();
    let mut courier = Courier::new(1, Trust::Broker);
    connect(&mut courier, 0, u16::MAX, &rows);
    let mut id = 1;
    assert_eq!(send_all(&mut courier, 0, &rows, &mut id, WINDOW).len(), 5);
    for (id, row) in (1..=5).zip(1..=5) {
        assert_eq!(courier.answered(10, id, Answer::NoSubscriber), Outcome::Kept(row));
    }
    // One after 5 s, one after 10 s more, and so on: not 5 every 200 ms.
    let mut now = 10;
    let mut waits = Vec::new();
    let mut last = now;
    while waits.len() < 6 {
        now += 200;
        assert!(now < 600_000, "{waits:?}");
        let sent = send_all(&mut courier, now, &rows, &mut id, WINDOW);
        assert!(sent.len() <= 1);
        if let [Parcel::Row(row)] = sent[..] {
            assert_eq!(courier.answered(now, id - 1, Answer::NoSubscriber), Outcome::Kept(row));
            waits.push((now - last) / 1_000);
            last = now;
        }
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    // Somebody subscribes: one goes first, and then all.
    now += 61_000;
    let sent = send_all(&mut courier, now, &rows, &mut id, WINDOW);
    let [Parcel::Row(first)] = sent[..] else { panic!("{sent:?}") };
    courier.answered(now, id - 1, Answer::Success);
    let left: BTreeSet<i64> = rows.into_iter().filter(|row| *row != first).collect();
    let sent: BTreeSet<i64> = send_all(&mut courier, now + ROUND_MS, &left, &mut id, WINDOW)
        .into_iter()
        .filter_map(|parcel| if let Parcel::Row(row) = parcel { Some(row) } else { None })
        .collect();
    assert_eq!(sent, left);
}

#[test]
fn a_row_that_the_broker_never_takes_is_kept_back() {
    let rows: BTreeSet<i64> = (1..=3).collect();
    let mut courier = Courier::new(1, Trust::Broker);
    connect(&mut courier, 0, u16::MAX, &rows);
    let mut id = 1;
    send_all(&mut courier, 0, &rows, &mut id, WINDOW);
    assert_eq!(courier.answered(0, 2, Answer::PayloadFormat), Outcome::KeptBack(2, DeadLetter::PayloadFormat));
    // Two are in flight: which one was too large is not known, so that the next connection goes one by one.
    assert_eq!(courier.lost(Loss::PacketTooLarge).kept_back, None);
    let rows = BTreeSet::from([1, 3]);
    connect(&mut courier, 0, u16::MAX, &rows);
    assert_eq!(send_all(&mut courier, 0, &rows, &mut 1, WINDOW), [Parcel::Row(1)]);
    assert_eq!(courier.lost(Loss::PacketTooLarge).kept_back, Some((1, DeadLetter::TooLarge)));
}

#[test]
fn a_row_that_ends_connections_without_a_word_blocks_nobody() {
    let mut rows: BTreeSet<i64> = (1..=4).collect();
    let mut courier = Courier::new(1, Trust::Broker);
    let mut connections = 0;
    // Row 2 makes the broker hang up, whenever it comes.
    while rows.len() > 1 {
        connections += 1;
        assert!(connections < 20, "{rows:?}");
        connect(&mut courier, 0, u16::MAX, &rows);
        let mut id = 1;
        loop {
            let first = id;
            let sent = send_all(&mut courier, 0, &rows, &mut id, WINDOW);
            if sent.is_empty() || sent.contains(&Parcel::Row(2)) {
                break;
            }
            for id in first..id {
                if let Outcome::Delivered(row) = courier.answered(0, id, Answer::Success) {
                    rows.remove(&row);
                }
            }
        }
        assert_eq!(courier.lost(Loss::Closed).kept_back, None, "nobody said that it was the row");
    }
    assert_eq!(rows, BTreeSet::from([2]));
}

#[test]
fn a_withdrawn_row_is_offered_again_and_blocks_nobody() {
    let rows = BTreeSet::from([1, 2]);
    let mut courier = Courier::new(1, Trust::Broker);
    connect(&mut courier, 0, u16::MAX, &rows);
    assert_eq!(offer(&mut courier, 0, &rows), Some(Parcel::Row(1)));
    courier.withdraw();
    assert_eq!(send_all(&mut courier, 0, &rows, &mut 1, WINDOW), [Parcel::Row(2), Parcel::Row(1)]);
    // At once the first time; from then on only every ten seconds.
    connect(&mut courier, 0, u16::MAX, &rows);
    let mut offers = 0;
    for now in (0..60_000).step_by(200) {
        while let Some(Parcel::Row(1)) = offer(&mut courier, now, &BTreeSet::from([1])) {
            courier.withdraw();
            offers += 1;
        }
    }
    assert!((6..=8).contains(&offers), "{offers}");
}

#[test]
fn waits_double_to_two_minutes_and_are_spread() {
    let mut courier = Courier::new(7, Trust::Broker);
    let waits: Vec<u64> = (0..400).map(|_| courier.lost(Loss::Unreachable).wait_ms).collect();
    for (failures, wait) in waits.iter().enumerate() {
        let ceiling = (RETRY_MS << failures.min(10)).min(RETRY_AT_MOST_MS);
        assert!((RETRY_AT_LEAST_MS..ceiling.max(RETRY_AT_LEAST_MS + 1)).contains(wait), "{failures}: {wait}");
    }
    let late = &waits[10..];
    assert!(late.iter().any(|wait| *wait > 110_000) && late.iter().any(|wait| *wait < 10_000));
    // An acknowledgement ends the row of failures; being taken over does not.
    let acknowledge = |courier: &mut Courier| {
        connect(courier, 0, u16::MAX, &BTreeSet::new());
        courier.announce(Message::Status);
        send_all(courier, 0, &BTreeSet::new(), &mut 1, WINDOW);
        courier.answered(0, 1, Answer::Success);
    };
    let least = |courier: &mut Courier, loss| {
        (0..20)
            .map(|_| {
                acknowledge(courier);
                courier.lost(loss).wait_ms
            })
            .min()
    };
    assert!(least(&mut courier, Loss::TakenOver) > Some(RETRY_AT_LEAST_MS));
    acknowledge(&mut courier);
    assert!(courier.lost(Loss::Closed).wait_ms <= RETRY_MS);
    // Nor where a broker does not say that we were taken over, and we know of the other box.
    let contested = (0..20).map(|_| {
        acknowledge(&mut courier);
        courier.contested();
        courier.lost(Loss::Closed).wait_ms
    });
    assert!(contested.max() > Some(60_000));
}

#[test]
fn a_broker_that_is_there_is_not_waited_for_as_one_that_is_away() {
    let rows = BTreeSet::from([1, 2]);
    let mut courier = Courier::new(7, Trust::Broker);
    for _ in 0..20 {
        courier.lost(Loss::Unreachable);
    }
    // Back again, it takes the status, and hangs up over each row before it has acknowledged one.
    let waits: Vec<u64> = (0..200)
        .map(|_| {
            connect(&mut courier, 0, u16::MAX, &rows);
            courier.announce(Message::Status);
            send_all(&mut courier, 0, &rows, &mut 1, WINDOW);
            courier.answered(0, 1, Answer::Success);
            courier.lost(Loss::Closed).wait_ms
        })
        .collect();
    assert!(waits.iter().all(|wait| *wait <= 8_000), "{waits:?}");
    // Not as often as it can, either.
    assert!(waits.iter().sum::<u64>() / 200 > 3_000, "{waits:?}");
    // One that takes our connection and acknowledges nothing is away.
    let away = (0..200).map(|_| {
        connect(&mut courier, 0, u16::MAX, &rows);
        send_all(&mut courier, 0, &rows, &mut 1, WINDOW);
        courier.lost(Loss::Stalled).wait_ms
    });
    assert!(away.max() > Some(60_000));
}

#[test]
fn silence_is_noticed() {
    let rows = BTreeSet::from([1, 2]);
    let mut courier = Courier::new(1, Trust::Broker);
    connect(&mut courier, 0, u16::MAX, &rows);
    assert!(!courier.is_stalled(10 * STALLED_AFTER_MS), "nothing is owed");
    send_all(&mut courier, 10 * STALLED_AFTER_MS, &rows, &mut 1, WINDOW);
    assert!(!courier.is_stalled(11 * STALLED_AFTER_MS));
    assert!(courier.is_stalled(11 * STALLED_AFTER_MS + 1));
    // Each acknowledgement gives it as long again.
    courier.answered(11 * STALLED_AFTER_MS, 1, Answer::Success);
    assert!(!courier.is_stalled(12 * STALLED_AFTER_MS));
    assert!(courier.is_stalled(12 * STALLED_AFTER_MS + 1));
}

#[test]
fn what_comes_now_does_not_queue_behind_what_waited() {
    let mut rows: BTreeSet<i64> = (1..=1_000).collect();
    let mut courier = Courier::new(1, Trust::Broker);
    connect(&mut courier, 0, u16::MAX, &rows);
    let mut id = 1;
    send_all(&mut courier, 0, &rows, &mut id, WINDOW);
    rows.extend(1_001..=1_003);
    let mut order = Vec::new();
    for id_answered in (1..=WINDOW).cycle().take(40) {
        courier.answered(0, id_answered, Answer::Success);
        order.extend(send_all(&mut courier, 0, &rows, &mut id, WINDOW));
    }
    let places: Vec<usize> = (1_001..=1_003).map(|row| order.iter().position(|parcel| *parcel == Parcel::Row(row)).unwrap()).collect();
    assert!(places[2] < 6, "the backlog goes on in turn with them: {places:?}");
    assert_eq!(order.iter().filter(|parcel| **parcel == Parcel::Row(33)).count(), 1);
}

#[test]
fn what_only_the_broker_has_waits_for_a_collector() {
    let rows: BTreeSet<i64> = (1..=2_000).collect();
    let mut courier = Courier::new(1, Trust::Collector);
    courier.connected(0, Terms { receive_maximum: u16::MAX, has_subscribed: true, newest_row: 2_000 });
    let mut id = 2;
    let mut sent = Vec::new();
    loop {
        let first = id;
        let more = send_all(&mut courier, 0, &rows, &mut id, WINDOW);
        if more.is_empty() {
            break;
        }
        let ids = (first..=WINDOW).chain(1..=WINDOW).take(more.len());
        for (id, parcel) in ids.zip(&more) {
            let Parcel::Row(row) = *parcel else { panic!("{parcel:?}") };
            assert_eq!(courier.answered(0, id, Answer::Success), Outcome::Handed(row));
        }
        sent.extend(more);
    }
    assert_eq!((sent.len(), courier.handed()), (HANDED_AT_MOST, HANDED_AT_MOST), "no further, before a collector has some");
    // It can only have what it was sent, and each once.
    assert_eq!(courier.collected(5, [(3, 4), (7, 6), (1_500, i64::MAX), (i64::MIN, 0)]), [3, 4]);
    assert_eq!(courier.collected(5, [(1, 4)]), [1, 2]);
    assert_eq!(send_all(&mut courier, 6, &rows, &mut id, WINDOW).len(), 4);
    // Silence: what the broker had may be gone with it, and goes out again; each time after twice as long.
    let mut waits = Vec::new();
    let (mut now, mut since) = (6, 5);
    while waits.len() < 6 {
        now += 1_000;
        if courier.handed.is_overdue(now) {
            waits.push((now - since) / COLLECTED_WITHIN_MS);
            offer(&mut courier, now, &rows);
            courier.withdraw();
            assert_eq!(courier.handed(), 0);
            courier.handed.rows.insert(5);
            (courier.handed.progress_ms, since) = (now, now);
        }
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 16]);
}

#[test]
fn nothing_but_the_farewell_after_leaving() {
    let rows: BTreeSet<i64> = (1..=9).collect();
    let mut courier = Courier::new(1, Trust::Broker);
    connect(&mut courier, 0, u16::MAX, &rows);
    courier.announce(Message::Health);
    courier.leave();
    let mut id = 1;
    assert_eq!(send_all(&mut courier, 0, &rows, &mut id, WINDOW), [Parcel::Farewell]);
    assert_eq!(courier.answered(0, 1, Answer::Success), Outcome::Farewell);
}

/// A broker that does everything wrong, by chance.
struct Adversary {
    random: Random,
    /// What it has and did not answer yet: packet id and row.
    held: Vec<(u16, i64)>,
}

#[test]
fn whatever_the_broker_does_nothing_is_lost() {
    for seed in 0..300 {
        simulate(seed);
    }
}

fn simulate(seed: u64) {
    const ROWS: i64 = 150;
    let mut random = Random::new(seed);
    let receive_maximum = [1, 2, 7, 32, 33, u16::MAX][random.below(6) as usize];
    let size = receive_maximum.clamp(1, WINDOW);
    let mut courier = Courier::new(seed, Trust::Broker);
    let mut broker = Adversary { random: Random::new(seed ^ 0xabcd), held: Vec::new() };
    let mut rows = BTreeSet::new();
    let mut succeeded: BTreeSet<i64> = BTreeSet::new();
    let mut kept_back: BTreeMap<i64, DeadLetter> = BTreeMap::new();
    let mut added = 0;
    let mut now = 0;
    let mut id = 0;
    // Until here everything goes wrong, and from here on nothing.
    let heals_at = 600_000;
    while added < ROWS || !rows.is_empty() {
        now += 50 + random.below(200);
        assert!(now < heals_at + 400_000, "seed {seed}: {} rows are still there", rows.len());
        let is_healed = now > heals_at;
        while added < ROWS && (is_healed || random.below(10) == 0) {
            added += 1;
            rows.insert(added);
        }
        if id == 0 {
            connect(&mut courier, now, receive_maximum, &rows);
            broker.held.clear();
            id = 1;
        }
        while let Some(parcel) = offer(&mut courier, now, &rows) {
            courier.sent(id).unwrap();
            let Parcel::Row(row) = parcel else { panic!("seed {seed}: {parcel:?}") };
            assert!(broker.held.iter().all(|(_, held)| *held != row), "seed {seed}: row {row} twice in flight");
            assert!(broker.held.iter().all(|(held, _)| *held != id), "seed {seed}: packet id {id} twice in flight");
            broker.held.push((id, row));
            assert!(broker.held.len() <= usize::from(size), "seed {seed}");
            id = if id == size { 1 } else { id + 1 };
        }
        let answers = if is_healed { broker.held.len() } else { broker.random.below(6) as usize };
        for _ in 0..answers {
            if broker.held.is_empty() {
                break;
            }
            let which = if is_healed { 0 } else { broker.random.below(broker.held.len() as u64) as usize };
            let (answered, row) = broker.held.remove(which);
            let answer = if is_healed { Answer::Success } else { broker.answer() };
            if answer == Answer::Success {
                succeeded.insert(row);
            }
            match courier.answered(now, answered, answer) {
                Outcome::Delivered(deleted) => {
                    assert!(deleted == row && succeeded.contains(&row), "seed {seed}: row {deleted} was deleted without its acknowledgement");
                    rows.remove(&row);
                }
                Outcome::Kept(kept) => assert_eq!(kept, row, "seed {seed}"),
                Outcome::KeptBack(row, why) => {
                    rows.remove(&row);
                    kept_back.insert(row, why);
                }
                other => panic!("seed {seed}: {other:?}"),
            }
            // Once more, or for nothing that is in flight.
            if !is_healed && broker.random.below(8) == 0 {
                assert_eq!(courier.answered(now, answered, Answer::Success), Outcome::Unasked, "seed {seed}");
                assert_eq!(courier.answered(now, broker.random.below(1 << 16) as u16 | 64, Answer::Success), Outcome::Unasked, "seed {seed}");
            }
        }
        let is_stalled = courier.is_stalled(now);
        if is_stalled || (!is_healed && broker.random.below(25) == 0) {
            let loss = [Loss::Closed, Loss::Unreachable, Loss::PacketTooLarge, Loss::TakenOver][broker.random.below(4) as usize];
            let parting = courier.lost(if is_stalled { Loss::Stalled } else { loss });
            if let Some((row, why)) = parting.kept_back {
                rows.remove(&row);
                kept_back.insert(row, why);
            }
            now += parting.wait_ms;
            id = 0;
        }
    }
    let delivered_or_kept: BTreeSet<i64> = succeeded.iter().chain(kept_back.keys()).copied().collect();
    assert_eq!(delivered_or_kept, (1..=ROWS).collect(), "seed {seed}");
}

impl Adversary {
    fn answer(&mut self) -> Answer {
        match self.random.below(20) {
            0 => Answer::NoSubscriber,
            1 => Answer::NotAuthorized,
            2 => Answer::Quota,
            3 => Answer::Unspecified,
            4 if self.random.below(10) == 0 => Answer::PayloadFormat,
            _ => Answer::Success,
        }
    }
}
