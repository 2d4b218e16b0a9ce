-- Which part of a log's text came when, from where, and how important: JSON. Logs that were written before have none.

ALTER TABLE logs ADD COLUMN marks TEXT;
