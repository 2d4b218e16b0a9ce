-- What is asked of a namespace, who vouches for its versions, and what reviewers said of them.

-- The times are those from which on it is asked; versions published before are not affected.
CREATE TABLE namespaces (
    name            TEXT NOT NULL PRIMARY KEY,
    review_since    INTEGER,
    signature_since INTEGER,
    changed_at      INTEGER NOT NULL,
    changed_by      TEXT NOT NULL
);

CREATE TABLE signers (
    namespace  TEXT NOT NULL,
    key        TEXT NOT NULL,
    added_at   INTEGER NOT NULL,
    added_by   TEXT NOT NULL,
    revoked_at INTEGER,
    revoked_by TEXT,
    reason     TEXT,
    PRIMARY KEY (namespace, key)
);

CREATE TABLE signatures (
    component TEXT NOT NULL,
    version   TEXT NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (component, version),
    FOREIGN KEY (component, version) REFERENCES versions (component, version)
);

CREATE TABLE submissions (
    id           TEXT NOT NULL PRIMARY KEY,
    component    TEXT NOT NULL,
    version      TEXT NOT NULL,
    kind         TEXT NOT NULL,
    method       TEXT NOT NULL,
    basis        TEXT NOT NULL,
    submitter    TEXT NOT NULL,
    submitted_at INTEGER NOT NULL,
    examples     TEXT NOT NULL,
    verdict      TEXT,
    decided_at   INTEGER,
    decided_by   TEXT,
    reason       TEXT,
    UNIQUE (component, version),
    FOREIGN KEY (component, version) REFERENCES versions (component, version)
);

ALTER TABLE keys ADD COLUMN role TEXT;
ALTER TABLE keys ADD COLUMN namespace TEXT;
UPDATE keys SET role = CASE WHEN tenant IS NULL THEN 'admin' ELSE 'tenant' END;
