-- Which component provides an interface for a tenant and those below it, every change of it. The tenant is empty where the choice
-- is for all; the component is missing where a choice was taken back.

CREATE TABLE providers (
    interface TEXT NOT NULL,
    tenant    TEXT NOT NULL,
    revision  INTEGER NOT NULL,
    component TEXT,
    actor     TEXT NOT NULL,
    reason    TEXT,
    at        INTEGER NOT NULL,
    PRIMARY KEY (interface, tenant, revision)
) WITHOUT ROWID;
