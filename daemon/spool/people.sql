-- The tap's own file: what is known of agents, by marks alone. The uplink cannot read it.
--
-- A mark is a keyed hash of an agent's identity; the key lies here and nowhere else. Outside, an agent is a random reference: once the
-- row is gone, nobody can tell whose it was. Times are milliseconds since 1970-01-01T00:00:00Z.

-- "sotp".
PRAGMA application_id = 0x736f7470;
PRAGMA user_version = 1;

-- One row: the key of the marks, drawn when the file was made.
CREATE TABLE key (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    key BLOB NOT NULL CHECK (length(key) = 32)
) STRICT;

CREATE TABLE agent (
    mark            BLOB PRIMARY KEY CHECK (length(mark) = 16),
    -- How the audit chain refers to the agent: random.
    subject         BLOB NOT NULL UNIQUE CHECK (length(subject) = 16),
    made_ms         INTEGER NOT NULL,
    -- The charter that the agent acknowledged last, first 64 bits of its digest; 0 for none.
    acknowledged    INTEGER NOT NULL DEFAULT 0,
    acknowledged_ms INTEGER NOT NULL DEFAULT 0,
    has_objected    INTEGER NOT NULL DEFAULT 0 CHECK (has_objected IN (0, 1)),
    is_paused       INTEGER NOT NULL DEFAULT 0 CHECK (is_paused IN (0, 1))
) STRICT, WITHOUT ROWID;

-- Which measured calls were whose, as long as their scores live: for export and erasure.
CREATE TABLE measured (
    call       TEXT PRIMARY KEY CHECK (length(call) <= 32),
    mark       BLOB NOT NULL CHECK (length(mark) = 16),
    ended_ms   INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX measured_mark ON measured (mark);
CREATE INDEX measured_expires ON measured (expires_ms);
