-- The ledger. What calls have in common is named once as a subject; entries and aggregates refer to it.

CREATE TABLE subjects (
    id          INTEGER PRIMARY KEY,
    tenant      TEXT NOT NULL,
    application TEXT NOT NULL,
    component   TEXT NOT NULL,
    version     TEXT NOT NULL,
    interface   TEXT NOT NULL,
    function    TEXT NOT NULL,
    UNIQUE (tenant, application, component, version, interface, function)
);

CREATE TABLE entries (
    call              BLOB NOT NULL PRIMARY KEY,
    subject           INTEGER NOT NULL REFERENCES subjects (id),
    outcome           TEXT NOT NULL,
    started           INTEGER NOT NULL,
    cpu_us            INTEGER NOT NULL,
    wall_us           INTEGER NOT NULL,
    memory_peak_bytes INTEGER NOT NULL,
    bytes_in          INTEGER NOT NULL,
    bytes_out         INTEGER NOT NULL,
    parent            BLOB,
    detail            TEXT
) WITHOUT ROWID;

CREATE TABLE logs (
    call BLOB NOT NULL PRIMARY KEY,
    text TEXT NOT NULL
) WITHOUT ROWID;

-- unit_us is the bucket's length (minute, hour or day), bucket its start, both in microseconds.
CREATE TABLE aggregates (
    unit_us           INTEGER NOT NULL,
    bucket            INTEGER NOT NULL,
    subject           INTEGER NOT NULL REFERENCES subjects (id),
    outcome           TEXT NOT NULL,
    calls             INTEGER NOT NULL,
    cpu_us            INTEGER NOT NULL,
    wall_us           INTEGER NOT NULL,
    bytes_in          INTEGER NOT NULL,
    bytes_out         INTEGER NOT NULL,
    memory_peak_bytes INTEGER NOT NULL,
    PRIMARY KEY (unit_us, bucket, subject, outcome)
) WITHOUT ROWID;
