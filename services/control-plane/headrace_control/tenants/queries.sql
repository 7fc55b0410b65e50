-- name: insert_tenant
INSERT INTO tenants (id, name, platform) VALUES ($1, $2, $3)
ON CONFLICT (name) DO NOTHING
RETURNING id, name, platform, max_runs_in_flight, created_at

-- name: find_tenant
SELECT id, name, platform, max_runs_in_flight, created_at FROM tenants WHERE id = $1

-- name: list_tenants
-- Of all tenants, for the platform; as headrace_worker, to which its policy shows them all. tenants_name_key has the order.
SELECT id, name, platform, max_runs_in_flight, created_at FROM tenants
WHERE $1::text IS NULL OR name > $1
ORDER BY name
LIMIT $2

-- name: platform_tenants
-- Of the owner alone: row-level security shows headrace_api only its own tenant.
SELECT id, name, platform, max_runs_in_flight, created_at FROM tenants WHERE platform ORDER BY id LIMIT 1

-- name: one_bootstrap_at_a_time
SELECT pg_advisory_xact_lock(hashtext('headrace_bootstrap'))

-- name: insert_api_key
INSERT INTO api_keys (tenant_id, id, name, role, prefix, hash, expires_at, permissions, owner, workflows)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING id, name, role, permissions, prefix, created_at, expires_at, revoked_at, last_used_at, owner,
    workflows

-- name: revoke_api_key
UPDATE api_keys SET revoked_at = coalesce(revoked_at, headrace_now())
WHERE tenant_id = $1 AND id = $2
RETURNING id, name, role, permissions, prefix, created_at, expires_at, revoked_at, last_used_at, owner,
    workflows

-- name: list_api_keys
SELECT id, name, role, permissions, prefix, created_at, expires_at, revoked_at, last_used_at, owner,
    workflows
FROM api_keys
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2)
ORDER BY id DESC
LIMIT $3

-- name: now
SELECT headrace_now()

-- name: workflows_there
SELECT name FROM workflows WHERE tenant_id = $1 AND name = ANY($2::text[])
