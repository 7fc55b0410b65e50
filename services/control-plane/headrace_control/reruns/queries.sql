-- name: origin
SELECT r.id, r.workflow_id, w.name AS workflow, r.version_id, v.version AS number, r.status, r.input, r.parent_run_id,
       r.parent_step, r.undoes_run_id, r.lineage, r.rerun -> 'keys' AS kept_keys
FROM runs r
JOIN workflows w ON w.tenant_id = r.tenant_id AND w.id = r.workflow_id
JOIN workflow_versions v ON v.tenant_id = r.tenant_id AND v.id = r.version_id
WHERE r.tenant_id = $1 AND r.id = $2

-- name: rows
-- What was undone by another re-run that took it over, too, is undone here.
SELECT s.key, s.items, CASE WHEN did.status = 'COMPENSATED' THEN did.status ELSE s.status END AS status
FROM step_runs s
LEFT JOIN step_runs did ON did.tenant_id = s.tenant_id AND did.run_id = s.taken_from AND did.key = s.key
WHERE s.tenant_id = $1 AND s.run_id = $2
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
-- The first run of them all: who goes on from any of them waits here.
SELECT id FROM runs WHERE tenant_id = $1 AND id = $2 FOR UPDATE

-- name: unfinished
-- A statement of its own, after the lock.
SELECT id FROM runs WHERE tenant_id = $1 AND lineage = $2 AND finished_at IS NULL
ORDER BY id DESC
LIMIT 1

-- name: link
UPDATE runs SET origin_run_id = $3, lineage = $4, rerun = $5 WHERE tenant_id = $1 AND id = $2

-- name: take_over
-- rule taken_with_the_start: in the transaction that has inserted the run.
SELECT headrace_take_over($1, $2, $3, $4::text[], $5::text[])

-- name: start_undoing
WITH begun AS (
    INSERT INTO runs (id, tenant_id, workflow_id, version_id, input, dispatch_id, created_by, undoes_run_id,
        origin_run_id, lineage, rerun)
    SELECT $3, tenant_id, workflow_id, version_id, input, $4, $5, id, $6, $7, $8 FROM runs
    WHERE tenant_id = $1 AND id = $2
    RETURNING id, dispatch_id
)
INSERT INTO dispatches (id, tenant_id, run_id, due_at)
SELECT dispatch_id, $1, id, headrace_now() FROM begun
RETURNING headrace_now() AS now

-- name: notify
SELECT pg_notify($1, '')
