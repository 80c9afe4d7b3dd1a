-- The spool: what this box owes its dashboards, and the ledger that shows nothing went missing.
--
-- Two processes share it, each with one write connection: the tap writes calls and scores, the uplink sends and deletes. Nothing
-- here names a person, a number or a word: ids, enums and bounded numbers, and names of teams and lines as the site chose them.
-- Times are milliseconds since 1970-01-01T00:00:00Z.
--
-- This file is the present version. A file of an older one is brought here step by step: `upgrade/N.sql` leads from N - 1 to N, and
-- `upgrade/1.sql` is the first version as it was, so that the tests can begin there. What changes here gets such a file.

-- "sott": a file that does not carry it is not ours, and is left alone.
PRAGMA application_id = 0x736f7474;
PRAGMA user_version = 2;

-- One row: counters, which never go back.
CREATE TABLE spool (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    -- Connections that the uplink made to its broker: the same number in the will, in birth and in status.
    connections     INTEGER NOT NULL DEFAULT 0,
    -- Rows deleted because their acknowledgement came: the broker's, or the collector's where the site has one.
    acked           INTEGER NOT NULL DEFAULT 0,
    -- Acknowledgements that said that nobody subscribes; their rows stay.
    no_subscriber   INTEGER NOT NULL DEFAULT 0,
    -- Rows deleted because their time of keeping ended before they could be delivered: retention wins over delivery, and says so.
    expired_unacked INTEGER NOT NULL DEFAULT 0,
    -- Rows deleted because somebody had their score withdrawn before it was delivered.
    withdrawn       INTEGER NOT NULL DEFAULT 0,
    -- How often another client took over our session at the broker: a second box of the same name, or a copy of this one.
    taken_over      INTEGER NOT NULL DEFAULT 0,
    -- The latest time that was believed. A box without a clock of its own wakes in 1970, and dates what it hears from here on.
    time_floor_ms   INTEGER NOT NULL DEFAULT 0,
    -- How often the wall clock was found to have jumped while the box ran.
    clock_jumps     INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Who counts the calls. A call's id is (epoch, seq): its epoch is the one with the greatest first_seq that is not above its seq. An
-- epoch is drawn at random, and belongs to one machine: a copy of the disk in another box goes on with an epoch of its own, so that
-- the two never give one id to two calls.
CREATE TABLE epoch (
    first_seq INTEGER PRIMARY KEY CHECK (first_seq > 0),
    epoch     INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 0xffffffff),
    -- Fingerprint of the machine; 0 until one has claimed it.
    machine   INTEGER NOT NULL DEFAULT 0
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

-- Calls of the past, counted by the hour in which they began. Hour 0 holds all that are too old to be told apart. Calls for which
-- not even a row was left on a full disk are counted here at once, as refused; they took their number all the same, so that the highest
-- number ever given is the number of calls seen.
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

-- Scores that wait for their acknowledgement. This is the only queue: what the MQTT client holds is a copy, and may be lost at any time.
CREATE TABLE outbox (
    -- AUTOINCREMENT: the order in which they came, and no number is ever given to another score.
    row        INTEGER PRIMARY KEY AUTOINCREMENT,
    -- A call is not folded while its score waits.
    call       INTEGER NOT NULL UNIQUE REFERENCES call (seq) ON DELETE RESTRICT,
    -- The names behind the ids within the score.
    names      INTEGER NOT NULL,
    queued_ms  INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    -- The score as flat JSON with ids in the place of names.
    score      TEXT NOT NULL CHECK (length(score) <= 8192),
    -- The first 64 bits of SHA-256 over all of the above: a bit that fell over on the disk is not published, but told as `lost`.
    digest     INTEGER NOT NULL,
    -- 'waiting'; or why it is kept back: the broker will never take it, or this program cannot read it.
    state      TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'too_large', 'payload_format', 'invalid'))
) STRICT;

CREATE INDEX outbox_expires ON outbox (expires_ms);

-- What waits is counted twice a minute; without this, a week's rows would all be read for it.
CREATE INDEX outbox_state ON outbox (state, queued_ms);

-- What the disk lost. Each row is published as `lost`, until it was acknowledged: a loss is never silent. That there was one is found
-- by counting: highest call number = calls of the ledger + lost calls; highest row number = rows + acked + expired_unacked + withdrawn +
-- lost scores.
CREATE TABLE lost (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The calls lie within these, both included.
    epoch    INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 0xffffffff),
    from_seq INTEGER NOT NULL CHECK (from_seq > 0),
    to_seq   INTEGER NOT NULL CHECK (to_seq >= from_seq),
    -- Calls of which not even the outcome is known any more, at most: they are in no count of the ledger.
    calls    INTEGER NOT NULL CHECK (calls >= 0),
    -- Scores that were not delivered and never will be, at most.
    scores   INTEGER NOT NULL CHECK (scores >= 0),
    is_said  INTEGER NOT NULL DEFAULT 0 CHECK (is_said IN (0, 1))
) STRICT;

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

-- Zeros: pages that the file has though nothing needs them yet, to be given up when the disk is full.
CREATE TABLE room (
    filler BLOB NOT NULL
) STRICT;
