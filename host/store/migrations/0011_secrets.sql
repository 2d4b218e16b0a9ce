-- Secrets of components, sealed with a key that is not here, and values set over those of manifests.

-- `tenant` is empty for a value that stands for all tenants. `key` names the key that a value is sealed with.
CREATE TABLE secrets (
    component TEXT NOT NULL,
    name      TEXT NOT NULL,
    tenant    TEXT NOT NULL,
    revision  INTEGER NOT NULL,
    key       TEXT NOT NULL,
    nonce     BLOB NOT NULL,
    sealed    BLOB NOT NULL,
    actor     TEXT NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (component, name, tenant)
) WITHOUT ROWID;

-- `scope` is what a value stands for: component, version or tenant; `part` is which version or tenant.
CREATE TABLE config (
    component TEXT NOT NULL,
    scope     TEXT NOT NULL,
    part      TEXT NOT NULL,
    key       TEXT NOT NULL,
    value     TEXT NOT NULL,
    actor     TEXT NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (component, scope, part, key)
) WITHOUT ROWID;
