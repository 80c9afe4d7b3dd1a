-- What a collector keeps: every score once, until it must be deleted, and which of each box's scores it has.
-- Times are milliseconds since 1970-01-01T00:00:00Z.

-- "sotc"
PRAGMA application_id = 0x736f7463;
PRAGMA user_version = 1;

-- Each score as it came. What a report asks for most stands in columns; `message` has all of it (json_extract).
CREATE TABLE score (
    site       TEXT NOT NULL,
    node       TEXT NOT NULL,
    -- Equal ids of one box are the same score sent again: the first one stays.
    call       TEXT NOT NULL,
    team       TEXT,
    outcome    TEXT NOT NULL,
    ts_ms      INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    message    TEXT NOT NULL CHECK (length(message) <= 16384),
    PRIMARY KEY (site, node, call)
) STRICT, WITHOUT ROWID;

CREATE INDEX score_expires ON score (expires_ms);
CREATE INDEX score_time ON score (ts_ms);

-- Calls whose score must not be here, whenever it comes: it was contested, erased or objected to, which of them is not said.
CREATE TABLE withdrawn (
    site TEXT NOT NULL,
    node TEXT NOT NULL,
    call TEXT NOT NULL,
    PRIMARY KEY (site, node, call)
) STRICT, WITHOUT ROWID;

-- What a box marked: what its disk lost, for one.
CREATE TABLE event (
    site    TEXT NOT NULL,
    node    TEXT NOT NULL,
    message TEXT NOT NULL CHECK (length(message) <= 16384),
    PRIMARY KEY (site, node, message)
) STRICT, WITHOUT ROWID;

-- The ledger of each box by the hour: the last `coverage` that was said of it.
CREATE TABLE hour (
    site    TEXT NOT NULL,
    node    TEXT NOT NULL,
    hour_ms INTEGER NOT NULL,
    ts_ms   INTEGER NOT NULL,
    message TEXT NOT NULL CHECK (length(message) <= 16384),
    PRIMARY KEY (site, node, hour_ms)
) STRICT, WITHOUT ROWID;

-- What each box says of its state, for 35 days.
CREATE TABLE health (
    site    TEXT NOT NULL,
    node    TEXT NOT NULL,
    ts_ms   INTEGER NOT NULL,
    message TEXT NOT NULL CHECK (length(message) <= 16384),
    PRIMARY KEY (site, node, ts_ms)
) STRICT, WITHOUT ROWID;

-- Which places of each box's queue were received, as ranges that do not touch.
CREATE TABLE received (
    site   TEXT NOT NULL,
    node   TEXT NOT NULL,
    outbox TEXT NOT NULL,
    first  INTEGER NOT NULL CHECK (first > 0),
    last   INTEGER NOT NULL CHECK (last >= first),
    PRIMARY KEY (site, node, outbox, first)
) STRICT, WITHOUT ROWID;
