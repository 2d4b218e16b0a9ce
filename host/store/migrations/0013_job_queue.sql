-- Jobs: lists read nothing large, and the queue and pruning read indexes only.

-- The component's own error as JSON, which belongs to the job's problem.
ALTER TABLE job_payloads ADD COLUMN error TEXT;
UPDATE job_payloads SET error = (SELECT problem -> '$.error' FROM jobs WHERE jobs.id = job_payloads.job)
    WHERE job IN (SELECT id FROM jobs
        WHERE CASE WHEN json_valid(problem) THEN json_type(problem, '$.error') <> 'null' END);
UPDATE jobs SET problem = json_remove(problem, '$.error')
    WHERE CASE WHEN json_valid(problem) THEN json_type(problem, '$.error') IS NOT NULL END;

-- The trace that the attempts continue, as W3C's header has it.
ALTER TABLE jobs ADD COLUMN traceparent TEXT;

-- Of one tenant by state, and how much of it waits.
CREATE INDEX jobs_of_state ON jobs (tenant, state, id, arguments_bytes);
DROP INDEX jobs_finished;
CREATE INDEX jobs_finished ON jobs (tenant, finished_at DESC, id DESC, state, kept_bytes) WHERE finished_at IS NOT NULL;
