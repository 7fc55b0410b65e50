-- name: approvals_page
-- Newest first, read off waits_newest: one status, from a place on.
SELECT 1 AS n, row_number() OVER (ORDER BY opened_at DESC, run_id DESC, step DESC) AS number, w.*
FROM waits w
WHERE tenant_id = $1 AND kind = 'APPROVAL' AND status = $4 AND (opened_at, run_id, step)
  < (coalesce($5::timestamptz, 'infinity'), $6::uuid, $7::text)
ORDER BY opened_at DESC, run_id DESC, step DESC
LIMIT $2 + 1

-- name: waits_page
-- A page of each wanted run's waits, from its own place on, all in one round trip.
SELECT wanted.n, w.*
FROM unnest($4::uuid[], $5::text[]) WITH ORDINALITY AS wanted (run_id, after, n)
CROSS JOIN LATERAL (
    SELECT row_number() OVER (ORDER BY step) AS number, waits.*
    FROM waits
    WHERE tenant_id = $1 AND run_id = wanted.run_id AND step > wanted.after
    ORDER BY step
    LIMIT $2 + 1
) w

-- name: shown
-- What is shown of a page of the tenant $1. Runs are looked up for the page alone. Behind $2 waits comes one more,
-- without what is large. Data and decisions as text; of what together has more than $3 bytes the size alone. See
-- `payloads` of headrace_control.runs.
WITH page AS ({page}),
found AS MATERIALIZED (
    SELECT w.n, w.number, w.run_id, w.step, w.kind, w.status, w.opened_at, w.due_at, w.closed_at,
           CASE WHEN w.number <= $2 THEN w.data END AS data,
           CASE WHEN w.number <= $2 THEN w.decision END AS decision,
           coalesce(starter.owner, r.created_by) AS started_by,
           coalesce(publisher.owner, v.published_by, v.created_by) AS published_by, headrace_now() AS now
    FROM page w
    LEFT JOIN runs r ON r.tenant_id = w.tenant_id AND r.id = w.run_id
    LEFT JOIN workflow_versions v ON v.tenant_id = r.tenant_id AND v.id = r.version_id
    LEFT JOIN api_keys starter ON starter.tenant_id = r.tenant_id AND starter.id = r.created_by
    LEFT JOIN api_keys publisher ON publisher.tenant_id = v.tenant_id
        AND publisher.id = coalesce(v.published_by, v.created_by)
),
together AS (
    SELECT coalesce(sum(coalesce(octet_length(data::text), 0) + coalesce(octet_length(decision::text), 0)), 0)::bigint
        AS size
    FROM found
)
SELECT together.size, found.n, found.run_id, found.step, found.kind, found.status, found.opened_at,
       found.due_at, found.closed_at, convert_to(found.data::text, 'UTF8') AS data,
       convert_to(found.decision::text, 'UTF8') AS decision, found.started_by, found.published_by, found.now
FROM together LEFT JOIN found ON together.size <= $3
ORDER BY found.n, found.number

-- name: wait
-- Of a locked run. `now` is after the lock, which may have been waited for: whoever claimed the run meanwhile decides by
-- what was there then.
SELECT w.run_id, w.step, w.kind, w.data, w.status, w.opened_at, w.due_at, w.closed_at, w.decision,
       coalesce(starter.owner, r.created_by) AS started_by,
       coalesce(publisher.owner, v.published_by, v.created_by) AS published_by,
       headrace_now() + (clock_timestamp() - now()) AS now
FROM waits w
JOIN runs r ON r.tenant_id = w.tenant_id AND r.id = w.run_id
LEFT JOIN workflow_versions v ON v.tenant_id = r.tenant_id AND v.id = r.version_id
LEFT JOIN api_keys starter ON starter.tenant_id = r.tenant_id AND starter.id = r.created_by
LEFT JOIN api_keys publisher ON publisher.tenant_id = v.tenant_id
    AND publisher.id = coalesce(v.published_by, v.created_by)
WHERE w.tenant_id = $1 AND w.run_id = $2 AND w.step = $3

-- name: decide
UPDATE waits SET status = 'DECIDED', decision = $4, decided_by = $5
WHERE tenant_id = $1 AND run_id = $2 AND step = $3 AND status = 'OPEN'

-- name: signal_steps
SELECT jsonb_path_query_array(resolved, '$.document.steps[*] ? (@.type == "signal")') AS steps
FROM workflow_versions WHERE tenant_id = $1 AND id = $2

-- name: step_status
SELECT status, done_epoch, done_seq FROM step_runs WHERE tenant_id = $1 AND run_id = $2 AND key = $3

-- name: unused_settlement
SELECT data ->> 'by' AS by FROM inbox
WHERE tenant_id = $1 AND run_id = $2 AND step = $3 AND kind = 'SETTLE' AND NOT used AND data -> 'doubt' = $4
LIMIT 1
