//! Reading: coverage, the backlog, the tap's gauges, the names behind ids.

use rusqlite::{Connection, OptionalExtension, params};
use sotto_charter::Names;
use sotto_report::messages::{Coverage, Gauges};
use sotto_report::{Millis, Outcome, Reason};

use crate::SpoolError;

const HOUR_MS: i64 = 3_600_000;

/// A connection that looks at the spool.
#[derive(Debug)]
pub struct View {
    pub(crate) connection: Connection,
}

/// What waits to be sent, and what became of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Rows that wait for their acknowledgement.
    pub waiting: u64,
    /// Age of the oldest of them, milliseconds; 0 where none waits.
    pub oldest_ms: u64,
    /// Rows that the broker will never take; kept until they expire.
    pub dead_letters: u64,
    /// Rows whose content did not hold when read again; kept until they expire.
    pub invalid: u64,
    /// Rows acknowledged with success, since the spool was made.
    pub acked: u64,
    /// Acknowledgements that said that nobody subscribes, since the spool was made.
    pub no_subscriber: u64,
    /// Rows that expired unacknowledged, since the spool was made.
    pub expired_unacked: u64,
    /// Connections to the broker, since the spool was made.
    pub connections: u64,
    /// How often another client took over our session, since the spool was made.
    pub taken_over: u64,
    /// How often the wall clock jumped while the box ran, since the spool was made.
    pub clock_jumps: u64,
    /// Calls that the disk lost, and that are in no count of the ledger.
    pub lost_calls: u64,
    /// Scores that the disk lost before they were delivered.
    pub lost_scores: u64,
}

/// What the tap last said of itself, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapGauges {
    /// Its numbers.
    pub gauges: Gauges,
    /// When it wrote them, milliseconds since 1970.
    pub written_ms: i64,
}

impl View {
    /// Names who counts the calls now; the ids of new calls begin with it.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn epoch(&self) -> Result<u32, SpoolError> {
        epoch(&self.connection).map_err(SpoolError::of("reading the epoch"))
    }

    /// The number of the newest row that was ever queued; 0 before the first.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn newest_row(&self) -> Result<i64, SpoolError> {
        let found = self.connection.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'", [], |row| row.get(0)).optional();
        found.map(Option::unwrap_or_default).map_err(SpoolError::of("reading the outbox"))
    }

    /// The ledger: all calls ever seen, and those that began in the hour of `now_ms`.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn coverage(&self, now_ms: i64) -> Result<Coverage, SpoolError> {
        let failed = SpoolError::of("reading the ledger");
        let hour = now_ms - now_ms.rem_euclid(HOUR_MS);
        let mut coverage = Coverage {
            ts: Millis::rounded(now_ms),
            hour: Millis::rounded(hour),
            hour_counts: [0; Outcome::ALL.len()],
            total_counts: [0; Outcome::ALL.len()],
            hour_reasons: [0; Reason::ALL.len()],
            expired_unacked: 0,
        };
        // One statement sees one state of the file, whatever the tap writes meanwhile.
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT hour_ms = ?1, outcome, reason, sum(calls), (SELECT expired_unacked FROM spool) FROM ledger GROUP BY 1, 2, 3
                 UNION ALL SELECT 0, '', '', 0, expired_unacked FROM spool",
            )
            .map_err(&failed)?;
        let mut rows = statement.query([hour]).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            let (of_hour, calls): (bool, u64) = (row.get(0).map_err(&failed)?, row.get(3).map_err(&failed)?);
            coverage.expired_unacked = row.get(4).map_err(&failed)?;
            let outcome = row.get_ref(1).and_then(|text| Ok(Outcome::from_name(text.as_str()?))).map_err(&failed)?;
            let Some(outcome) = outcome else { continue };
            coverage.total_counts[outcome.index()] += calls;
            if of_hour {
                coverage.hour_counts[outcome.index()] += calls;
                let reason = row.get_ref(2).and_then(|text| Ok(Reason::from_name(text.as_str()?))).map_err(&failed)?;
                if let Some(reason) = reason {
                    coverage.hour_reasons[reason.index()] += calls;
                }
            }
        }
        Ok(coverage)
    }

    /// What waits, and the counters.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn backlog(&self, now_ms: i64) -> Result<Backlog, SpoolError> {
        let failed = SpoolError::of("reading the backlog");
        let counters = "SELECT acked, no_subscriber, expired_unacked, connections, taken_over, clock_jumps,
                               (SELECT coalesce(sum(calls), 0) FROM lost), (SELECT coalesce(sum(scores), 0) FROM lost) FROM spool";
        // One transaction sees one state of the file, whatever the tap writes meanwhile.
        let reading = self.connection.unchecked_transaction().map_err(&failed)?;
        let mut backlog = reading
            .prepare_cached(counters)
            .and_then(|mut statement| {
                statement.query_row([], |row| {
                    Ok(Backlog {
                        acked: row.get(0)?,
                        no_subscriber: row.get(1)?,
                        expired_unacked: row.get(2)?,
                        connections: row.get(3)?,
                        taken_over: row.get(4)?,
                        clock_jumps: row.get(5)?,
                        lost_calls: row.get(6)?,
                        lost_scores: row.get(7)?,
                        ..Backlog::default()
                    })
                })
            })
            .map_err(&failed)?;
        let mut statement = reading.prepare_cached("SELECT state, count(*), min(queued_ms) FROM outbox GROUP BY state").map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            let count: u64 = row.get(1).map_err(&failed)?;
            match row.get_ref(0).and_then(|state| Ok(state.as_str()?)).map_err(&failed)? {
                "waiting" => {
                    backlog.waiting = count;
                    backlog.oldest_ms = row.get(2).map(|queued: i64| u64::try_from(now_ms - queued).unwrap_or(0)).map_err(&failed)?;
                }
                "invalid" => backlog.invalid = count,
                _ => backlog.dead_letters += count,
            }
        }
        Ok(backlog)
    }

    /// What the tap last said of itself; `None` before it ever did, and where what stands there is not that.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn tap_gauges(&self) -> Result<Option<TapGauges>, SpoolError> {
        let row: Option<(String, i64)> = self
            .connection
            .prepare_cached("SELECT gauges, written_ms FROM gauges")
            .and_then(|mut statement| statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional())
            .map_err(SpoolError::of("reading the tap's gauges"))?;
        Ok(row.and_then(|(text, written_ms)| serde_json::from_str(&text).ok().map(|gauges| TapGauges { gauges, written_ms })))
    }

    /// The names of this fingerprint, if the uplink ever knew them.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn names(&self, fingerprint: i64) -> Result<Option<Names>, SpoolError> {
        let row: Option<(String, String)> = self
            .connection
            .prepare_cached("SELECT teams, lines FROM names WHERE fingerprint = ?1")
            .and_then(|mut statement| statement.query_row(params![fingerprint], |row| Ok((row.get(0)?, row.get(1)?))).optional())
            .map_err(SpoolError::of("reading names"))?;
        let parsed = row.and_then(|(teams, lines)| Some(Names { teams: serde_json::from_str(&teams).ok()?, lines: serde_json::from_str(&lines).ok()? }));
        Ok(parsed.filter(|names| names.fingerprint() == fingerprint))
    }
}

/// The epoch that counts.
pub(crate) fn epoch(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("SELECT epoch FROM epoch ORDER BY first_seq DESC LIMIT 1", [], |row| row.get(0))
}

/// The epoch under which a call of this number was counted.
pub(crate) fn epoch_of(connection: &Connection, seq: u64) -> rusqlite::Result<Option<u32>> {
    connection.query_row("SELECT epoch FROM epoch WHERE first_seq <= ?1 ORDER BY first_seq DESC LIMIT 1", [seq], |row| row.get(0)).optional()
}
