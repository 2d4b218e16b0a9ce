-- What operators see and undo: calls that went wrong, versions that a way back avoids, what a stop took, and keys.

-- The few calls that went wrong are found without reading the many that did not.
CREATE INDEX entries_failed ON entries (outcome, call) WHERE outcome <> 'ok';

-- Versions that a revision took traffic from because they were not wanted, as a JSON array.
ALTER TABLE deployments ADD COLUMN rejects TEXT;
UPDATE deployments SET rejects = (
    SELECT json_array(json_extract(rollouts."plan", '$.version')) FROM rollouts
    WHERE rollouts.component = deployments.component AND rollouts.id = deployments.rollout
        AND rollouts.state IN ('aborted', 'rolled-back')
        AND deployments.revision = (SELECT MAX(revision) FROM deployments AS last
            WHERE last.component = deployments.component AND last.rollout = deployments.rollout)
) WHERE rollout IS NOT NULL;
UPDATE deployments SET rejects = (
    SELECT json_group_array(gone.key) FROM deployments AS before, json_each(before.traffic) AS gone
    WHERE before.component = deployments.component AND before.revision = deployments.revision - 1
        AND gone.key NOT IN (SELECT key FROM json_each(deployments.traffic))
) WHERE reason LIKE 'rollback to revision %';

-- The revision of the deployment that was made with an event.
ALTER TABLE version_events ADD COLUMN revision INTEGER;

-- What a key is for, until when it is valid, and when it was used last, to the minute.
ALTER TABLE keys ADD COLUMN label TEXT;
ALTER TABLE keys ADD COLUMN expires_at INTEGER;
ALTER TABLE keys ADD COLUMN used_at INTEGER;
