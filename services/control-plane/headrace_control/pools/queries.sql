-- name: pools
-- What is in each but the default one is found by runs_in_pools.
SELECT p.name, p.created_at,
       (SELECT count(*) FROM pool_grants g WHERE g.pool = p.name) AS tenants,
       (SELECT count(*) FROM runners r
        WHERE r.lease_until > headrace_now() AND coalesce(r.pool, 'default') = p.name) AS runners,
       CASE WHEN p.name <> 'default' THEN
           (SELECT count(*) FROM runs u WHERE u.pool = p.name AND u.finished_at IS NULL) END AS unfinished_runs
FROM pools p ORDER BY p.name

-- name: one_at_a_time
SELECT pg_advisory_xact_lock(hashtext('headrace_pools'))

-- name: count_pools
SELECT count(*) FROM pools

-- name: add
INSERT INTO pools (name) VALUES ($1) ON CONFLICT DO NOTHING
RETURNING name, created_at, 0::bigint AS tenants, 0::bigint AS runners, 0::bigint AS unfinished_runs

-- name: users
-- By whom a pool is in use; three names of tenants at most.
SELECT count(*) AS tenants, (array_agg(t.name ORDER BY t.name))[:3] AS named
FROM pool_grants g JOIN tenants t ON t.id = g.tenant_id WHERE g.pool = $1

-- name: unfinished
SELECT count(*) FROM runs WHERE pool = $1 AND finished_at IS NULL

-- name: remove
DELETE FROM pools WHERE name = $1

-- name: notify
SELECT pg_notify($1, '')

-- name: known
SELECT name FROM pools WHERE name = ANY($1::text[])

-- name: of_tenant
SELECT coalesce(t.pool, 'default') AS pool,
       ARRAY(SELECT g.pool FROM pool_grants g WHERE g.tenant_id = t.id ORDER BY g.pool) AS granted
FROM tenants t WHERE t.id = $1

-- name: lock_tenant
SELECT id FROM tenants WHERE id = $1 FOR UPDATE

-- name: bound_elsewhere
-- Workflows of the tenant that are bound to none of these pools.
SELECT name, pool FROM workflows
WHERE tenant_id = $1 AND pool IS NOT NULL AND pool <> ALL($2::text[])
ORDER BY name LIMIT 1

-- name: revoke
DELETE FROM pool_grants WHERE tenant_id = $1 AND pool <> ALL($2::text[])

-- name: grant
INSERT INTO pool_grants (tenant_id, pool) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING

-- name: set_pool_of_tenant
UPDATE tenants SET pool = $2 WHERE id = $1

-- name: workflow
SELECT pool FROM workflows WHERE tenant_id = $1 AND name = $2 FOR UPDATE

-- name: bind_workflow
UPDATE workflows SET pool = $3 WHERE tenant_id = $1 AND name = $2

-- name: lock_unfinished
-- In order, like everybody who locks several runs.
SELECT id FROM runs
WHERE pool = $1 AND finished_at IS NULL AND id > $2 AND ($3::uuid IS NULL OR tenant_id = $3)
ORDER BY id
LIMIT $4
FOR UPDATE

-- name: move_runs
UPDATE runs SET pool = $2 WHERE id = ANY($1::uuid[])

-- name: move_dispatches
-- What was sent and is in nobody's hands is sent again, under the same id: its job stands in a queue that nobody may
-- take it from. What somebody holds, or held, is the sweeper's.
UPDATE dispatches d SET pool = $2, sent_at = CASE WHEN r.claimed_by IS NOT NULL THEN d.sent_at END
FROM runs r
WHERE r.id = d.run_id AND d.run_id = ANY($1::uuid[])

-- name: move_dry_runs
UPDATE dry_runs SET pool = $2
WHERE pool = $1 AND status IN ('QUEUED', 'WALKING') AND ($3::uuid IS NULL OR tenant_id = $3)
