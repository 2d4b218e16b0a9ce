-- What a host keeps for its own upkeep, and how many bytes the logs of calls have.

CREATE TABLE upkeep (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    -- Written to find out whether the database can be written.
    probed_at INTEGER NOT NULL,
    -- The time by which ages are judged; it follows the clock, but not at once when that jumps.
    judged_at INTEGER
);
INSERT INTO upkeep (id, probed_at, judged_at)
    VALUES (1, 0, (SELECT started FROM entries ORDER BY call DESC LIMIT 1));

CREATE TABLE log_sizes (
    tenant TEXT NOT NULL,
    call   BLOB NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (tenant, call)
) WITHOUT ROWID;
INSERT INTO log_sizes (tenant, call, bytes)
    SELECT subjects.tenant, logs.call, octet_length(logs.text)
    FROM logs JOIN entries ON entries.call = logs.call JOIN subjects ON subjects.id = entries.subject;

-- Sums of log_sizes by tenant; the tenant '' has the sum of all.
CREATE TABLE log_sums (
    tenant TEXT NOT NULL PRIMARY KEY,
    bytes  INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO log_sums (tenant, bytes) SELECT tenant, SUM(bytes) FROM log_sizes GROUP BY tenant;
INSERT INTO log_sums (tenant, bytes) SELECT '', COALESCE(SUM(bytes), 0) FROM log_sizes;
