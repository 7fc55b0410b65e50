-- name: approvals
-- Newest first, read off waits_newest: one status, from a place on. Runs are looked up for the page alone. Behind the
-- page comes one approval more, without what is large. Data and decisions as text; of what together has more than $7
-- bytes the size alone. See `payloads` of headrace_control.runs.
WITH page AS (
    SELECT tenant_id, run_id, step, kind, data, status, opened_at, due_at, closed_at, decision,
           row_number() OVER (ORDER BY opened_at DESC, run_id DESC, step DESC) AS number
    FROM waits
    WHERE tenant_id = $1 AND kind = 'APPROVAL' AND status = $2 AND (opened_at, run_id, step)
      < (coalesce($3::timestamptz, 'infinity'), $4::uuid, $5::text)
    ORDER BY opened_at DESC, run_id DESC, step DESC
    LIMIT $6 + 1
),
found AS MATERIALIZED (
    SELECT w.run_id, w.step, w.kind, w.status, w.opened_at, w.due_at, w.closed_at,
           CASE WHEN w.number <= $6 THEN w.data END AS data,
           CASE WHEN w.number <= $6 THEN w.decision END AS decision,
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
SELECT together.size, found.run_id, found.step, found.kind, found.status, found.opened_at,
       found.due_at, found.closed_at, convert_to(found.data::text, 'UTF8') AS data,
       convert_to(found.decision::text, 'UTF8') AS decision, found.started_by, found.published_by, found.now
FROM together LEFT JOIN found ON together.size <= $7
ORDER BY found.opened_at DESC, found.run_id DESC, found.step DESC

-- name: waits
-- A page of each wanted run's waits, from its own place on, all in one round trip; else as `approvals`.
WITH page AS (
    SELECT wanted.n, w.*
    FROM unnest($2::uuid[], $3::text[]) WITH ORDINALITY AS wanted (run_id, after, n)
    CROSS JOIN LATERAL (
        SELECT tenant_id, run_id, step, kind, data, status, opened_at, due_at, closed_at, decision,
               row_number() OVER (ORDER BY step) AS number
        FROM waits
        WHERE tenant_id = $1 AND run_id = wanted.run_id AND step > wanted.after
        ORDER BY step
        LIMIT $4 + 1
    ) w
),
found AS MATERIALIZED (
    SELECT w.n, w.run_id, w.step, w.kind, w.status, w.opened_at, w.due_at, w.closed_at,
           CASE WHEN w.number <= $4 THEN w.data END AS data,
           CASE WHEN w.number <= $4 THEN w.decision END AS decision,
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
FROM together LEFT JOIN found ON together.size <= $5
ORDER BY found.n, found.step

-- name: wait
SELECT w.run_id, w.step, w.kind, w.data, w.status, w.opened_at, w.due_at, w.closed_at, w.decision,
       coalesce(starter.owner, r.created_by) AS started_by,
       coalesce(publisher.owner, v.published_by, v.created_by) AS published_by, headrace_now() AS now
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
