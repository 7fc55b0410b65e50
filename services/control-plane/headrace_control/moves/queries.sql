-- name: run
SELECT id, workflow_id, version_id, parent_run_id, parent_step, status, claimed_by IS NOT NULL AS held, cancel_requested,
       undoes_run_id IS NOT NULL AS undoes, wait_reason, dispatch_id, input,
       coalesce(jsonb_array_length(moves), 0) AS moved
FROM runs WHERE tenant_id = $1 AND id = $2

-- name: lock
-- As everybody who changes a run does. What the lock protects is read in statements after this one.
SELECT id FROM runs WHERE tenant_id = $1 AND id = $2 FOR UPDATE

-- name: version
SELECT id, status, document, source, resolved FROM workflow_versions
WHERE tenant_id = $1 AND id = $2 AND status <> 'DRAFT'

-- name: version_numbered
SELECT id, status, document, source, resolved FROM workflow_versions
WHERE tenant_id = $1 AND workflow_id = $2 AND version = $3 AND status <> 'DRAFT'

-- name: rows
SELECT key, status, CASE WHEN status = 'FAILED' THEN error END AS error FROM step_runs WHERE tenant_id = $1 AND run_id = $2 LIMIT $3

-- name: move
-- rule move_needs_no_claim: nobody decides by the version that it had any more. What its last holder has told is applied,
-- for the claim was closed by an event of its own. The next claim reads the version from this row.
UPDATE runs
SET version_id = $3,
    moves = coalesce(moves, '[]') || jsonb_build_array($4::jsonb || jsonb_build_object('at', headrace_now(),
        'epoch', fence_epoch, 'seq', fence_seq))
WHERE tenant_id = $1 AND id = $2 AND claimed_by IS NULL AND status IN ('QUEUED', 'WAITING', 'PAUSED')

-- name: moves
SELECT moves FROM runs WHERE tenant_id = $1 AND id = $2
