-- name: tenant_named
SELECT headrace_tenant_named($1)

-- name: is_platform
SELECT platform FROM tenants WHERE id = $1

-- name: ask
INSERT INTO tenant_deletions (tenant_id, asked_by, asked_in, cancel_at, due_at)
SELECT $1, $2, $3, CASE WHEN $5 THEN headrace_now() ELSE headrace_now() + $4::interval - $6::interval END,
       headrace_now() + $4::interval
ON CONFLICT (tenant_id) DO NOTHING
RETURNING tenant_id

-- name: deletion
SELECT d.tenant_id, t.name AS tenant, d.asked_at, d.cancel_at, d.due_at, d.begun_at, d.done_at, d.counts
FROM tenant_deletions d LEFT JOIN tenants t ON t.id = d.tenant_id
WHERE d.tenant_id = $1

-- name: keep
SELECT headrace_keep_tenant()

-- name: deletions
-- Of all tenants, for the platform.
SELECT tenant_id, name AS tenant, asked_at, cancel_at, due_at, begun_at, done_at, counts
FROM headrace_tenant_deletions($1, $2)

-- name: to_cancel
-- Tenants whose runs are to end by now.
SELECT tenant_id FROM tenant_deletions
WHERE done_at IS NULL AND begun_at IS NULL AND cancel_at <= headrace_now()
ORDER BY tenant_id

-- name: unfinished
-- What nobody has asked to end. Children end with their parents; what undoes something goes on.
SELECT id FROM runs
WHERE tenant_id = $1 AND id > $2 AND status IN ('QUEUED', 'RUNNING', 'WAITING', 'PAUSED')
  AND NOT cancel_requested AND parent_run_id IS NULL AND undoes_run_id IS NULL
ORDER BY id LIMIT $3

-- name: to_end
-- Those that are due; with $1 also those that were ended within that time, for what came in late.
SELECT tenant_id, asked_in, done_at IS NOT NULL AS done FROM tenant_deletions
WHERE due_at <= headrace_now() AND (done_at IS NULL OR done_at > headrace_now() - $1::interval)
ORDER BY due_at

-- name: end_lot
SELECT headrace_end_tenant($1, $2)

-- name: ended
SELECT headrace_tenant_ended($1, $2)

-- name: counts
SELECT counts FROM tenant_deletions WHERE tenant_id = $1
