-- The shelf: versions and deployments, tenants and keys. Times are microseconds since 1970 in UTC.

CREATE TABLE versions (
    component    TEXT NOT NULL,
    version      TEXT NOT NULL,
    digest       TEXT NOT NULL,
    size_bytes   INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    publisher    TEXT NOT NULL,
    deployed_at  INTEGER,
    yanked_at    INTEGER,
    summary      TEXT NOT NULL,
    detail       TEXT NOT NULL,
    PRIMARY KEY (component, version)
);

CREATE TABLE deployments (
    component TEXT NOT NULL,
    revision  INTEGER NOT NULL,
    traffic   TEXT NOT NULL,
    at        INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    reason    TEXT,
    PRIMARY KEY (component, revision)
);

CREATE TABLE tenants (
    id         TEXT NOT NULL PRIMARY KEY,
    parent     TEXT REFERENCES tenants (id),
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE keys (
    id          TEXT NOT NULL PRIMARY KEY,
    tenant      TEXT REFERENCES tenants (id),
    application TEXT,
    hash        BLOB NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL,
    revoked_at  INTEGER
);
