-- How deployments share traffic, rollouts, and calls that only repeat another one. Times are microseconds since 1970 in UTC.

ALTER TABLE deployments ADD COLUMN stickiness TEXT NOT NULL DEFAULT 'tenant';
-- Which version has each of a hundred places: a hexadecimal digit that counts the versions of the traffic in order.
ALTER TABLE deployments ADD COLUMN places TEXT;
ALTER TABLE deployments ADD COLUMN shadow TEXT;
-- The rollout that the revision is a step of.
ALTER TABLE deployments ADD COLUMN rollout INTEGER;
ALTER TABLE deployments ADD COLUMN evidence TEXT;

-- A rollout is named by the revision of its first step; base is the revision before it.
CREATE TABLE rollouts (
    component       TEXT NOT NULL,
    id              INTEGER NOT NULL,
    base            INTEGER NOT NULL,
    old             TEXT NOT NULL,
    "plan"          TEXT NOT NULL,
    step            INTEGER NOT NULL,
    step_started_at INTEGER NOT NULL,
    state           TEXT NOT NULL,
    started_at      INTEGER NOT NULL,
    ended_at        INTEGER,
    actor           TEXT NOT NULL,
    reason          TEXT,
    note            TEXT,
    evidence        TEXT,
    PRIMARY KEY (component, id)
);

CREATE UNIQUE INDEX rollouts_running ON rollouts (component) WHERE state = 'running';

-- Entries of calls that repeat another one. They are in no aggregate.
CREATE TABLE shadows (
    call      BLOB NOT NULL PRIMARY KEY,
    of_call   BLOB NOT NULL,
    component TEXT NOT NULL,
    revision  INTEGER NOT NULL,
    matches   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX shadows_of_deployment ON shadows (component, revision, matches);
