//! No score that was kept is lost on a disk that fails or fills, and what the spool could not keep it did not say it kept.

#[path = "kill/site.rs"]
#[expect(dead_code, reason = "the other tests of the site use the rest")]
mod site;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use sotto_report::{CallId, Outcome};
use sotto_spool::{Hearer, Spool, SpoolError, View};
use sotto_tests::disk::{Fault, SmallDisk, arm, disarm, install};
use sotto_tests::process::skip;
use sotto_tests::random::Random;
use tempfile::TempDir;

use crate::site::Calls;

const NOW: i64 = 1_790_000_000_000;
const HEARER: Hearer = Hearer { machine: 11, quota_bytes: 2 << 20 };

/// The failing file system is below the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A folder in memory, where there is one: what a real disk would take for each fsync is not what is tested.
fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What the spool said that it did.
#[derive(Default)]
struct Said {
    begun: u64,
    kept: BTreeSet<CallId>,
    delivered: BTreeSet<CallId>,
}

/// A short life: calls begin and end, scores are delivered, room is made, time is noted, what is old is folded.
fn live(path: &Path, calls: &Calls, said: &mut Said) -> Result<(), SpoolError> {
    let mut spool = Spool::open_to_hear(path, 0xa1, HEARER)?;
    spool.make_room()?;
    spool.interrupt_open_calls()?;
    for ordinal in 0..6 {
        let begun = spool.begin(&Calls::opening(NOW))?;
        said.begun += 1;
        let Some(call) = begun else { continue };
        spool.close(&calls.closing(call, NOW), calls.names(), NOW)?;
        said.kept.insert(call);
        if ordinal % 3 == 2 {
            let pending = spool.pending(0, 2)?;
            spool.acked(&pending.iter().map(|entry| entry.row).collect::<Vec<_>>())?;
            said.delivered.extend(pending.iter().map(|entry| entry.score.call));
            spool.note_time(NOW, 0)?;
            spool.expire(NOW)?;
            spool.make_room()?;
        }
    }
    Ok(())
}

/// What was said is so.
fn assert_holds(path: &Path, said: &Said, what: &str) {
    let mut spool = Spool::open_to_hear(path, 0xb2, HEARER).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(spool.salvaged(), None, "{what}: the file is whole");
    let waiting: BTreeSet<CallId> = spool.pending(0, 1_000).unwrap().into_iter().map(|entry| entry.score.call).collect();
    let missing: Vec<&CallId> = said.kept.iter().filter(|call| !waiting.contains(call) && !said.delivered.contains(call)).collect();
    // The one delivery that was being noted when it failed may be noted or not: it is no promise, and it was acknowledged.
    let backlog = spool.backlog(NOW).unwrap();
    assert!(missing.len() as u64 <= backlog.acked.saturating_sub(said.delivered.len() as u64), "{what}: {missing:?} are gone");
    assert!(said.delivered.iter().all(|call| !waiting.contains(call)), "{what}: a delivery was forgotten");
    assert!(spool.coverage(NOW).unwrap().total_seen() >= said.begun, "{what}: a call is in no count");
    assert_eq!((backlog.lost_scores, backlog.expired_unacked), (0, 0), "{what}");
}

#[test]
fn whichever_operation_fails_what_was_kept_is_kept() {
    let _alone = ALONE.lock();
    install();
    let calls = Calls::new();
    let mut injected = 0;
    for fault in [Fault::Once, Fault::ForGood, Fault::Full] {
        let folder = in_memory();
        arm(u64::MAX, fault);
        live(&folder.path().join("spool.db"), &calls, &mut Said::default()).unwrap();
        let (operations, _) = disarm();
        // Every one of the first life's operations, with a life behind it that found what was there.
        for nth in 1..=operations {
            let folder = in_memory();
            let path = folder.path().join("spool.db");
            let mut said = Said::default();
            if nth % 2 == 0 {
                live(&path, &calls, &mut said).unwrap();
            }
            arm(nth, fault);
            let ended = live(&path, &calls, &mut said);
            let (_, failed) = disarm();
            injected += failed.min(1);
            let what = format!("{fault:?} at operation {nth}: {ended:?}");
            // A process that met a failing disk ends, and begins anew: nothing else may follow a failed fsync.
            assert_holds(&path, &said, &what);
        }
        eprintln!("{fault:?}: each of {operations} operations");
    }
    eprintln!("{injected} faults injected, nothing that was kept is lost");
    assert!(injected > 300);
}

#[test]
fn a_disk_that_fills_a_hundred_times_loses_nothing() {
    let _alone = ALONE.lock();
    let Some(disk) = SmallDisk::mount(16).unwrap() else {
        return skip("no file system may be mounted here");
    };
    let calls = Calls::new();
    let path = disk.path("spool.db");
    let hearer = Hearer { machine: 11, quota_bytes: 8 << 20 };
    let mut random = Random::new(7, "fill the disk");
    let (mut seen, mut kept) = (0_u64, BTreeSet::new());
    let mut delivered = BTreeSet::new();
    let (mut full, mut unseen) = (0_u64, 0_u64);
    let mut spool = Spool::open_to_hear(&path, 0xa1, hearer).unwrap();
    spool.make_room().unwrap();
    for _ in 0..100 {
        disk.fill().unwrap();
        for _ in 0..20 + random.bits() % 200 {
            // As the tap does: a batch that finds the disk full is tried once more with what was held in reserve.
            let take = |spool: &mut Spool| {
                let mut batch = spool.batch()?;
                let call = batch.begin(&Calls::opening(NOW))?;
                batch.commit()?;
                let Some(call) = call else { return Ok(None) };
                spool.close(&calls.closing(call, NOW), calls.names(), NOW).map(|()| Some(call))
            };
            let mut taken = take(&mut spool);
            if matches!(taken, Err(SpoolError::Full { .. })) && spool.give_way() {
                // What was begun stays open; another takes its place.
                seen = spool.coverage(NOW).unwrap().total_seen();
                taken = take(&mut spool);
            }
            match taken {
                Ok(call) => {
                    seen += 1;
                    kept.extend(call);
                }
                Err(SpoolError::Full { .. }) => {
                    full += 1;
                    seen = spool.coverage(NOW).unwrap().total_seen();
                    unseen += 1;
                }
                Err(error) => panic!("{error}"),
            }
            if random.bits() % 20 == 0 {
                spool.make_room().unwrap();
            }
        }
        // Deliveries go on whatever the disk has.
        let pending = spool.pending(0, 64).unwrap();
        match spool.acked(&pending.iter().map(|entry| entry.row).collect::<Vec<_>>()) {
            Ok(_) => delivered.extend(pending.iter().map(|entry| entry.score.call)),
            Err(SpoolError::Full { .. }) => full += 1,
            Err(error) => panic!("{error}"),
        }
        // Now and then the process ends on the full disk, and must come up on it.
        if random.bits() % 4 == 0 {
            drop(spool);
            spool = match Spool::open_to_hear(&path, 0xb2, hearer) {
                Ok(spool) => spool,
                Err(SpoolError::Full { .. } | SpoolError::Unopened { .. }) => {
                    disk.free();
                    Spool::open_to_hear(&path, 0xb2, hearer).unwrap()
                }
                Err(error) => panic!("{error}"),
            };
            assert_eq!(spool.salvaged(), None);
        }
        disk.free();
        spool.make_room().unwrap();
        let view = View::open(&path).unwrap();
        let counts = view.coverage(NOW).unwrap();
        assert!(counts.total_seen() >= seen, "{} calls are in the ledger, {seen} were seen", counts.total_seen());
        let backlog = view.backlog(NOW).unwrap();
        assert!(backlog.waiting + backlog.acked >= counts.total_counts[Outcome::Scored.index()], "a scored call has no score");
    }
    while let Some(last) = spool.pending(0, 1_000).unwrap().last().map(|entry| entry.row) {
        let pending = spool.pending(0, 1_000).unwrap();
        delivered.extend(pending.iter().map(|entry| entry.score.call));
        spool.acked(&pending.iter().map(|entry| entry.row).filter(|row| *row <= last).collect::<Vec<_>>()).unwrap();
    }
    let lost: Vec<&CallId> = kept.iter().filter(|call| !delivered.contains(call)).collect();
    let counts = spool.coverage(NOW).unwrap().total_counts;
    let [scored, shed, refused] = [Outcome::Scored, Outcome::Shed, Outcome::Refused].map(|outcome| counts[outcome.index()]);
    eprintln!(
        "a disk of 16 MiB filled 100 times: {seen} calls, {scored} scored, {shed} shed, {refused} refused; {full} times no room at all ({unseen} calls that the tap would \
         hold back)"
    );
    // A call that closed without its score is shed, and the ledger says so.
    assert!(lost.len() as u64 <= shed, "{} calls closed and have neither a score nor are they shed", lost.len() as u64 - shed);
    assert!(scored > 0 && delivered.len() as u64 == scored, "{} delivered, {scored} scored", delivered.len());
}
