//! The audit chain: what the box did, without content, and whether anybody has touched it since.
//!
//! An entry's hash is SHA-256 over the hash before it and the entry's own fields, each with its length, so that no two entries are the
//! same bytes. Whoever can write the file can write a new chain: that is found by the anchor, a number and hash that somebody else kept.

use std::fmt;

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};
use sotto_redact::Sealed;
use sotto_report::{CallId, Decided};

use super::Rights;
use crate::SpoolError;

/// A random reference to an agent; the tap's own file says to whom, until it is erased there.
pub type Subject = [u8; 16];

/// Something that the box did, or that was done with it. It has no room for content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The tap began to hear, under this charter and with these models.
    Began {
        /// First 64 bits of the charter's digest.
        charter: u64,
        /// First 64 bits of the models' digest; 0 where none is needed.
        models: u64,
    },
    /// It was decided whether a call may be decoded.
    Decided(Decided),
    /// A score was contested.
    Contested,
    /// A contest was refused, and why.
    ContestRefused(super::ContestError),
    /// A contest was decided.
    Resolved(super::Resolution),
    /// A score was withdrawn.
    Withdrawn,
    /// An agent's data were erased; how many calls were withdrawn.
    Erased {
        /// Calls.
        calls: u64,
    },
    /// An agent's data were handed out.
    Exported,
    /// An agent acknowledged the charter of this digest.
    Acknowledged {
        /// First 64 bits of the charter's digest.
        charter: u64,
    },
    /// An agent objected to being measured.
    Objected,
    /// An agent took the objection back.
    ObjectionWithdrawn,
    /// An agent paused.
    Paused,
    /// An agent goes on.
    Resumed,
    /// Entries of this chain reached the end of their time.
    Expired {
        /// How many.
        entries: u64,
    },
}

impl Act {
    /// Its name in the chain.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Began { .. } => "began",
            Self::Decided(_) => "decided",
            Self::Contested => "contested",
            Self::ContestRefused(_) => "contest_refused",
            Self::Resolved(_) => "resolved",
            Self::Withdrawn => "withdrawn",
            Self::Erased { .. } => "erased",
            Self::Exported => "exported",
            Self::Acknowledged { .. } => "acknowledged",
            Self::Objected => "objected",
            Self::ObjectionWithdrawn => "objection_withdrawn",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Expired { .. } => "expired",
        }
    }
}

impl fmt::Display for Act {
    /// What it has to say beside its name.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began { charter, models } => write!(formatter, "charter={charter:016x} models={models:016x}"),
            Self::Decided(decided) => {
                write!(formatter, "standing={} evidence={}", decided.standing.name(), decided.evidence.name())?;
                decided.rule.map_or(Ok(()), |rule| write!(formatter, " rule={}", rule.0 + 1))
            }
            Self::ContestRefused(why) => write!(formatter, "why={}", why.name()),
            Self::Resolved(how) => write!(formatter, "how={}", how.name()),
            Self::Erased { calls } => write!(formatter, "calls={calls}"),
            Self::Acknowledged { charter } => write!(formatter, "charter={charter:016x}"),
            Self::Expired { entries } => write!(formatter, "entries={entries}"),
            _ => Ok(()),
        }
    }
}

/// An entry to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doing {
    /// What.
    pub act: Act,
    /// About which agent.
    pub subject: Option<Subject>,
    /// About which call.
    pub call: Option<CallId>,
}

impl Doing {
    /// About no call and nobody.
    #[must_use]
    pub const fn of(act: Act) -> Self {
        Self { act, subject: None, call: None }
    }

    /// A consent decision that passed the gate.
    #[must_use]
    pub const fn decided(sealed: &Sealed<Decided>) -> Self {
        let decided = *sealed.get();
        Self { act: Act::Decided(decided), subject: None, call: Some(decided.call) }
    }
}

/// Where the chain stands: whoever keeps this elsewhere can tell later whether its end was cut off or it was written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Number of the last entry; 0 where there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// What is wrong with a chain, and where it shows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The entry of this number is not the one that was made, or another stands before it.
    Changed(u64),
    /// Entries are missing before this number.
    Missing(u64),
    /// The chain ends before the entry of the anchor.
    CutOff {
        /// The last entry that is there.
        last: u64,
        /// The anchor's.
        anchor: u64,
    },
    /// The chain holds in itself and is another than the one that the anchor is of.
    Another(u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(seq) => write!(formatter, "entry {seq} was changed, moved or put in"),
            Self::Missing(seq) => write!(formatter, "entries are missing before {seq}"),
            Self::CutOff { last, anchor } => write!(formatter, "the chain ends at {last}, and the anchor is of {anchor}: its end was cut off"),
            Self::Another(seq) => write!(formatter, "entry {seq} is not the one that the anchor is of: the chain was written anew"),
        }
    }
}

/// An entry as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at_ms: i64,
    /// The act's name.
    pub act: String,
    /// The agent's reference; empty where it is about none.
    pub subject: Vec<u8>,
    /// The call; empty where it is about none.
    pub call: String,
    /// What else.
    pub detail: String,
}

impl Rights {
    /// Adds entries, all of them or none; they are on the disk when this returns.
    ///
    /// # Errors
    /// It could not be written.
    pub fn record(&mut self, doings: &[Doing], now_ms: i64) -> Result<(), SpoolError> {
        const TASK: &str = "writing the audit chain";
        if doings.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(SpoolError::of(TASK))?;
        for doing in doings {
            append(&transaction, doing, now_ms).map_err(SpoolError::of(TASK))?;
        }
        transaction.commit().map_err(SpoolError::of(TASK))
    }

    /// Where the chain stands.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn anchor(&self) -> Result<Anchor, SpoolError> {
        last(&self.connection).map_err(SpoolError::of("reading the audit chain"))
    }

    /// Reads the chain from its root to its end, and holds it against what was kept elsewhere: an entry's number, and its hash or the
    /// beginning of it. Returns how many entries there are, and where the chain stands.
    ///
    /// # Errors
    /// It cannot be read. Inside: the first fault of the chain.
    pub fn verify(&self, kept: Option<(u64, &[u8])>) -> Result<Result<(u64, Anchor), Fault>, SpoolError> {
        const TASK: &str = "reading the audit chain";
        let failed = SpoolError::of(TASK);
        let root: Anchor = self.connection.query_row("SELECT seq, hash FROM root", [], anchor_of).map_err(&failed)?;
        let mut statement = self.connection.prepare("SELECT seq, at_ms, act, subject, call, detail, hash FROM entry ORDER BY seq").map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        let (mut before, mut entries) = (root, 0);
        let mut met = kept.is_none_or(|(seq, hash)| seq == root.seq && root.hash.starts_with(hash));
        while let Some(row) = rows.next().map_err(&failed)? {
            let record = record_of(row).map_err(&failed)?;
            let stored: [u8; 32] = row.get(6).map_err(&failed)?;
            if record.seq != before.seq + 1 {
                return Ok(Err(Fault::Missing(record.seq)));
            }
            if hash(&before.hash, &record) != stored {
                return Ok(Err(Fault::Changed(record.seq)));
            }
            before = Anchor { seq: record.seq, hash: stored };
            entries += 1;
            if let Some((_, hash)) = kept.filter(|(seq, _)| *seq == before.seq) {
                if !before.hash.starts_with(hash) {
                    return Ok(Err(Fault::Another(before.seq)));
                }
                met = true;
            }
        }
        Ok(match kept {
            Some((seq, _)) if seq > before.seq => Err(Fault::CutOff { last: before.seq, anchor: seq }),
            // Retention has taken the entry that the anchor is of: nothing can be said of it any more.
            Some((seq, _)) if !met && seq >= root.seq => Err(Fault::Another(seq)),
            _ => Ok((entries, before)),
        })
    }

    /// The newest entries, the oldest of them first.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn records(&self, most: u32) -> Result<Vec<Record>, SpoolError> {
        self.connection
            .prepare("SELECT * FROM (SELECT seq, at_ms, act, subject, call, detail FROM entry ORDER BY seq DESC LIMIT ?1) ORDER BY seq")
            .and_then(|mut statement| statement.query_map([most], record_of)?.collect())
            .map_err(SpoolError::of("reading the audit chain"))
    }

    /// Takes entries from the front that were made before `before_ms`, with a receipt at the end. Returns how many.
    ///
    /// # Errors
    /// It could not be written; nothing changed then.
    pub fn expire_entries(&mut self, before_ms: i64, now_ms: i64) -> Result<u64, SpoolError> {
        const TASK: &str = "deleting old entries of the audit chain";
        let failed = SpoolError::of(TASK);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        // From the front alone: up to the last one before which all are old.
        let until: Option<Anchor> = transaction
            .query_row(
                "SELECT seq, hash FROM entry WHERE at_ms < ?1 AND seq < coalesce((SELECT min(seq) FROM entry WHERE at_ms >= ?1), 0x7fffffffffffffff) ORDER BY seq DESC LIMIT 1",
                [before_ms],
                anchor_of,
            )
            .optional()
            .map_err(&failed)?;
        let Some(until) = until else { return Ok(0) };
        transaction.execute("UPDATE root SET seq = ?1, hash = ?2", params![until.seq, until.hash]).map_err(&failed)?;
        let entries = transaction.execute("DELETE FROM entry WHERE seq <= ?1", [until.seq]).map_err(&failed)? as u64;
        append(&transaction, &Doing::of(Act::Expired { entries }), now_ms).map_err(&failed)?;
        transaction.commit().map_err(failed)?;
        Ok(entries)
    }
}

/// Adds one entry within a transaction of the caller's.
pub(crate) fn append(transaction: &Transaction<'_>, doing: &Doing, now_ms: i64) -> rusqlite::Result<()> {
    let before = last(transaction)?;
    let record = Record {
        seq: before.seq + 1,
        at_ms: now_ms,
        act: doing.act.name().to_owned(),
        subject: doing.subject.map_or_else(Vec::new, |subject| subject.to_vec()),
        call: doing.call.map_or_else(String::new, |call| call.to_string()),
        detail: doing.act.to_string(),
    };
    transaction
        .prepare_cached("INSERT INTO entry (seq, at_ms, act, subject, call, detail, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![record.seq, record.at_ms, record.act, record.subject, record.call, record.detail, hash(&before.hash, &record)])
        .map(drop)
}

fn last(connection: &rusqlite::Connection) -> rusqlite::Result<Anchor> {
    connection
        .prepare_cached("SELECT seq, hash FROM entry UNION ALL SELECT seq, hash FROM root ORDER BY seq DESC LIMIT 1")?
        .query_row([], anchor_of)
}

fn anchor_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Anchor> {
    Ok(Anchor { seq: row.get(0)?, hash: row.get(1)? })
}

fn record_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record { seq: row.get(0)?, at_ms: row.get(1)?, act: row.get(2)?, subject: row.get(3)?, call: row.get(4)?, detail: row.get(5)? })
}

fn hash(before: &[u8; 32], record: &Record) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(before);
    digest.update(record.seq.to_le_bytes());
    digest.update(record.at_ms.to_le_bytes());
    for part in [record.act.as_bytes(), &record.subject, record.call.as_bytes(), record.detail.as_bytes()] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests;
