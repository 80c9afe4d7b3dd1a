//! Files that the disk damaged: what can be read is kept, what cannot is told, and nobody waits for an admin.

use super::*;
use crate::lock::beside;
use crate::{Hearer, Loss};

const HEARER: Hearer = Hearer { machine: 11, quota_bytes: 64 << 20 };

/// A spool with scores that wait, some that were delivered, and calls that were folded.
fn filled(path: &Path) -> Vec<CallId> {
    let mut spool = Spool::open_to_hear(path, 0xa1, HEARER).unwrap();
    for _ in 0..40 {
        let call = begin(&mut spool, NOW - 2 * 86_400_000);
        close(&mut spool, call);
    }
    spool.acked(&(1..=40).collect::<Vec<_>>()).unwrap();
    spool.expire(NOW).unwrap();
    let calls: Vec<CallId> = (0..400).map(|_| begin(&mut spool, NOW)).collect();
    calls.iter().for_each(|call| close(&mut spool, *call));
    begin(&mut spool, NOW);
    calls
}

/// What is there again after the damage: the calls whose scores wait, and what was told as lost.
fn salvaged(path: &Path) -> (Spool, Vec<CallId>, Option<Loss>) {
    let mut spool = Spool::open_to_hear(path, 0xb2, HEARER).unwrap();
    let waiting = spool.pending(0, 10_000).unwrap().into_iter().map(|entry| entry.score.call).collect();
    let loss = spool.untold_loss().unwrap();
    (spool, waiting, loss)
}

/// Nothing that was held is neither there nor told.
fn assert_accounted(calls: &[CallId], waiting: &[CallId], loss: Option<Loss>, what: &str) {
    let missing: Vec<&CallId> = calls.iter().filter(|call| !waiting.contains(call)).collect();
    match loss {
        None => assert!(missing.is_empty(), "{what}: {} scores are gone without a word", missing.len()),
        Some(Loss { found, .. }) => {
            assert!(missing.iter().all(|call| call.epoch == found.to.epoch && (found.from.seq..=found.to.seq).contains(&call.seq)), "{what}: {} to {} not in {found:?}", missing[0], missing[missing.len() - 1]);
            assert!(found.scores >= missing.len() as u64, "{what}: {} are missing, {found:?}", missing.len());
        }
    }
}

#[test]
fn whatever_page_is_damaged_what_is_lost_is_told() {
    let (_folder, path) = folder();
    let calls = filled(&path);
    let whole = std::fs::read(&path).unwrap();
    let mark = std::fs::read(beside(&path, "-mark")).unwrap();
    let pages = whole.len() / 4_096;
    let (mut rescued, mut told) = (0, 0);
    for page in 0..pages {
        for fill in [0x00, 0x5a] {
            for ending in ["", "-wal", "-shm", "-damaged", "-lock"] {
                drop(std::fs::remove_file(beside(&path, ending)));
            }
            let mut bytes = whole.clone();
            bytes[page * 4_096..(page + 1) * 4_096].fill(fill);
            std::fs::write(&path, &bytes).unwrap();
            std::fs::write(beside(&path, "-mark"), &mark).unwrap();
            let (mut spool, waiting, loss) = salvaged(&path);
            let what = format!("page {page} filled with {fill:#x}");
            assert_accounted(&calls, &waiting, loss, &what);
            if spool.salvaged().is_some() {
                assert_eq!(std::fs::read(beside(&path, "-damaged")).unwrap(), bytes, "{what}: the evidence is kept");
                // No id comes twice: either the epoch is new or the file was whole.
                let next = begin(&mut spool, NOW);
                assert!(next.epoch == 0xb2 && next.seq > 441, "{what}: {next}");
            }
            rescued += waiting.len();
            told += loss.map_or(0, |loss| loss.found.scores);
            // The law that shows losses holds for the new file too: a second salvage would not count them again.
            let backlog = spool.backlog(NOW).unwrap();
            let (seq, row) = crate::open::highest(spool.connection()).unwrap();
            assert!(spool.coverage(NOW).unwrap().total_seen() + backlog.lost_calls >= seq, "{what}");
            assert!(backlog.waiting + backlog.acked + backlog.expired_unacked + backlog.lost_scores >= row, "{what}");
        }
    }
    eprintln!("{pages} pages damaged in two ways each: {rescued} of {} scores rescued, {told} told as lost at most", 2 * pages * calls.len());
    assert!(rescued > pages * calls.len(), "most pages hold few scores");
}

#[test]
fn a_spool_that_is_gone_is_told_as_lost() {
    let mangle: [fn(&Path); 3] =
        [|path| std::fs::remove_file(path).unwrap(), |path| std::fs::write(path, b"").unwrap(), |path| std::fs::write(path, vec![0x5a; 50_000]).unwrap()];
    for mangle in mangle {
        let (_folder, path) = folder();
        let calls = filled(&path);
        mangle(&path);
        let (spool, waiting, loss) = salvaged(&path);
        assert_eq!(waiting, []);
        assert_accounted(&calls, &waiting, loss, "all of it");
        assert_eq!((loss.unwrap().found.from, spool.epoch().unwrap()), (CallId { epoch: 0xa1, seq: 1 }, 0xb2));
        assert_eq!(spool.salvaged(), Some(loss.unwrap().found));
    }
}

#[test]
fn a_salvage_that_a_power_cut_ended_is_begun_anew() {
    let (_folder, path) = folder();
    let calls = filled(&path);
    let whole = std::fs::read(&path).unwrap();
    // Wherever it ended: nothing moved yet, moved, half built.
    for stage in 0..3 {
        for ending in ["-wal", "-shm", "-damaged", "-damaged-wal"] {
            drop(std::fs::remove_file(beside(&path, ending)));
        }
        std::fs::write(&path, &whole).unwrap();
        if stage > 0 {
            std::fs::rename(&path, beside(&path, "-damaged")).unwrap();
        }
        std::fs::write(beside(&path, "-salvaging"), if stage == 2 { &whole[..9_000] } else { b"" }).unwrap();
        let (_spool, waiting, loss) = salvaged(&path);
        assert_eq!((waiting, loss), (calls.clone(), None), "stage {stage}");
        assert!(!beside(&path, "-salvaging").exists());
    }
}

#[test]
fn a_damaged_spool_is_not_taken_away_from_who_has_it_open() {
    let (_folder, path) = folder();
    filled(&path);
    let other = Spool::open(&path, 0).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3 * 4_096..4 * 4_096].fill(0x5a);
    std::fs::write(&path, &bytes).unwrap();
    let waiting = {
        let path = path.clone();
        std::thread::spawn(move || Spool::open_to_hear(&path, 0xb2, HEARER).map(|spool| spool.salvaged().is_some()))
    };
    // It waits for as long as the other is there, and salvages when that one is gone.
    std::thread::yield_now();
    drop(other);
    assert_eq!(waiting.join().unwrap(), Ok(true));
}
