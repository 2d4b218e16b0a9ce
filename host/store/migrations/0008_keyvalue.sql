-- Pairs that components keep. A bucket's counters are always those of its pairs: one transaction changes both.

CREATE TABLE buckets (
    id        INTEGER PRIMARY KEY,
    -- Whose it is; empty: all tenants', all components'.
    tenant    TEXT NOT NULL,
    component TEXT NOT NULL,
    bucket    TEXT NOT NULL,
    -- Bytes of all keys and values, and how many keys there are.
    bytes     INTEGER NOT NULL DEFAULT 0,
    keys      INTEGER NOT NULL DEFAULT 0,
    -- The place of the newest key.
    places    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant, component, bucket)
);

CREATE TABLE pairs (
    id     INTEGER PRIMARY KEY,
    bucket INTEGER NOT NULL REFERENCES buckets (id) ON DELETE CASCADE,
    -- Counts the keys of a bucket as they came: where a listing goes on.
    place  INTEGER NOT NULL,
    key    BLOB NOT NULL,
    value  BLOB NOT NULL,
    UNIQUE (bucket, key),
    UNIQUE (bucket, place)
);
