-- The spool: what this box owes its dashboards, and the ledger that shows nothing went missing.
--
-- Two processes share it, each with one write connection: the tap writes calls and scores, the uplink sends and deletes. Nothing
-- here names a person, a number or a word: ids, enums and bounded numbers, and names of teams and lines as the site chose them.
-- Times are milliseconds since 1970-01-01T00:00:00Z. This file is version 1; a later version comes with its own upgrade file.

-- "sott": a file that does not carry it is not ours, and is left alone.
PRAGMA application_id = 0x736f7474;
PRAGMA user_version = 1;

-- One row: the spool's own identity and counters, which never go back.
CREATE TABLE spool (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    -- Drawn when the file was made. Call ids begin with it, so that a new file on the same box never repeats an id.
    epoch           INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 0xffffffff),
    -- Connections that the uplink made to its broker: the same number in the will, in birth and in status.
    connections     INTEGER NOT NULL DEFAULT 0,
    -- Rows deleted because the broker acknowledged them with success.
    acked           INTEGER NOT NULL DEFAULT 0,
    -- Acknowledgements that said that nobody subscribes; their rows stay.
    no_subscriber   INTEGER NOT NULL DEFAULT 0,
    -- Rows deleted because their time of keeping ended before they could be delivered: retention wins over delivery, and says so.
    expired_unacked INTEGER NOT NULL DEFAULT 0
) STRICT;

-- One row for each call that was seen, from its first packet on. The ledger's law holds by construction: a call is in exactly one
-- row here, with exactly one outcome, or it is counted in `folded`, into which it moves within one transaction.
CREATE TABLE call (
    -- AUTOINCREMENT: a number is never given twice, not even after its row was folded; and a rollback takes none, so no gaps.
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    started_ms INTEGER NOT NULL CHECK (started_ms >= 0),
    outcome    TEXT NOT NULL DEFAULT 'open' CHECK (outcome IN
        ('scored', 'signalling_only', 'unanswered', 'not_sampled', 'excluded', 'interrupted', 'shed', 'refused', 'open')),
    -- Why a call has signalling metrics alone; empty otherwise.
    reason     TEXT NOT NULL DEFAULT ''
) STRICT;

-- For the few that are open, at a start after a crash.
CREATE INDEX call_open ON call (seq) WHERE outcome = 'open';

-- What became of a call is said once.
CREATE TRIGGER call_closes_once BEFORE UPDATE ON call WHEN old.outcome <> 'open'
BEGIN
    SELECT raise(ABORT, 'a closed call does not change');
END;

-- Nor is an open call forgotten.
CREATE TRIGGER call_open_stays BEFORE DELETE ON call WHEN old.outcome = 'open'
BEGIN
    SELECT raise(ABORT, 'an open call is not folded');
END;

-- Calls of the past, counted by the hour in which they began. Hour 0 holds all that are too old to be told apart.
CREATE TABLE folded (
    hour_ms INTEGER NOT NULL CHECK (hour_ms % 3600000 = 0),
    outcome TEXT NOT NULL CHECK (outcome <> 'open'),
    reason  TEXT NOT NULL,
    calls   INTEGER NOT NULL CHECK (calls > 0),
    PRIMARY KEY (hour_ms, outcome, reason)
) STRICT, WITHOUT ROWID;

-- The ledger: every call that was ever seen, exactly once.
CREATE VIEW ledger (hour_ms, outcome, reason, calls) AS
    SELECT started_ms - started_ms % 3600000, outcome, reason, 1 FROM call
    UNION ALL
    SELECT hour_ms, outcome, reason, calls FROM folded;

-- Scores that wait for their PUBACK. This is the only queue: what the MQTT client holds is a copy, and may be lost at any time.
CREATE TABLE outbox (
    -- AUTOINCREMENT: the order in which they are sent, and no number is ever given to another score.
    row        INTEGER PRIMARY KEY AUTOINCREMENT,
    -- A call is not folded while its score waits.
    call       INTEGER NOT NULL UNIQUE REFERENCES call (seq) ON DELETE RESTRICT,
    -- The names behind the ids within the score.
    names      INTEGER NOT NULL,
    queued_ms  INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    -- The score as flat JSON with ids in the place of names.
    score      TEXT NOT NULL CHECK (length(score) <= 8192),
    -- The first 64 bits of SHA-256 over all of the above: a bit that fell over on the disk is not published.
    digest     INTEGER NOT NULL,
    -- 'waiting'; or why it is kept back: the broker will never take it, or it did not hold when read again.
    state      TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'too_large', 'payload_format', 'invalid'))
) STRICT;

CREATE INDEX outbox_expires ON outbox (expires_ms);

-- The names of teams and lines (JSON arrays of texts, by ordinal) behind the ids in the rows, by their fingerprint: a row that
-- waited while the site's names changed is rendered with those of its own time.
CREATE TABLE names (
    fingerprint INTEGER PRIMARY KEY,
    teams       TEXT NOT NULL,
    lines       TEXT NOT NULL
) STRICT;

-- One row: what the tap last said of itself (flat JSON of numbers).
CREATE TABLE gauges (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    written_ms INTEGER NOT NULL,
    gauges     TEXT NOT NULL CHECK (length(gauges) <= 4096)
) STRICT;
