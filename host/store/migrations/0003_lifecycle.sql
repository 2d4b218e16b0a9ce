-- What becomes of a version after it was published: deprecated, yanked, stopped; and who did what to it, when and why.

ALTER TABLE versions ADD COLUMN stopped_at INTEGER;
ALTER TABLE versions ADD COLUMN deprecated_at INTEGER;
ALTER TABLE versions ADD COLUMN sunset_at INTEGER;
ALTER TABLE versions ADD COLUMN deprecation_reason TEXT;

CREATE TABLE version_events (
    id        INTEGER PRIMARY KEY,
    component TEXT NOT NULL,
    version   TEXT NOT NULL,
    event     TEXT NOT NULL,
    at        INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    reason    TEXT,
    FOREIGN KEY (component, version) REFERENCES versions (component, version)
);

CREATE INDEX version_events_by_version ON version_events (component, version, id);
