-- name: unfinished
-- The tenant's row is locked by whoever adds one, so that two of them do not count past each other.
SELECT count(*) FROM dry_runs WHERE tenant_id = $1 AND status IN ('QUEUED', 'WALKING')

-- name: lock_count
SELECT pg_advisory_xact_lock(hashtextextended('dry_runs ' || $1::uuid::text, 0))

-- name: add
-- Walked by runners of the pool that a run of the workflow would be started in.
INSERT INTO dry_runs (tenant_id, id, workflow, number, version_id, resolved, base_version_id, run_id, given, created_by,
    opens, pool)
SELECT $1, $2, $3::text, $4, $5, $6, $7, $8, $9, $10, $11, nullif(coalesce(w.pool, t.pool), 'default')
FROM tenants t LEFT JOIN workflows w ON w.tenant_id = t.id AND w.name = $3
WHERE t.id = $1

-- name: one
-- The report as text, made once; of one of more than $3 bytes the size alone.
WITH found AS MATERIALIZED (
    SELECT id, workflow, number, status, run_id, convert_to(report::text, 'UTF8') AS report, failure, created_at,
           finished_at
    FROM dry_runs WHERE tenant_id = $1 AND id = $2
)
SELECT id, workflow, number, status, run_id, failure, created_at, finished_at,
       coalesce(octet_length(report), 0)::bigint AS size, CASE WHEN octet_length(report) <= $3 THEN report END AS report
FROM found

-- name: candidate
-- A published version, by its number, else what a start without one runs.
SELECT v.id, v.version AS number, v.resolved
FROM workflow_versions v
JOIN workflows w ON w.tenant_id = v.tenant_id AND w.id = v.workflow_id
WHERE v.tenant_id = $1 AND w.name = $2 AND v.status <> 'DRAFT'
  AND (v.version = $3 OR ($3::int IS NULL AND v.status = 'PUBLISHED' AND NOT v.held_back))
ORDER BY v.version DESC
LIMIT 1

-- name: draft
SELECT v.id, v.document
FROM workflow_versions v
JOIN workflows w ON w.tenant_id = v.tenant_id AND w.id = v.workflow_id
WHERE v.tenant_id = $1 AND w.name = $2 AND v.status = 'DRAFT'

-- name: recorded_run
SELECT r.id, w.name AS workflow, r.version_id, v.version AS number, r.status, r.input, r.started_at, r.undoes_run_id
FROM runs r
JOIN workflow_versions v ON v.tenant_id = r.tenant_id AND v.id = r.version_id
JOIN workflows w ON w.tenant_id = r.tenant_id AND w.id = r.workflow_id
WHERE r.tenant_id = $1 AND r.id = $2

-- name: lapse
-- Taken again and again and never told of: whatever it does to its runners, it stops doing it now.
UPDATE dry_runs SET status = 'FAILED', finished_at = headrace_now(), token = NULL,
    failure = '{"code": "NO_PROGRESS", "message": "no runner came to the end of it"}'
WHERE status = 'WALKING' AND taken_until < headrace_now() AND takes >= $1

-- name: take
-- Tenants take turns: those come first that have none under way, then those of whom none was taken for longest.
UPDATE dry_runs d
SET status = 'WALKING', token = $1, taken_until = headrace_now() + $2::interval, takes = takes + 1
WHERE (d.tenant_id, d.id) = (
    SELECT n.tenant_id, n.id FROM dry_runs n
    WHERE n.status IN ('QUEUED', 'WALKING') AND (n.status = 'QUEUED' OR n.taken_until < headrace_now())
      AND n.pool IS NOT DISTINCT FROM $3::text
    ORDER BY (
        SELECT count(*) FROM dry_runs o
        WHERE o.tenant_id = n.tenant_id AND o.status = 'WALKING' AND o.taken_until >= headrace_now()),
        (SELECT max(o.taken_until) FROM dry_runs o WHERE o.tenant_id = n.tenant_id) NULLS FIRST, n.id
    LIMIT 1
    FOR UPDATE SKIP LOCKED)
RETURNING d.tenant_id, d.id, d.version_id, d.resolved, d.base_version_id, d.run_id, d.given, d.opens, d.created_at

-- name: end
UPDATE dry_runs SET status = $3, report = $4, failure = $5, finished_at = headrace_now(), token = NULL
WHERE id = $1 AND token = $2 AND status = 'WALKING'
RETURNING id

-- name: versions
SELECT id, resolved FROM workflow_versions
WHERE tenant_id = $1 AND id = ANY($2::uuid[]) AND status <> 'DRAFT'

-- name: rows
SELECT key, status, output, error, taken_from FROM step_runs
WHERE tenant_id = $1 AND run_id = $2 AND status IN ('SUCCESS', 'FAILED', 'CACHED', 'COMPENSATED')
LIMIT $3

-- name: size
SELECT coalesce(sum(octet_length(output::text)), 0)::bigint FROM step_runs WHERE tenant_id = $1 AND run_id = $2

-- name: children
-- The newest of each row last.
SELECT id, version_id, parent_run_id, parent_step FROM runs
WHERE tenant_id = $1 AND parent_run_id = ANY($2::uuid[]) AND finished_at IS NOT NULL
ORDER BY id
LIMIT $3

-- name: base_urls
SELECT id, base_url FROM connections WHERE tenant_id = $1 AND id = ANY($2::uuid[])

-- name: secrets_there
SELECT name FROM secrets WHERE tenant_id = $1 AND name = ANY($2::text[])
