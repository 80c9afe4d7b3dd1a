//! From every older version to the present one; epochs and machines.

use super::*;
use crate::{Hearer, upgrade};

/// The first version as it was. Later ones are made from it by their own steps.
const FIRST: &str = include_str!("../upgrade/1.sql");

const QUOTA: u64 = 64 << 20;

/// A file of the first version with a call of each kind and two scores that wait, made by nothing but SQL.
fn first(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(FIRST).unwrap();
    connection.execute_batch("PRAGMA journal_mode = wal; INSERT INTO spool (one, epoch, connections, acked, no_subscriber, expired_unacked) VALUES (1, 161, 7, 20, 2, 3)").unwrap();
    for seq in 1..=4 {
        connection.execute("INSERT INTO call (started_ms, outcome) VALUES (?1, ?2)", rusqlite::params![NOW, if seq == 4 { "open" } else { "scored" }]).unwrap();
    }
    connection.execute("INSERT INTO folded VALUES (0, 'unanswered', '', 21)", []).unwrap();
    connection.execute("UPDATE sqlite_sequence SET seq = 25 WHERE name = 'call'", []).unwrap();
    for seq in [1, 3] {
        let score = serde_json::to_string(&score(CallId { epoch: 161, seq }, NOW + WEEK)).unwrap();
        let digest = crate::outbox::digest(seq, 5, NOW, NOW + WEEK, &score);
        connection
            .execute("INSERT INTO outbox (call, names, queued_ms, expires_ms, score, digest) VALUES (?1, 5, ?2, ?3, ?4, ?5)", rusqlite::params![seq, NOW, NOW + WEEK, score, digest])
            .unwrap();
    }
    connection.execute("UPDATE sqlite_sequence SET seq = 25 WHERE name = 'outbox'", []).unwrap();
    connection.execute("INSERT INTO names VALUES (5, '[]', '[]')", []).unwrap();
}

/// All that a file's schema says, without comments and the way it is written.
fn shape(connection: &rusqlite::Connection) -> Vec<String> {
    let mut statement = connection.prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name").unwrap();
    let said = statement.query_map([], |row| Ok(format!("{} {}: {}", row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))).unwrap();
    let bare = |sql: String| sql.lines().map(|line| line.split("--").next().unwrap()).flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    said.map(|sql| bare(sql.unwrap())).collect()
}

#[test]
fn every_older_version_becomes_the_present_one_and_keeps_all_that_it_held() {
    let (_fresh_folder, fresh) = folder();
    let fresh = Spool::open(&fresh, 1).unwrap();
    for version in 1..=upgrade::VERSION {
        let (_folder, path) = folder();
        first(&path);
        let mut connection = rusqlite::Connection::open(&path).unwrap();
        upgrade::up_to(&mut connection, &path, version);
        assert_eq!(connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)), Ok(version));
        drop(connection);
        if version < upgrade::VERSION {
            assert_eq!(View::open(&path).unwrap_err(), SpoolError::Older { path: path.clone(), found: version });
        }

        let mut spool = Spool::open(&path, 0xb2).unwrap();
        assert_eq!(shape(spool.connection()), shape(fresh.connection()), "from version {version}");
        let coverage = spool.coverage(NOW).unwrap();
        assert_eq!((coverage.total_seen(), coverage.hour_counts[Outcome::Scored.index()], coverage.expired_unacked), (25, 3, 3));
        let backlog = spool.backlog(NOW).unwrap();
        assert_eq!((backlog.waiting, backlog.acked, backlog.connections, backlog.no_subscriber), (2, 20, 7, 2));
        let pending = spool.pending(0, 9).unwrap();
        assert_eq!(pending.iter().map(|entry| entry.score.call).collect::<Vec<_>>(), [1, 3].map(|seq| CallId { epoch: 161, seq }));
        // Numbers go on where they were.
        let call = begin(&mut spool, NOW);
        assert_eq!(call, CallId { epoch: 161, seq: 26 });
        close(&mut spool, call);
        assert_eq!(spool.pending(2, 9).unwrap()[0].row, 26);
    }
}

#[test]
fn a_copy_on_another_machine_counts_under_an_epoch_of_its_own() {
    let (_folder, path) = folder();
    let on = |machine| Hearer { machine, quota_bytes: QUOTA };
    let mut spool = Spool::open_to_hear(&path, 0xa1, on(11)).unwrap();
    let first = begin(&mut spool, NOW);
    close(&mut spool, first);
    drop(spool);
    // Whoever sends does not care where it is, and the same machine goes on.
    assert_eq!(Spool::open(&path, 0xc3).unwrap().epoch().unwrap(), 0xa1);
    assert_eq!(Spool::open_to_hear(&path, 0xc3, on(11)).unwrap().epoch().unwrap(), 0xa1);

    let mut sender = Spool::open(&path, 0).unwrap();
    let mut spool = Spool::open_to_hear(&path, 0xb2, on(12)).unwrap();
    let second = begin(&mut spool, NOW);
    close(&mut spool, second);
    assert_eq!((first, second), (CallId { epoch: 0xa1, seq: 1 }, CallId { epoch: 0xb2, seq: 2 }));
    // What the sender opened before the epoch changed it reads all the same.
    assert_eq!(sender.pending(0, 9).unwrap().iter().map(|entry| entry.score.call).collect::<Vec<_>>(), [first, second]);
    assert_eq!(sender.epoch().unwrap(), 0xb2);
    drop(spool);
    // Back on the first one: nobody knows what the copy counted meanwhile.
    assert_eq!(Spool::open_to_hear(&path, 0xd4, on(11)).unwrap().epoch().unwrap(), 0xd4);
    // A draw that is the present epoch is none.
    assert_ne!(Spool::open_to_hear(&path, 0xd4, on(12)).unwrap().epoch().unwrap(), 0xd4);
}
