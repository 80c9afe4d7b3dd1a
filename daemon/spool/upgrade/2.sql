-- From version 1 to version 2: epochs belong to machines, what the disk lost is kept and told, the file has room of its own.

-- The epoch moves into a table of its own; the first machine that comes claims it.
CREATE TABLE epoch (
    first_seq INTEGER PRIMARY KEY CHECK (first_seq > 0),
    epoch     INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 0xffffffff),
    machine   INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO epoch (first_seq, epoch) SELECT 1, epoch FROM spool;

ALTER TABLE spool RENAME TO spool_1;
CREATE TABLE spool (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    connections     INTEGER NOT NULL DEFAULT 0,
    acked           INTEGER NOT NULL DEFAULT 0,
    no_subscriber   INTEGER NOT NULL DEFAULT 0,
    expired_unacked INTEGER NOT NULL DEFAULT 0,
    withdrawn       INTEGER NOT NULL DEFAULT 0,
    taken_over      INTEGER NOT NULL DEFAULT 0,
    time_floor_ms   INTEGER NOT NULL DEFAULT 0,
    clock_jumps     INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO spool (one, connections, acked, no_subscriber, expired_unacked)
    SELECT one, connections, acked, no_subscriber, expired_unacked FROM spool_1;
DROP TABLE spool_1;

CREATE INDEX outbox_state ON outbox (state, queued_ms);

CREATE TABLE lost (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch    INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 0xffffffff),
    from_seq INTEGER NOT NULL CHECK (from_seq > 0),
    to_seq   INTEGER NOT NULL CHECK (to_seq >= from_seq),
    calls    INTEGER NOT NULL CHECK (calls >= 0),
    scores   INTEGER NOT NULL CHECK (scores >= 0),
    is_said  INTEGER NOT NULL DEFAULT 0 CHECK (is_said IN (0, 1))
) STRICT;

CREATE TABLE room (
    filler BLOB NOT NULL
) STRICT;

PRAGMA user_version = 2;
