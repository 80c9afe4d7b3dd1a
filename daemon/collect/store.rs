//! The collector's disk: SQLite, every commit on the disk before it returns.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use sotto_report::{Ack, Fingerprint, Millis, Orders};
use sotto_uplink::About;

use crate::message::Message;

const SCHEMA: &str = include_str!("schema.sql");

/// "sotc".
const APPLICATION: i64 = 0x736f_7463;

const VERSION: i64 = 1;

/// Rows deleted at once.
const AT_ONCE: i64 = 5_000;

/// What boxes said of their state is kept for so long.
const HEALTH_KEPT_MS: i64 = 35 * 86_400_000;

/// Which places of whose queue.
type Queue = (String, String, Fingerprint);

/// The collector's database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    received: BTreeMap<Queue, Ranges>,
}

/// What a commit came to.
#[derive(Debug, Default)]
pub struct Kept {
    /// Scores that were not there before.
    pub new: usize,
    /// Scores that were.
    pub known: usize,
    /// What to say to the boxes now.
    pub acks: Vec<(About, Ack)>,
}

/// Why the database cannot be used.
#[derive(Debug)]
pub struct StoreError {
    path: PathBuf,
    source: rusqlite::Error,
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for StoreError {}

impl Store {
    /// Opens the database, or makes it.
    ///
    /// # Errors
    /// It cannot be opened, or is another program's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(failed)?;
        prepare(&mut connection).map_err(failed)?;
        let received = load(&connection).map_err(failed)?;
        Ok(Self { connection, received })
    }

    /// Keeps what came together: when this returns it is on the disk.
    ///
    /// # Errors
    /// It could not be written: nothing of it is kept.
    pub fn keep(&mut self, messages: &[Message], now_ms: i64) -> rusqlite::Result<Kept> {
        let mut kept = Kept::default();
        let mut places: BTreeMap<Queue, (About, BTreeSet<u64>)> = BTreeMap::new();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for message in messages {
            match message {
                Message::Score(score) => {
                    let inserted = transaction
                        .prepare_cached("INSERT INTO score SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS (SELECT 1 FROM withdrawn WHERE (site, node, call) = (?1, ?2, ?3)) ON CONFLICT DO NOTHING")?
                        .execute(params![score.about.site(), score.about.node(), score.call.to_string(), score.team, score.outcome, score.ts_ms, score.expires_ms, score.text])?;
                    kept.new += inserted;
                    kept.known += 1 - inserted;
                    if let Some((outbox, order)) = score.place {
                        let queue = (score.about.site().to_owned(), score.about.node().to_owned(), outbox);
                        places.entry(queue).or_insert_with(|| (score.about.clone(), BTreeSet::new())).1.insert(order);
                    }
                }
                Message::Withdrawn { about, call } => {
                    let call = call.to_string();
                    transaction.prepare_cached("INSERT INTO withdrawn VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?.execute(params![about.site(), about.node(), call])?;
                    transaction.prepare_cached("DELETE FROM score WHERE (site, node, call) = (?1, ?2, ?3)")?.execute(params![about.site(), about.node(), call])?;
                }
                // What is retained comes again with each subscription, and may be older than what was heard since.
                Message::Hour { about, hour_ms, ts_ms, text } => {
                    let upsert = "INSERT INTO hour VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET ts_ms = ?4, message = ?5 WHERE ts_ms <= ?4";
                    transaction.prepare_cached(upsert)?.execute(params![about.site(), about.node(), hour_ms, ts_ms, text])?;
                }
                Message::Health { about, ts_ms, text } => {
                    transaction.prepare_cached("INSERT INTO health VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?.execute(params![about.site(), about.node(), ts_ms, text])?;
                }
                Message::Event { about, text } => {
                    transaction.prepare_cached("INSERT INTO event VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?.execute(params![about.site(), about.node(), text])?;
                }
            }
        }
        let mut received = BTreeMap::new();
        for (queue, (about, orders)) in places {
            let mut ranges = self.received.get(&queue).cloned().unwrap_or_default();
            for order in &orders {
                ranges.insert(*order);
            }
            write(&transaction, &queue, &ranges)?;
            let ack = |orders| (about.clone(), Ack { ts_ms: Millis::rounded(now_ms), outbox: queue.2, orders });
            // What was received now, with all that touches it: what was said before and did not arrive is said again with it.
            kept.acks.extend(said(orders.iter().filter_map(|order| ranges.around(*order))).into_iter().map(ack));
            received.insert(queue, ranges);
        }
        transaction.commit()?;
        self.received.append(&mut received);
        Ok(kept)
    }

    /// Deletes what must not be kept any longer. Returns how many scores; call it again where it is many.
    ///
    /// # Errors
    /// It could not be written.
    pub fn expire(&mut self, now_ms: i64) -> rusqlite::Result<usize> {
        self.connection.execute("DELETE FROM health WHERE ts_ms < ?1", [now_ms - HEALTH_KEPT_MS])?;
        self.connection.execute(
            "DELETE FROM score WHERE (site, node, call) IN (SELECT site, node, call FROM score WHERE expires_ms <= ?1 LIMIT ?2)",
            params![now_ms, AT_ONCE],
        )
    }

    /// The latest score's time, milliseconds since 1970; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn latest(&self) -> rusqlite::Result<Option<i64>> {
        self.connection.query_row("SELECT max(ts_ms) FROM score", [], |row| row.get(0))
    }

    /// How many scores are kept.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn scores(&self) -> rusqlite::Result<u64> {
        self.connection.query_row("SELECT count(*) FROM score", [], |row| row.get(0))
    }
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    // What retention deleted is overwritten, not only unlinked.
    connection.pragma_update_and_check(None, "secure_delete", "on", |_| Ok(()))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let pragma = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let objects: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION, VERSION) => {}
        (0, 0) if objects == 0 => transaction.execute_batch(SCHEMA)?,
        // Another program's, or a newer one's: left alone.
        _ => return Err(rusqlite::Error::InvalidPath("no collector's database of a known version".into())),
    }
    transaction.commit()
}

fn load(connection: &Connection) -> rusqlite::Result<BTreeMap<Queue, Ranges>> {
    let mut received: BTreeMap<Queue, Ranges> = BTreeMap::new();
    let mut statement = connection.prepare("SELECT site, node, outbox, first, last FROM received")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let outbox: String = row.get(2)?;
        let Ok(outbox) = outbox.parse() else { continue };
        received.entry((row.get(0)?, row.get(1)?, outbox)).or_default().0.insert(row.get(3)?, row.get(4)?);
    }
    Ok(received)
}

/// Writes the ranges of a queue in the place of those before.
fn write(transaction: &Transaction<'_>, (site, node, outbox): &Queue, ranges: &Ranges) -> rusqlite::Result<()> {
    let outbox = outbox.to_string();
    transaction.prepare_cached("DELETE FROM received WHERE site = ?1 AND node = ?2 AND outbox = ?3")?.execute(params![site, node, outbox])?;
    for (first, last) in &ranges.0 {
        transaction.prepare_cached("INSERT INTO received VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![site, node, outbox, first, last])?;
    }
    Ok(())
}

/// Acknowledgements for these ranges, each with as many as it holds.
fn said(ranges: impl Iterator<Item = (u64, u64)>) -> Vec<Orders> {
    let mut all: Vec<Orders> = Vec::new();
    let mut last = 0;
    for (from, to) in ranges {
        // The one that was just said.
        if to <= last {
            continue;
        }
        last = to;
        if !all.last_mut().is_some_and(|orders| orders.push(from, to)) {
            let mut orders = Orders::default();
            orders.push(from, to);
            all.push(orders);
        }
    }
    all
}

/// Numbers, as ranges that do not touch: the first of each, and its last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn insert(&mut self, number: u64) {
        if self.around(number).is_some() {
            return;
        }
        let (mut first, mut last) = (number, number);
        if let Some((before, _)) = number.checked_sub(1).and_then(|before| self.around(before)) {
            first = before;
        }
        if let Some(behind) = number.checked_add(1).and_then(|behind| self.0.remove(&behind)) {
            last = behind;
        }
        self.0.insert(first, last);
    }

    /// The range that holds this number.
    fn around(&self, number: u64) -> Option<(u64, u64)> {
        self.0.range(..=number).next_back().map(|(first, last)| (*first, *last)).filter(|(_, last)| *last >= number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::read;

    const NOW: i64 = 1_790_000_000_000;

    fn score(node: &str, order: u64) -> Message {
        let text = format!(
            r#"{{"site":"harbor","node":"{node}","call":"000000a1-{order}","outbox":"00000000000000a1","order":{order},"outcome":"scored","ts_ms":{NOW},"expires_ms":{}}}"#,
            NOW + order as i64
        );
        read(&format!("sotto/v1/harbor/{node}/call/score"), text.as_bytes()).unwrap()
    }

    fn orders(kept: &Kept) -> Vec<String> {
        kept.acks.iter().map(|(about, ack)| format!("{} {}", about.node(), ack.orders)).collect()
    }

    #[test]
    fn what_is_kept_is_acknowledged_and_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("collect.db");
        let mut store = Store::open(&path).unwrap();
        let kept = store.keep(&[score("a", 1), score("a", 2), score("b", 7), score("a", 4)], NOW).unwrap();
        assert_eq!((kept.new, kept.known, orders(&kept)), (4, 0, vec!["a 1-2,4".into(), "b 7".into()]));
        let kept = store.keep(&[score("a", 2), score("a", 3)], NOW).unwrap();
        assert_eq!((kept.new, kept.known, orders(&kept)), (1, 1, vec!["a 1-4".into()]));
        drop(store);
        // It knows all of it again after a restart, and says it again when it comes again.
        let mut store = Store::open(&path).unwrap();
        let kept = store.keep(&[score("a", 2)], NOW).unwrap();
        assert_eq!((kept.new, kept.known, orders(&kept)), (0, 1, vec!["a 1-4".into()]));
        assert_eq!(store.scores().unwrap(), 5);
        assert_eq!(store.expire(NOW + 2).unwrap(), 2);
        assert_eq!((store.scores().unwrap(), store.latest().unwrap()), (3, Some(NOW)));
    }

    #[test]
    fn what_was_withdrawn_goes_and_does_not_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("collect.db")).unwrap();
        store.keep(&[score("a", 1), score("a", 2), score("b", 1)], NOW).unwrap();
        let withdrawn = read("sotto/v1/harbor/a/call/withdrawn", br#"{"v":1,"site":"harbor","node":"a","call":"000000a1-1"}"#).unwrap();
        store.keep(std::slice::from_ref(&withdrawn), NOW).unwrap();
        assert_eq!(store.scores().unwrap(), 2);
        let kept = store.keep(&[score("a", 1), withdrawn, score("a", 3)], NOW).unwrap();
        assert_eq!((kept.new, orders(&kept), store.scores().unwrap()), (1, vec!["a 1-3".into()], 3));
    }

    #[test]
    fn many_holes_take_many_acknowledgements() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("collect.db")).unwrap();
        let messages: Vec<Message> = (1..=40).map(|order| score("a", 2 * order)).collect();
        let kept = store.keep(&messages, NOW).unwrap();
        assert_eq!(kept.acks.len(), 3);
        let said: Vec<(u64, u64)> = kept.acks.iter().flat_map(|(_, ack)| ack.orders.iter().collect::<Vec<_>>()).collect();
        assert_eq!(said, (1..=40).map(|order| (2 * order, 2 * order)).collect::<Vec<_>>());
    }

    #[test]
    fn another_programs_database_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(Store::open(&path).is_err());
    }
}
