-- Calls as their callers name them.

ALTER TABLE entries ADD COLUMN request_id TEXT;

-- Answers of calls that were made under keys of their callers, by which they are found again. Times are microseconds.
CREATE TABLE kept_answers (
    tenant      TEXT NOT NULL,
    application TEXT NOT NULL,
    key         TEXT NOT NULL,
    -- The digest of what was called and of its arguments.
    fingerprint TEXT NOT NULL,
    call        BLOB NOT NULL,
    kept_at     INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    component   TEXT NOT NULL,
    version     TEXT NOT NULL,
    problem     TEXT,
    json        BLOB NOT NULL,
    bytes       INTEGER NOT NULL,
    PRIMARY KEY (tenant, application, key)
);
CREATE INDEX kept_answers_of_tenant ON kept_answers (tenant, kept_at, bytes);
CREATE INDEX kept_answers_by_age ON kept_answers (kept_at, tenant, bytes);

CREATE TABLE kept_sums (
    tenant TEXT NOT NULL PRIMARY KEY,
    bytes  INTEGER NOT NULL
) WITHOUT ROWID;

-- A key is its application's own.
DROP INDEX jobs_key;
CREATE UNIQUE INDEX jobs_key ON jobs (tenant, application, idempotency_key) WHERE idempotency_key IS NOT NULL;
