-- Lists: the few calls that went wrong are found without reading the many that did not.

CREATE INDEX entries_failed ON entries (outcome, call) WHERE outcome <> 'ok';
