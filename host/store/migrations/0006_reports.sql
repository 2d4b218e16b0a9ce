-- What other shelves say that their copies of components were used: who may say so, and what was said.

CREATE TABLE reporters (
    tenant TEXT NOT NULL PRIMARY KEY REFERENCES tenants (id),
    key    TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    set_by TEXT NOT NULL
);

CREATE TABLE reported (
    tenant    TEXT NOT NULL REFERENCES reporters (tenant),
    component TEXT NOT NULL,
    version   TEXT NOT NULL,
    day       INTEGER NOT NULL,
    outcome   TEXT NOT NULL,
    calls     INTEGER NOT NULL,
    cpu_us    INTEGER NOT NULL,
    wall_us   INTEGER NOT NULL,
    bytes_in  INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    PRIMARY KEY (component, version, tenant, day, outcome),
    FOREIGN KEY (component, version) REFERENCES versions (component, version)
) WITHOUT ROWID;

-- Where the components of a namespace may be pulled from: a place in an OCI registry.
ALTER TABLE namespaces ADD COLUMN source TEXT;
