-- name: size_of_approvals
SELECT coalesce(sum(octet_length(w.data::text) + coalesce(octet_length(w.decision::text), 0)), 0)::bigint
FROM (
    SELECT data, decision FROM waits
    WHERE tenant_id = $1 AND kind = 'APPROVAL' AND status = $2 AND (opened_at, run_id, step)
      < (coalesce($3::timestamptz, 'infinity'), $4::uuid, $5::text)
    ORDER BY opened_at DESC, run_id DESC, step DESC
    LIMIT $6
) w

-- name: approvals
-- Newest first, read off waits_newest: one status, from a place on. Runs are looked up for the page alone.
SELECT w.*, coalesce(starter.owner, r.created_by) AS started_by,
       coalesce(publisher.owner, v.published_by, v.created_by) AS published_by, headrace_now() AS now
FROM (
    SELECT tenant_id, run_id, step, kind, data, status, opened_at, due_at, closed_at, decision FROM waits
    WHERE tenant_id = $1 AND kind = 'APPROVAL' AND status = $2 AND (opened_at, run_id, step)
      < (coalesce($3::timestamptz, 'infinity'), $4::uuid, $5::text)
    ORDER BY opened_at DESC, run_id DESC, step DESC
    LIMIT $6
) w
LEFT JOIN runs r ON r.tenant_id = w.tenant_id AND r.id = w.run_id
LEFT JOIN workflow_versions v ON v.tenant_id = r.tenant_id AND v.id = r.version_id
LEFT JOIN api_keys starter ON starter.tenant_id = r.tenant_id AND starter.id = r.created_by
LEFT JOIN api_keys publisher ON publisher.tenant_id = v.tenant_id
    AND publisher.id = coalesce(v.published_by, v.created_by)
ORDER BY w.opened_at DESC, w.run_id DESC, w.step DESC

-- name: size_of_waits
SELECT coalesce(sum(octet_length(w.data::text) + coalesce(octet_length(w.decision::text), 0)), 0)::bigint
FROM unnest($2::uuid[], $3::text[]) AS wanted (run_id, after)
CROSS JOIN LATERAL (
    SELECT data, decision FROM waits
    WHERE tenant_id = $1 AND run_id = wanted.run_id AND step > wanted.after
    ORDER BY step
    LIMIT $4
) w

-- name: waits
-- A page of each wanted run's waits, from its own place on, all in one round trip.
SELECT wanted.n, w.*, coalesce(starter.owner, r.created_by) AS started_by,
       coalesce(publisher.owner, v.published_by, v.created_by) AS published_by,
       headrace_now() AS now
FROM unnest($2::uuid[], $3::text[]) WITH ORDINALITY AS wanted (run_id, after, n)
CROSS JOIN LATERAL (
    SELECT tenant_id, run_id, step, kind, data, status, opened_at, due_at, closed_at, decision FROM waits
    WHERE tenant_id = $1 AND run_id = wanted.run_id AND step > wanted.after
    ORDER BY step
    LIMIT $4
) w
LEFT JOIN runs r ON r.tenant_id = w.tenant_id AND r.id = w.run_id
LEFT JOIN workflow_versions v ON v.tenant_id = r.tenant_id AND v.id = r.version_id
LEFT JOIN api_keys starter ON starter.tenant_id = r.tenant_id AND starter.id = r.created_by
LEFT JOIN api_keys publisher ON publisher.tenant_id = v.tenant_id
    AND publisher.id = coalesce(v.published_by, v.created_by)
ORDER BY wanted.n, w.step

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
