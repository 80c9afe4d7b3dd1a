use rusqlite::Connection;
use sotto_report::{Evidence, Id, Millis, Standing};

use super::*;

const DAY: i64 = 86_400_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn doing(number: u64) -> Doing {
    let call = CallId { epoch: 7, seq: number };
    let decided = Decided { call, at: Millis::rounded(number as i64 * 1_000), standing: Standing::Given, evidence: Evidence::Announced, rule: Some(Id(2)) };
    match number % 5 {
        0 => Doing { act: Act::Contested, subject: None, call: Some(call) },
        1 => Doing { act: Act::Paused, subject: Some([number as u8; 16]), call: None },
        2 => Doing::of(Act::Began { charter: number, models: 0 }),
        _ => Doing { act: Act::Decided(decided), subject: None, call: Some(call) },
    }
}

/// A chain of so many entries, and its file.
fn chain(entries: u64) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rights.db");
    let mut rights = Rights::open(&path).unwrap();
    for first in (1..=entries).step_by(500) {
        let some: Vec<Doing> = (first..=entries.min(first + 499)).map(doing).collect();
        rights.record(&some, first as i64 * 1_000).unwrap();
    }
    (folder, path)
}

fn verified(path: &std::path::Path, anchor: Option<Anchor>) -> Result<(u64, Anchor), Fault> {
    Rights::open(path).unwrap().verify(anchor.as_ref().map(|anchor| (anchor.seq, &anchor.hash[..]))).unwrap()
}

/// Writes behind the program's back: without the triggers.
fn behind(path: &std::path::Path, statements: &[String]) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("DROP TRIGGER IF EXISTS entry_stays; DROP TRIGGER IF EXISTS entry_goes_from_the_front").unwrap();
    for statement in statements {
        connection.execute(statement, []).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

#[test]
fn an_untouched_chain_holds() {
    let (_folder, path) = chain(1_234);
    let (entries, anchor) = verified(&path, None).unwrap();
    assert_eq!((entries, anchor.seq), (1_234, 1_234));
    assert_eq!(verified(&path, Some(anchor)).unwrap().1, anchor);
    let last = Rights::open(&path).unwrap().records(1).unwrap().pop().unwrap();
    assert_eq!((last.act.as_str(), last.call.as_str(), last.detail.as_str()), ("decided", "00000007-1234", "standing=given evidence=announced rule=3"));
}

/// 10,000 entries; 200 random edits of one byte, deletions, reorderings and truncations: each is found.
#[test]
fn every_edit_deletion_reordering_and_truncation_is_found() {
    const ENTRIES: u64 = 10_000;
    let (_folder, path) = chain(ENTRIES);
    let (_, anchor) = verified(&path, None).unwrap();
    let mut random = Random(2_026);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    let mut found = [0; 4];
    for attempt in 0..200 {
        for suffix in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(folder.path().join(format!("copy.db{suffix}"))));
        }
        // The last connection has moved all into the file itself.
        std::fs::copy(&path, &copy).unwrap();
        let seq = 1 + random.below(ENTRIES);
        let kind = attempt % 4;
        let statements = match kind {
            0 => {
                let column = ["at_ms", "act", "subject", "call", "detail", "hash"][random.below(6) as usize];
                vec![match column {
                    "at_ms" => format!("UPDATE entry SET at_ms = at_ms + {} WHERE seq = {seq}", 1 + random.below(255)),
                    "act" | "call" | "detail" => format!("UPDATE entry SET {column} = 'x' || substr({column}, 2) WHERE seq = {seq}"),
                    "subject" => format!("UPDATE entry SET subject = randomblob(16) WHERE seq = {seq}"),
                    _ => format!("UPDATE entry SET hash = randomblob(32) WHERE seq = {seq}"),
                }]
            }
            1 => vec![format!("DELETE FROM entry WHERE seq = {seq}")],
            2 => {
                let other = 1 + (seq + random.below(ENTRIES - 1)) % ENTRIES;
                vec![format!("UPDATE entry SET seq = 0x7fffffff WHERE seq = {seq}"), format!("UPDATE entry SET seq = {seq} WHERE seq = {other}"), format!("UPDATE entry SET seq = {other} WHERE seq = 0x7fffffff")]
            }
            _ => vec![format!("DELETE FROM entry WHERE seq > {}", ENTRIES - 1 - random.below(ENTRIES / 2))],
        };
        behind(&copy, &statements);
        match verified(&copy, Some(anchor)) {
            Err(_) => found[kind] += 1,
            Ok(_) => panic!("not found: {statements:?}"),
        }
    }
    eprintln!("found: {} edits, {} deletions, {} reorderings, {} truncations", found[0], found[1], found[2], found[3]);
    assert_eq!(found, [50; 4]);
}

#[test]
fn a_chain_that_is_written_anew_is_found_by_the_anchor() {
    let (_folder, path) = chain(100);
    let (_, anchor) = verified(&path, None).unwrap();
    let (_other, forged) = chain(100);
    assert_eq!(verified(&forged, Some(anchor)).unwrap().1, anchor, "the same deeds make the same chain");
    behind(&forged, &["DELETE FROM entry".to_owned()]);
    let mut rights = Rights::open(&forged).unwrap();
    rights.record(&(0..100).map(|_| Doing::of(Act::Exported)).collect::<Vec<_>>(), 0).unwrap();
    assert!(rights.verify(None).unwrap().is_ok(), "in itself it holds");
    assert_eq!(rights.verify(Some((anchor.seq, &anchor.hash[..8]))).unwrap(), Err(Fault::Another(100)));
}

#[test]
fn retention_takes_from_the_front_and_leaves_a_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let mut rights = Rights::open(&folder.path().join("rights.db")).unwrap();
    for day in 0..10 {
        rights.record(&[doing(day as u64)], day * DAY).unwrap();
    }
    let anchor = rights.anchor().unwrap();
    assert_eq!(rights.expire_entries(4 * DAY, 10 * DAY).unwrap(), 4);
    let (entries, _) = rights.verify(Some((anchor.seq, &anchor.hash[..8]))).unwrap().unwrap();
    assert_eq!(entries, 7, "six that are young, and the receipt");
    assert_eq!(rights.records(1).unwrap()[0].detail, "entries=4");
    assert_eq!(rights.expire_entries(4 * DAY, 10 * DAY).unwrap(), 0);
    let refused = rights.connection.execute("DELETE FROM entry WHERE seq = 7", []);
    assert!(refused.is_err() && rights.connection.execute("UPDATE entry SET detail = '' WHERE seq = 7", []).is_err());
}
