-- What operators let components use, every change of it. A component may be granted something before it is published.

CREATE TABLE grants (
    component TEXT NOT NULL,
    revision  INTEGER NOT NULL,
    grants    TEXT NOT NULL,
    actor     TEXT NOT NULL,
    reason    TEXT,
    at        INTEGER NOT NULL,
    PRIMARY KEY (component, revision)
) WITHOUT ROWID;
