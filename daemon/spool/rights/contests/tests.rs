use super::*;

const CALL: CallId = CallId { epoch: 7, seq: 3 };

fn rights() -> (tempfile::TempDir, Rights) {
    let folder = tempfile::tempdir().unwrap();
    let rights = Rights::open(&folder.path().join("rights.db")).unwrap();
    (folder, rights)
}

fn acts(rights: &Rights) -> Vec<String> {
    rights.records(100).unwrap().into_iter().map(|record| record.act).collect()
}

#[test]
fn a_contested_score_is_withdrawn_at_once_and_once() {
    let (_folder, mut rights) = rights();
    assert_eq!(rights.contest(CALL, "silence", ContestReason::Outage, 100, 1).unwrap(), Ok(()));
    assert_eq!(rights.withdrawals(0, 10).unwrap(), [Withdrawal { row: 1, call: CALL }]);
    assert_eq!(rights.contest(CALL, "", ContestReason::Wrong, 100, 2).unwrap(), Err(ContestError::Repeated));
    assert_eq!(acts(&rights), ["contested", "withdrawn", "contest_refused"], "what is refused is on record, too");
    rights.withdrawals_sent(&[1]).unwrap();
    assert_eq!((rights.withdrawals(0, 10).unwrap(), rights.withdrawn().unwrap()), (Vec::new(), vec![CALL]));
    assert_eq!(rights.resolve(CALL, Resolution::Corrected, 3).unwrap(), Ok(()));
    assert_eq!(rights.resolve(CALL, Resolution::Upheld, 4).unwrap(), Err(ContestError::NotOpen));
    let contest = rights.contests().unwrap().pop().unwrap();
    assert_eq!((contest.metric.as_str(), contest.reason.as_str(), contest.outcome.as_str()), ("silence", "outage", "corrected"));
    assert_eq!((rights.expire_contests(99).unwrap(), rights.expire_contests(100).unwrap()), (0, 2));
    assert!(rights.verify(None).unwrap().is_ok());
}

#[test]
fn an_erasure_looks_like_a_contest_from_outside() {
    let (_folder, mut rights) = rights();
    let other = CallId { epoch: 7, seq: 4 };
    rights.contest(CALL, "", ContestReason::Wrong, 100, 1).unwrap().unwrap();
    rights.withdraw(&[CALL, other], Some([5; 16]), 100, 2).unwrap();
    assert_eq!(rights.withdrawals(0, 10).unwrap().iter().map(|withdrawal| withdrawal.call).collect::<Vec<_>>(), [CALL, other]);
    assert_eq!(acts(&rights), ["contested", "withdrawn", "withdrawn"]);
}
