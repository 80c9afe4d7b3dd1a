//! A disk that is full, and a quota that is reached: new work is refused in the ladder's order, and nothing that was committed is lost.

use super::*;
use crate::lock::beside;
use crate::{Hearer, Level};

#[test]
fn at_its_quota_the_spool_sheds_scores_first_and_then_refuses_calls() {
    let (_folder, path) = folder();
    let quota_bytes = 2 << 20;
    let mut spool = Spool::open_to_hear(&path, 1, Hearer { machine: 11, quota_bytes }).unwrap();
    spool.make_room().unwrap();
    let (mut kept, mut steps, mut seen) = (0, vec![Level::Ample], 0_u64);
    let mut counts_alone = 0;
    while counts_alone < 5 {
        assert!(seen < 100_000, "the quota is never reached");
        spool.make_room().unwrap();
        let mut batch = spool.batch().unwrap();
        for _ in 0..20 {
            seen += 1;
            if let Some(call) = batch.open(&Opening { started: Millis::rounded(NOW) }).unwrap() {
                batch.settle(&scored(call, NOW + WEEK), 5, NOW).unwrap();
            }
        }
        batch.commit().unwrap();
        let level = spool.room().unwrap();
        counts_alone += u64::from(level == Level::CountsAlone);
        if *steps.last().unwrap() != level {
            steps.push(level);
        }
        let waiting = spool.backlog(NOW).unwrap().waiting;
        assert!(waiting >= kept, "what was kept is gone");
        kept = waiting;
    }
    assert_eq!(steps, [Level::Ample, Level::NoScores, Level::CountsAlone]);
    let counts = spool.coverage(NOW).unwrap().total_counts;
    let [scored, shed, refused] = [Outcome::Scored, Outcome::Shed, Outcome::Refused].map(|outcome| counts[outcome.index()]);
    assert_eq!((scored, scored + shed + refused), (kept, seen), "every call is in the ledger");
    assert!(scored > 500 && shed > 0 && refused > 0, "{scored} {shed} {refused}");
    assert!(std::fs::metadata(&path).unwrap().len() <= quota_bytes);
    // Deliveries make room again.
    let rows: Vec<i64> = spool.pending(0, 100_000).unwrap().into_iter().map(|entry| entry.row).collect();
    assert_eq!(spool.acked(&rows).unwrap(), kept);
    spool.make_room().unwrap();
    assert_eq!(spool.room().unwrap(), Level::Ample);
    let call = begin(&mut spool, NOW);
    assert_eq!(call.seq, seen + 1, "a refused call took its number");
}

#[test]
fn the_ballast_is_laid_given_up_and_laid_again() {
    let (_folder, path) = folder();
    let mut spool = Spool::open_to_hear(&path, 1, Hearer { machine: 11, quota_bytes: 64 << 20 }).unwrap();
    spool.make_room().unwrap();
    let ballast = beside(&path, "-ballast");
    assert_eq!(std::fs::metadata(&ballast).unwrap().len(), 4 << 20);
    assert!(spool.give_way() && !ballast.exists());
    assert!(!spool.give_way(), "there is none any more");
    spool.make_room().unwrap();
    assert!(ballast.exists());
    assert_eq!(spool.room().unwrap(), Level::Ample);
}
