-- Calls that are made later: jobs, the attempts at them, and schedules that are enabled. Times are microseconds since 1970 in UTC.

CREATE TABLE jobs (
    id               BLOB NOT NULL PRIMARY KEY,
    tenant           TEXT NOT NULL REFERENCES tenants (id),
    application      TEXT NOT NULL,
    -- What is called, as it was named.
    call             TEXT NOT NULL,
    -- The digest of call and arguments.
    fingerprint      TEXT NOT NULL,
    retry            TEXT NOT NULL,
    state            TEXT NOT NULL,
    -- Attempts that ended, attempts that were running when the host ended, and refusals since the last attempt.
    attempts         INTEGER NOT NULL,
    interruptions    INTEGER NOT NULL,
    refusals         INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    next_at          INTEGER NOT NULL,
    deadline_at      INTEGER NOT NULL,
    finished_at      INTEGER,
    cancel_requested INTEGER NOT NULL,
    idempotency_key  TEXT,
    -- The schedule's component and name, and when the call was due.
    component        TEXT,
    schedule         TEXT,
    due_at           INTEGER,
    arguments_bytes  INTEGER NOT NULL,
    result_bytes     INTEGER,
    problem          TEXT,
    -- Of the arguments, the result if it is kept, and the problem.
    kept_bytes       INTEGER NOT NULL
);

CREATE UNIQUE INDEX jobs_key ON jobs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX jobs_due ON jobs (tenant, component, schedule, due_at) WHERE schedule IS NOT NULL;
CREATE INDEX jobs_of_tenant ON jobs (tenant, id);
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_queue ON jobs (tenant, next_at, id) WHERE state = 'queued';
CREATE INDEX jobs_next ON jobs (next_at) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (tenant) WHERE state = 'running';
CREATE INDEX jobs_finished ON jobs (tenant, finished_at, id) WHERE finished_at IS NOT NULL;

-- Apart, so that lists do not read them.
CREATE TABLE job_payloads (
    job       BLOB NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    arguments BLOB NOT NULL,
    result    BLOB
);

CREATE TABLE job_attempts (
    job        BLOB NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    call       BLOB NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    outcome    TEXT,
    PRIMARY KEY (job, number)
) WITHOUT ROWID;

-- Schedules that run for a tenant. Due times up to handled_until are dealt with; timing is what they were counted by.
CREATE TABLE schedules (
    tenant        TEXT NOT NULL REFERENCES tenants (id),
    component     TEXT NOT NULL,
    name          TEXT NOT NULL,
    enabled_at    INTEGER NOT NULL,
    enabled_by    TEXT NOT NULL,
    timing        TEXT NOT NULL,
    handled_until INTEGER NOT NULL,
    last_due_at   INTEGER,
    last_job      BLOB,
    PRIMARY KEY (tenant, component, name)
) WITHOUT ROWID;
