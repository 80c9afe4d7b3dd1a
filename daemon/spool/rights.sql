-- The rights file: what the box did, in a chain that shows every change; what people contested; what must be withdrawn downstream.
--
-- It lies beside the spool and is shared as the spool is. Nothing here names a person, a number or a word: calls are their ids, people
-- are random references whose mapping lies in the tap's own file, and goes with them. Times are milliseconds since 1970-01-01T00:00:00Z.

-- "sotr".
PRAGMA application_id = 0x736f7472;
PRAGMA user_version = 1;

-- What the box did. Each entry's hash covers the entry and the hash before it, so that none can be changed, taken out or moved without
-- its being seen; that the end was cut off is seen by the last hash, which `health` publishes.
CREATE TABLE entry (
    seq     INTEGER PRIMARY KEY CHECK (seq > 0),
    at_ms   INTEGER NOT NULL,
    -- Which act, by its name.
    act     TEXT NOT NULL CHECK (length(act) BETWEEN 1 AND 32),
    -- A random reference to an agent; empty where it is about none.
    subject BLOB NOT NULL CHECK (length(subject) IN (0, 16)),
    -- The call's id; empty where it is about none.
    call    TEXT NOT NULL CHECK (length(call) <= 32),
    -- Names of enums and numbers, never content.
    detail  TEXT NOT NULL CHECK (length(detail) <= 256),
    hash    BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER entry_stays BEFORE UPDATE ON entry
BEGIN
    SELECT raise(ABORT, 'what was done does not change');
END;

-- Retention takes from the front, and leaves the hash behind where the chain goes on.
CREATE TRIGGER entry_goes_from_the_front BEFORE DELETE ON entry WHEN old.seq > (SELECT seq FROM root)
BEGIN
    SELECT raise(ABORT, 'an entry goes when its time has come');
END;

-- One row: the last entry that retention took; the chain goes on from its hash.
CREATE TABLE root (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    seq  INTEGER NOT NULL CHECK (seq >= 0),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

INSERT INTO root VALUES (1, 0, zeroblob(32));

-- Scores that were contested: one contest for each.
CREATE TABLE contest (
    call       TEXT PRIMARY KEY,
    at_ms      INTEGER NOT NULL,
    -- The metric that is contested; empty for the whole score.
    metric     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    -- The models that the score was made with, where it is known.
    outcome    TEXT NOT NULL DEFAULT 'open' CHECK (outcome IN ('open', 'upheld', 'corrected', 'deleted')),
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX contest_expires ON contest (expires_ms);

-- Calls whose score must go everywhere: the queue of `call/withdrawn`, and what a restored backup must forget again.
CREATE TABLE withdrawal (
    row        INTEGER PRIMARY KEY AUTOINCREMENT,
    call       TEXT NOT NULL UNIQUE,
    queued_ms  INTEGER NOT NULL,
    -- As long as any copy of the score may live.
    expires_ms INTEGER NOT NULL,
    -- Whether the broker has acknowledged it.
    is_sent    INTEGER NOT NULL DEFAULT 0 CHECK (is_sent IN (0, 1))
) STRICT;

-- What was handed to the broker: messages and bytes by day (UTC) and kind of message. Nothing else leaves the box.
CREATE TABLE egress (
    day      TEXT NOT NULL CHECK (length(day) = 10),
    topic    TEXT NOT NULL CHECK (length(topic) BETWEEN 1 AND 64),
    messages INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (day, topic)
) STRICT, WITHOUT ROWID;
