-- name: insert_tenant
INSERT INTO tenants (id, name, platform) VALUES ($1, $2, $3)
ON CONFLICT (name) DO NOTHING
RETURNING id, name, platform, max_runs_in_flight, created_at

-- name: find_tenant
SELECT id, name, platform, max_runs_in_flight, created_at FROM tenants WHERE id = $1

-- name: tenant_named
SELECT headrace_tenant_named($1)

-- name: lock_tenant
-- The lock of `lock_members`: whoever changes admins takes turns.
SELECT id, name, platform, max_runs_in_flight, created_at FROM tenants WHERE id = $1 FOR NO KEY UPDATE

-- name: has_admin
-- Somebody of the tenant who can make keys: a person who can log in, or a key that was used and lasts longer than $2. A
-- key that nobody has ever used may be the lost one.
SELECT EXISTS (
    SELECT FROM members WHERE tenant_id = $1 AND status = 'ACTIVE' AND role = 'ADMIN'
) OR EXISTS (
    SELECT FROM api_keys
    WHERE tenant_id = $1 AND role = 'ADMIN' AND revoked_at IS NULL AND last_used_at IS NOT NULL
      AND (expires_at IS NULL OR expires_at > headrace_now() + $2::interval)
      AND (permissions IS NULL OR 'MANAGE_KEYS' = ANY (permissions)) AND workflows IS NULL
)

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

-- name: end_of_key
SELECT expires_at FROM api_keys WHERE tenant_id = $1 AND id = $2

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
