use std::os::unix::fs::PermissionsExt as _;

use super::*;

const AGENT: Mark = Mark(*b"a mark of agents");
const OTHER: Mark = Mark(*b"another agent...");
const SUBJECT: Subject = *b"random reference";

fn call(seq: u64) -> MeasuredCall {
    MeasuredCall { call: CallId { epoch: 7, seq }, ended_ms: seq as i64, expires_ms: 1_000 + seq as i64 }
}

fn people(folder: &Path, key: [u8; 32]) -> People {
    People::open(&folder.join("tap.db"), key).unwrap()
}

#[test]
fn what_an_agent_wishes_is_known_and_the_key_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut tap = people(folder.path(), [1; 32]);
    let mut desk = people(folder.path(), [2; 32]);
    assert_eq!((tap.key(), desk.key()), ([1; 32], [1; 32]), "the key is of the file");
    let before = tap.version().unwrap();
    assert_eq!(desk.wish(AGENT, Wish::Acknowledge(5), SUBJECT, 10).unwrap(), SUBJECT);
    assert_ne!(tap.version().unwrap(), before, "the tap notices");
    assert_eq!(desk.wish(AGENT, Wish::Pause(true), [9; 16], 11).unwrap(), SUBJECT, "one agent, one reference");
    let standing = |tap: &People, charter| tap.standings(charter).unwrap()[&AGENT];
    assert_eq!(standing(&tap, 5), AgentStanding { has_acknowledged: true, has_objected: false, is_paused: true });
    assert!(!standing(&tap, 6).has_acknowledged, "another version of the charter");
    tap.wish(AGENT, Wish::Object(true), [9; 16], 12).unwrap();
    tap.wish(AGENT, Wish::Pause(false), [9; 16], 12).unwrap();
    assert_eq!(standing(&desk, u64::MAX), AgentStanding { has_acknowledged: false, has_objected: true, is_paused: false });
    let mode = std::fs::metadata(folder.path().join("tap.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "not for the group");
}

#[test]
fn who_is_erased_is_in_no_byte_of_the_file_or_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut tap = people(folder.path(), [1; 32]);
    for mark in [AGENT, OTHER] {
        tap.wish(mark, Wish::Acknowledge(5), if mark == AGENT { SUBJECT } else { [3; 16] }, 10).unwrap();
    }
    tap.remember(&[(call(1), AGENT), (call(2), OTHER), (call(3), AGENT)]).unwrap();
    assert_eq!(tap.known(AGENT).unwrap().unwrap().calls, [call(1), call(3)]);
    let holds = |needle: &[u8]| ["tap.db", "tap.db-wal"].iter().any(|name| std::fs::read(folder.path().join(name)).is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle)));
    assert!(holds(&AGENT.0) && holds(&SUBJECT));
    tap.erase(AGENT).unwrap();
    assert!(!holds(&AGENT.0) && !holds(&SUBJECT) && !holds(b"00000007-3"));
    assert!(holds(&OTHER.0));
    assert_eq!((tap.known(AGENT).unwrap(), tap.known(OTHER).unwrap().unwrap().calls.len()), (None, 1));
    assert_eq!((tap.expire(1_001).unwrap(), tap.expire(1_002).unwrap()), (0, 1));
}
