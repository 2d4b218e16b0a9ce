-- Calls as their callers name them.

ALTER TABLE entries ADD COLUMN request_id TEXT;
