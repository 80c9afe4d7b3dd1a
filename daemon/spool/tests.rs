use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sotto_charter::Names;
use sotto_report::messages::Gauges;
use sotto_report::{CallId, Closing, EndCause, Field, Fingerprint, Id, Millis, Opening, Outcome, Reason, Score};
use tempfile::TempDir;

use crate::{DeadLetter, Found, Spool, SpoolError, View};

mod damage;
mod full;
mod versions;

const NOW: i64 = 1_790_000_000_000;
const WEEK: i64 = 7 * 86_400_000;
const HOUR: i64 = 3_600_000;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    (folder, path)
}

fn begin(spool: &mut Spool, at_ms: i64) -> CallId {
    let mut batch = spool.batch().unwrap();
    let call = batch.open(&Opening { started: Millis::rounded(at_ms) }).unwrap();
    batch.commit().unwrap();
    call.expect("there is room")
}

fn score(call: CallId, expires_ms: i64) -> Score {
    let at = Millis::rounded(NOW);
    let mut score = Score::new(call, at, at, Millis::rounded(expires_ms), Outcome::Scored, EndCause::HungUp, Fingerprint(1));
    score.set(Field::CallDurationMs, 61_000.0);
    score.team = Some(Id(0));
    score
}

fn scored(call: CallId, expires_ms: i64) -> Closing {
    Closing { call, outcome: Outcome::Scored, reason: None, score: Some(score(call, expires_ms)) }
}

fn settle(spool: &mut Spool, closing: &Closing, now_ms: i64) -> Result<(), SpoolError> {
    let mut batch = spool.batch()?;
    batch.settle(closing, 5, now_ms)?;
    batch.commit()
}

fn close(spool: &mut Spool, call: CallId) {
    settle(spool, &scored(call, NOW + WEEK), NOW).unwrap();
}

/// Changes the file behind the spool's back.
fn tamper(path: &Path, statement: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(statement).unwrap();
}

#[test]
fn a_score_waits_until_it_is_acknowledged() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 0xa1).unwrap();
    let call = begin(&mut spool, NOW);
    assert_eq!(call, CallId { epoch: 0xa1, seq: 1 });
    close(&mut spool, call);
    drop(spool);
    // What was returned as done is there for the next process; the epoch is the file's, not the new draw.
    let mut spool = Spool::open(&path, 0xb2).unwrap();
    let pending = spool.pending(0, 32).unwrap();
    assert_eq!((pending.len(), pending[0].names, &pending[0].score), (1, 5, &score(call, NOW + WEEK)));
    assert_eq!(spool.pending(pending[0].row, 32).unwrap(), []);
    assert_eq!(spool.backlog(NOW + 2_000).unwrap().oldest_ms, 2_000);
    assert_eq!(spool.acked(&[pending[0].row, 99]).unwrap(), 1);
    let backlog = spool.backlog(NOW).unwrap();
    assert_eq!((backlog.waiting, backlog.acked, backlog.oldest_ms), (0, 1, 0));
    assert_eq!(begin(&mut spool, NOW).seq, 2);
}

#[test]
fn durability_is_set_on_every_open() {
    let (_folder, path) = folder();
    for _ in 0..2 {
        let spool = Spool::open(&path, 1).unwrap();
        let pragma = |name| spool.connection().pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((pragma("synchronous"), pragma("foreign_keys"), pragma("secure_delete")), (2, 1, 1));
        let mode: String = spool.connection().pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }
    // A file system in memory has no log that could survive.
    assert_eq!(Spool::open(Path::new(":memory:"), 1).unwrap_err(), SpoolError::Setting { pragma: "journal_mode = wal" });
}

#[test]
fn the_sql_knows_the_same_outcomes() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 1).unwrap();
    for outcome in Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Open) {
        let call = begin(&mut spool, NOW);
        let reason = (outcome == Outcome::SignallingOnly).then_some(Reason::Consent);
        settle(&mut spool, &Closing { call, outcome, reason, score: None }, NOW).unwrap();
    }
    begin(&mut spool, NOW);
    let coverage = spool.coverage(NOW).unwrap();
    assert_eq!(coverage.hour_counts, [1; Outcome::ALL.len()]);
    assert_eq!(coverage.hour_reasons[Reason::Consent.index()], 1);
    assert_eq!(spool.coverage(NOW + HOUR).unwrap().hour_seen(), 0);
}

#[test]
fn a_call_is_closed_once_and_only_as_what_it_is() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 1).unwrap();
    let call = begin(&mut spool, NOW);
    let other = CallId { seq: 7, ..call };
    for (wrong, error) in [
        (Closing { outcome: Outcome::Open, score: None, ..scored(call, NOW) }, SpoolError::Contradiction { call }),
        (Closing { outcome: Outcome::Interrupted, ..scored(call, NOW) }, SpoolError::Contradiction { call }),
        (Closing { score: Some(score(other, NOW)), ..scored(call, NOW) }, SpoolError::Contradiction { call }),
        (scored(other, NOW), SpoolError::NotOpen { call: other }),
        (scored(CallId { epoch: 2, ..call }, NOW), SpoolError::OtherEpoch { call: CallId { epoch: 2, ..call } }),
    ] {
        assert_eq!(settle(&mut spool, &wrong, NOW), Err(error));
    }
    close(&mut spool, call);
    assert_eq!(settle(&mut spool, &scored(call, NOW), NOW), Err(SpoolError::NotOpen { call }));
    assert_eq!(spool.pending(0, 9).unwrap().len(), 1);
    // Nor does SQL that forgot the law get through.
    assert!(spool.connection().execute("UPDATE call SET outcome = 'shed'", []).is_err());
    begin(&mut spool, NOW);
    assert!(spool.connection().execute("DELETE FROM call WHERE seq = 2", []).is_err());
    assert!(spool.connection().execute("DELETE FROM call WHERE seq = 1", []).is_err(), "its score waits");
}

#[test]
fn a_batch_is_kept_whole_or_not_at_all() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 1).unwrap();
    let first = begin(&mut spool, NOW);
    let mut batch = spool.batch().unwrap();
    batch.settle(&scored(first, NOW + WEEK), 5, NOW).unwrap();
    batch.open(&Opening { started: Millis::rounded(NOW) }).unwrap();
    drop(batch);
    assert_eq!((spool.coverage(NOW).unwrap().total_seen(), spool.pending(0, 9).unwrap().len()), (1, 0));
    // One that is refused does not spoil the others.
    let mut batch = spool.batch().unwrap();
    let second = batch.open(&Opening { started: Millis::rounded(NOW) }).unwrap().unwrap();
    assert!(batch.settle(&scored(CallId { epoch: 1, seq: 77 }, NOW), 5, NOW).is_err());
    batch.settle(&scored(first, NOW + WEEK), 5, NOW).unwrap();
    batch.commit().unwrap();
    assert_eq!(second.seq, 2, "the number of the call that was rolled back");
    assert_eq!(spool.pending(0, 9).unwrap().len(), 1);
}

#[test]
fn a_full_disk_keeps_nothing_of_a_batch() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 1).unwrap();
    let calls: Vec<CallId> = (0..200).map(|_| begin(&mut spool, NOW)).collect();
    let pages: i64 = spool.connection().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    spool.connection().pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    let mut batch = spool.batch().unwrap();
    let full = calls.iter().find_map(|call| batch.settle(&scored(*call, NOW + WEEK), 5, NOW).err());
    assert_eq!(full, Some(SpoolError::Full { doing: "queueing a score" }));
    assert!(batch.commit().is_err(), "the call whose score did not fit is closed in it");
    assert_eq!(spool.coverage(NOW).unwrap().total_counts[Outcome::Open.index()], 200);
    spool.connection().pragma_update_and_check(None, "max_page_count", 1 << 20, |_| Ok(())).unwrap();
    calls.iter().for_each(|call| close(&mut spool, *call));
    assert_eq!(spool.backlog(NOW).unwrap().waiting, 200);
}

#[test]
fn a_closing_that_came_half_way_is_not_committed() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 1).unwrap();
    let call = begin(&mut spool, NOW);
    spool.connection().execute_batch("CREATE TEMP TRIGGER broken BEFORE INSERT ON outbox BEGIN SELECT raise(ABORT, ''); END").unwrap();
    let mut batch = spool.batch().unwrap();
    assert!(batch.settle(&scored(call, NOW + WEEK), 5, NOW).is_err());
    assert!(batch.commit().is_err());
    assert_eq!(spool.coverage(NOW).unwrap().total_counts[Outcome::Open.index()], 1, "closed without its score");
    spool.connection().execute_batch("DROP TRIGGER broken").unwrap();
    close(&mut spool, call);
    assert_eq!(spool.pending(0, 9).unwrap().len(), 1);
}

#[test]
fn bad_rows_are_kept_back_and_block_nobody() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 1).unwrap();
    for _ in 0..6 {
        let call = begin(&mut spool, NOW);
        close(&mut spool, call);
    }
    tamper(
        &path,
        "UPDATE outbox SET score = replace(score, '61000', '61100') WHERE row = 1;
         UPDATE outbox SET names = 6 WHERE row = 2;
         UPDATE outbox SET expires_ms = expires_ms + 100 WHERE row = 3;
         UPDATE outbox SET score = 'four words of text', digest = 0 WHERE row = 5;",
    );
    let rows: Vec<i64> = spool.pending(0, 2).unwrap().into_iter().map(|entry| entry.row).collect();
    assert_eq!(rows, [4, 6]);
    let backlog = spool.backlog(NOW).unwrap();
    assert_eq!((backlog.lost_scores, backlog.invalid, backlog.waiting), (4, 0, 2));
    spool.keep_back(4, DeadLetter::TooLarge).unwrap();
    let backlog = spool.backlog(NOW).unwrap();
    assert_eq!((backlog.dead_letters, backlog.waiting), (1, 1));
    assert_eq!(spool.coverage(NOW).unwrap().total_seen(), 6, "the calls are known all the same");
    // Each loss is told until it is acknowledged, and no longer.
    for seq in [1, 2, 3, 5] {
        let call = CallId { epoch: 1, seq };
        let loss = spool.untold_loss().unwrap().unwrap();
        assert_eq!(loss.found, Found { from: call, to: call, calls: 0, scores: 1 });
        assert_eq!(spool.untold_loss().unwrap(), Some(loss));
        spool.told(loss.id).unwrap();
    }
    assert_eq!(spool.untold_loss().unwrap(), None);
}

#[test]
fn what_this_program_cannot_read_waits_for_one_that_can() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 1).unwrap();
    let call = begin(&mut spool, NOW);
    close(&mut spool, call);
    let text: String = spool.connection().query_row("SELECT score FROM outbox", [], |row| row.get(0)).unwrap();
    let of_tomorrow = text.replacen("{\"v\":1,", "{\"v\":1,\"of_tomorrow\":1,", 1);
    let put = |spool: &Spool, text: &str| {
        let digest = crate::outbox::digest(call.seq, 5, NOW, NOW + WEEK, text);
        spool.connection().execute("UPDATE outbox SET score = ?1, digest = ?2", rusqlite::params![text, digest]).unwrap();
    };
    put(&spool, &of_tomorrow);
    assert_eq!(spool.pending(0, 9).unwrap(), []);
    let backlog = spool.backlog(NOW).unwrap();
    assert_eq!((backlog.invalid, backlog.waiting, backlog.lost_scores), (1, 0, 0));
    // Read once more by a program that can.
    put(&spool, &text);
    assert_eq!(spool.reconsider().unwrap(), 1);
    assert_eq!(spool.pending(0, 9).unwrap().len(), 1);
}

#[test]
fn a_row_that_was_forged_with_its_digest_is_read_by_the_schema() {
    let forge = |change: fn(&str, i64) -> (String, i64)| {
        let (_folder, path) = folder();
        let mut spool = Spool::open(&path, 1).unwrap();
        let call = begin(&mut spool, NOW);
        close(&mut spool, call);
        let (text, expires_ms): (String, i64) = spool.connection().query_row("SELECT score, expires_ms FROM outbox", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let (text, expires_ms) = change(&text, expires_ms);
        let digest = crate::outbox::digest(call.seq, 5, NOW, expires_ms, &text);
        spool.connection().execute("UPDATE outbox SET score = ?1, expires_ms = ?2, digest = ?3", rusqlite::params![text, expires_ms, digest]).unwrap();
        (spool.pending(0, 9).unwrap().len(), spool.backlog(NOW).unwrap().invalid)
    };
    assert_eq!(forge(|text, expires_ms| (text.to_owned(), expires_ms)), (1, 0));
    assert_eq!(forge(|text, expires_ms| (text.replacen("{\"v\":1,", "{\"v\":1,\"said\":\"four words of text\",", 1), expires_ms)), (0, 1));
    assert_eq!(forge(|text, expires_ms| (text.replacen("00000001-1", "00000001-2", 1), expires_ms)), (0, 1));
    assert_eq!(forge(|text, expires_ms| (text.to_owned(), expires_ms + 86_400_000)), (0, 1), "kept longer than it says");
}

#[test]
fn retention_wins_over_delivery_and_says_so() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 1).unwrap();
    for expires in [NOW + 1_000, NOW + WEEK] {
        let call = begin(&mut spool, NOW);
        settle(&mut spool, &scored(call, expires), NOW).unwrap();
    }
    spool.keep_back(1, DeadLetter::TooLarge).unwrap();
    assert_eq!(spool.expire(NOW).unwrap(), 0);
    assert_eq!(spool.expire(NOW + 1_000).unwrap(), 1);
    let coverage = spool.coverage(NOW).unwrap();
    assert_eq!((coverage.expired_unacked, coverage.total_counts[Outcome::Scored.index()]), (1, 2));
    assert_eq!(spool.pending(0, 9).unwrap().len(), 1);
    // Nothing of it is left in the file or its log.
    let needle = b"\"call\":\"00000001-1\"";
    for name in ["spool.db", "spool.db-wal"] {
        let bytes = std::fs::read(path.with_file_name(name)).unwrap_or_default();
        assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{name}");
    }
}

#[test]
fn old_calls_are_folded_and_counted_all_the_same() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 1).unwrap();
    let days = 86_400_000;
    for age in [0, 2 * days, 2 * days, 40 * days] {
        let call = begin(&mut spool, NOW - age);
        close(&mut spool, call);
        begin(&mut spool, NOW - age);
    }
    let before = spool.coverage(NOW - 2 * days).unwrap();
    spool.acked(&[1, 2, 4]).unwrap();
    spool.expire(NOW).unwrap();
    let rows: i64 = spool.connection().query_row("SELECT count(*) FROM call", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 6, "four are open, one is of today, one waits for its acknowledgement");
    assert_eq!(spool.coverage(NOW - 2 * days).unwrap(), before);
    let hours: Vec<i64> = spool.connection().prepare("SELECT hour_ms FROM folded").unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(hours, [0, (NOW - 2 * days) / HOUR * HOUR]);
}

#[test]
fn calls_that_a_crash_left_open_are_interrupted() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 1).unwrap();
    let call = begin(&mut spool, NOW);
    begin(&mut spool, NOW);
    close(&mut spool, call);
    drop(spool);
    let mut spool = Spool::open(&path, 1).unwrap();
    assert_eq!(spool.interrupt_open_calls().unwrap(), 1);
    let counts = spool.coverage(NOW).unwrap().total_counts;
    assert_eq!((counts[Outcome::Interrupted.index()], counts[Outcome::Open.index()]), (1, 0));
}

#[test]
fn gauges_names_and_counters_read_back() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 1).unwrap();
    assert_eq!(spool.tap_gauges().unwrap(), None);
    let gauges = Gauges { packets: 7, ..Gauges::default() };
    spool.put_gauges(&Gauges::default(), NOW).unwrap();
    spool.put_gauges(&gauges, NOW + 5).unwrap();
    let names = Names { teams: vec!["billing".into()], lines: vec!["hotline".into()] };
    spool.remember_names(&names).unwrap();
    spool.remember_names(&names).unwrap();
    assert_eq!((spool.count_connection().unwrap(), spool.count_connection().unwrap()), (1, 2));
    spool.count_no_subscriber(3).unwrap();
    let view = View::open(&path).unwrap();
    let found = view.tap_gauges().unwrap().unwrap();
    assert_eq!((found.gauges, found.written_ms), (gauges, NOW + 5));
    assert_eq!(view.names(names.fingerprint()).unwrap(), Some(names));
    assert_eq!(view.names(1).unwrap(), None);
    let backlog = view.backlog(NOW).unwrap();
    assert_eq!((backlog.connections, backlog.no_subscriber, view.epoch().unwrap()), (2, 3, 1));
}

#[test]
fn names_that_were_changed_are_not_used() {
    let (_folder, path) = folder();
    let mut spool = Spool::open(&path, 1).unwrap();
    let names = Names { teams: vec!["billing".into()], lines: Vec::new() };
    spool.remember_names(&names).unwrap();
    tamper(&path, "UPDATE names SET teams = '[\"four words of text\"]'");
    assert_eq!(spool.names(names.fingerprint()).unwrap(), None);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let (folder, path) = folder();
    std::fs::write(&path, b"no database at all, and longer than a header of a hundred bytes would be, so that it is read as one: no").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert_eq!(Spool::open(&path, 1).unwrap_err(), SpoolError::Damaged { path: path.clone() });
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let other = folder.path().join("other.db");
    tamper(&other, "CREATE TABLE t (x)");
    let before = std::fs::read(&other).unwrap();
    assert_eq!(Spool::open(&other, 1).unwrap_err(), SpoolError::NotASpool { path: other.clone() });
    assert_eq!(std::fs::read(&other).unwrap(), before);
    assert_eq!(View::open(&other).unwrap_err(), SpoolError::NotASpool { path: other });

    let newer = folder.path().join("newer.db");
    drop(Spool::open(&newer, 1).unwrap());
    tamper(&newer, "PRAGMA user_version = 99");
    let error = Spool::open(&newer, 1).unwrap_err();
    assert_eq!(error, SpoolError::Newer { path: newer, found: 99, known: crate::upgrade::VERSION });
    assert!(error.to_string().contains("use the newer program"));

    let nowhere = folder.path().join("no/folder.db");
    assert!(matches!(Spool::open(&nowhere, 1), Err(SpoolError::Unopened { .. })));
    assert!(matches!(View::open(&folder.path().join("absent.db")), Err(SpoolError::Unopened { .. })));
}

#[test]
fn two_processes_make_one_spool() {
    for _ in 0..40 {
        let (_folder, path) = folder();
        let threads: Vec<_> = [1, 2, 3, 4]
            .map(|entropy| {
                let path = path.clone();
                std::thread::spawn(move || {
                    let mut spool = Spool::open(&path, entropy).unwrap();
                    let call = begin(&mut spool, NOW);
                    close(&mut spool, call);
                    spool.epoch().unwrap()
                })
            })
            .into_iter()
            .collect();
        let epochs: Vec<u32> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(epochs.iter().all(|epoch| *epoch == epochs[0]));
        assert_eq!(View::open(&path).unwrap().backlog(NOW).unwrap().waiting, 4);
    }
}

/// SplitMix64, as the harness has it.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

#[test]
fn the_ledger_adds_up_whatever_happens() {
    for seed in 0..12 {
        let (_folder, path) = folder();
        let mut spool = Spool::open(&path, 1).unwrap();
        let mut random = Random(seed);
        let mut now = NOW;
        let mut calls: BTreeMap<u64, (CallId, Outcome)> = BTreeMap::new();
        let (mut queued, mut acked, mut expired) = (0, 0, 0);
        for step in 0..300 {
            now += random.below(3 * HOUR as u64) as i64;
            match random.below(10) {
                0..=2 => {
                    let call = begin(&mut spool, now);
                    calls.insert(call.seq, (call, Outcome::Open));
                }
                3..=5 => {
                    let open: Vec<CallId> = calls.values().filter(|(_, outcome)| *outcome == Outcome::Open).map(|(call, _)| *call).collect();
                    if let Some(&call) = open.get(random.below(open.len().max(1) as u64) as usize) {
                        let outcome = Outcome::ALL[random.below(8) as usize];
                        let score = (outcome == Outcome::Scored).then(|| score(call, now + WEEK));
                        queued += u64::from(score.is_some());
                        settle(&mut spool, &Closing { call, outcome, reason: None, score }, now).unwrap();
                        calls.insert(call.seq, (call, outcome));
                    }
                }
                6 => {
                    let rows: Vec<i64> = spool.pending(0, random.below(9) as usize).unwrap().into_iter().map(|entry| entry.row).collect();
                    acked += spool.acked(&rows).unwrap();
                }
                7 => expired += spool.expire(now).unwrap(),
                8 => {
                    drop(spool);
                    spool = Spool::open(&path, 99).unwrap();
                    if random.below(2) == 0 {
                        spool.interrupt_open_calls().unwrap();
                        calls.values_mut().filter(|(_, outcome)| *outcome == Outcome::Open).for_each(|(_, outcome)| *outcome = Outcome::Interrupted);
                    }
                }
                _ => {
                    let mut batch = spool.batch().unwrap();
                    batch.open(&Opening { started: Millis::rounded(now) }).unwrap();
                    drop(batch);
                }
            }
            let coverage = spool.coverage(now).unwrap();
            let mut truth = [0; Outcome::ALL.len()];
            calls.values().for_each(|(_, outcome)| truth[outcome.index()] += 1);
            assert_eq!(coverage.total_counts, truth, "seed {seed}, step {step}");
            assert_eq!(coverage.total_seen(), calls.len() as u64, "seed {seed}, step {step}");
            let backlog = spool.backlog(now).unwrap();
            assert_eq!(backlog.waiting + backlog.acked + backlog.expired_unacked, queued, "seed {seed}, step {step}");
            assert_eq!((backlog.acked, backlog.expired_unacked), (acked, expired), "seed {seed}, step {step}");
        }
    }
}
