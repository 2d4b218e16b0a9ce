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

-- Where applications are told of the ends of their jobs, and what they are still to be told.
CREATE TABLE webhooks (
    tenant      TEXT NOT NULL REFERENCES tenants (id),
    application TEXT NOT NULL,
    target      TEXT NOT NULL,
    set_at      INTEGER NOT NULL,
    actor       TEXT NOT NULL,
    PRIMARY KEY (tenant, application)
) WITHOUT ROWID;

CREATE TABLE webhook_deliveries (
    id          BLOB NOT NULL PRIMARY KEY,
    tenant      TEXT NOT NULL,
    application TEXT NOT NULL,
    job         BLOB NOT NULL,
    state       TEXT NOT NULL,
    ended_at    INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    next_at     INTEGER NOT NULL,
    -- Why it was not told last.
    problem     TEXT
);
CREATE INDEX webhook_deliveries_next ON webhook_deliveries (next_at);
CREATE INDEX webhook_deliveries_of ON webhook_deliveries (tenant, application, next_at);
