-- name: origin
SELECT r.id, r.workflow_id, w.name AS workflow, r.version_id, v.version AS number, r.status, r.input, r.parent_run_id,
       r.parent_step, r.undoes_run_id, r.origin_run_id, r.lineage, r.rerun -> 'keys' AS kept_keys,
       r.rerun -> 'children' AS planned
FROM runs r
JOIN workflows w ON w.tenant_id = r.tenant_id AND w.id = r.workflow_id
JOIN workflow_versions v ON v.tenant_id = r.tenant_id AND v.id = r.version_id
WHERE r.tenant_id = $1 AND r.id = $2

-- name: rows
SELECT key, items, status, taken_from, CASE WHEN status = 'FAILED' THEN error END AS error FROM step_runs
WHERE tenant_id = $1 AND run_id = $2
LIMIT $3

-- name: child
SELECT id FROM runs
WHERE tenant_id = $1 AND parent_run_id = $2 AND parent_step = $3 AND undoes_run_id IS NULL
ORDER BY id DESC
LIMIT 1

-- name: version
SELECT id, resolved FROM workflow_versions WHERE tenant_id = $1 AND id = $2 AND status <> 'DRAFT'

-- name: version_numbered
SELECT id, resolved FROM workflow_versions
WHERE tenant_id = $1 AND workflow_id = $2 AND version = $3 AND status <> 'DRAFT'

-- name: lock_lineage
-- Who goes on from any run of a lineage waits here: the row of the first of them may not be kept any more.
SELECT pg_advisory_xact_lock(hashtextextended('lineage ' || $1::uuid, 0))

-- name: lock_first
-- Of a lineage, where it is kept: what else touches it locks it, too.
SELECT id FROM runs WHERE tenant_id = $1 AND id = $2 FOR UPDATE

-- name: in_the_way
-- A statement of its own, after the lock. Nothing is gone on from twice: the newest of a lineage alone is, and only when what undoes a part of it has ended.
SELECT id, finished_at IS NULL AS unfinished FROM runs
WHERE tenant_id = $1 AND lineage = $2 AND id <> $3 AND (finished_at IS NULL OR (undoes_run_id IS NULL AND id > $3))
ORDER BY id DESC
LIMIT 1

-- name: close_letters
-- Of all that is gone on from: whoever replays one of them later would do it twice. In the order of ids, as everybody
-- who locks several of them.
WITH chosen AS (
    SELECT id FROM dead_letters
    WHERE tenant_id = $1 AND status = 'OPEN' AND run_id = ANY($2::uuid[]) AND source IN ('step', 'in_doubt')
    ORDER BY id
    FOR UPDATE
)
UPDATE dead_letters d SET status = 'REPLAYED', closed_at = headrace_now(), replayed_by = $3
FROM chosen WHERE d.tenant_id = $1 AND d.id = chosen.id

-- name: knows_key
SELECT EXISTS (SELECT 1 FROM start_keys WHERE tenant_id = $1 AND key = $2)

-- name: link
UPDATE runs SET origin_run_id = $3, lineage = $4, rerun = $5 WHERE tenant_id = $1 AND id = $2

-- name: take_over
-- rule taken_with_the_start: in the transaction that has inserted the run. rule taken_before_own is kept by the function:
-- epoch 0 is before every claim's.
SELECT headrace_take_over($1, $2, $3, $4::text[], $5::text[])

-- name: start_undoing
WITH begun AS (
    INSERT INTO runs (id, tenant_id, workflow_id, version_id, input, dispatch_id, created_by, undoes_run_id,
        origin_run_id, lineage, rerun, traceparent, pool)
    SELECT $3, tenant_id, workflow_id, version_id, input, $4, $5, id, $6, $7, $8, $9, pool FROM runs
    WHERE tenant_id = $1 AND id = $2
    RETURNING id, dispatch_id, pool
)
INSERT INTO dispatches (id, tenant_id, run_id, due_at, pool)
SELECT dispatch_id, $1, id, headrace_now(), pool FROM begun
RETURNING headrace_now() AS now

-- name: notify
SELECT pg_notify($1, '')

-- name: failed_undoings
-- Compensations that failed, of a run itself or of what undid it; and of the runs that should have undone its children,
-- each with the row that began it.
WITH RECURSIVE undoing (id, parent_run_id, parent_step, keys) AS (
    SELECT id, NULL::uuid, NULL, rerun -> 'keys' FROM runs WHERE tenant_id = $1 AND id = $2
    UNION ALL
    SELECT r.id, r.parent_run_id, r.parent_step, r.rerun -> 'keys'
    FROM undoing u
    JOIN runs r ON r.parent_run_id = u.id
    WHERE r.tenant_id = $1 AND r.undoes_run_id IS NOT NULL AND r.status = 'FAILED'
)
SELECT u.id, u.parent_run_id, u.parent_step, u.keys AS kept_keys,
       ARRAY(SELECT s.key FROM step_runs s
             WHERE s.tenant_id = $1 AND s.run_id = u.id AND s.status = 'FAILED' AND s.key LIKE '%.undo') AS rows
FROM undoing u
ORDER BY u.id
