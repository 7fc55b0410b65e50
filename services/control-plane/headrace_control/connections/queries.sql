-- name: insert_connection
INSERT INTO connections (tenant_id, id, app_id, name, base_url, config, limits) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING id

-- name: connection_named
SELECT c.id, c.app_id, c.name, c.base_url, c.config, c.limits, c.token_version, c.token_expires_at, c.token_error,
       c.created_at, c.updated_at, t.open_until,
       CASE WHEN t.open_until IS NULL THEN 'CLOSED' WHEN t.open_until > headrace_now() THEN 'OPEN' ELSE 'HALF_OPEN' END
           AS breaker,
       ARRAY(SELECT s.field FROM connection_secrets s
             WHERE s.tenant_id = c.tenant_id AND s.connection_id = c.id AND s.field NOT LIKE 'oauth:%'
             ORDER BY s.field) AS secret_fields
FROM connections c
LEFT JOIN throttles t ON t.tenant_id = c.tenant_id AND t.connection_id = c.id
WHERE c.tenant_id = $1 AND c.name = $2

-- name: lock_connection
SELECT id FROM connections WHERE tenant_id = $1 AND name = $2 FOR UPDATE

-- name: connections_after
SELECT c.id, c.app_id, c.name, c.base_url, c.config, c.limits, c.token_version, c.token_expires_at, c.token_error,
       c.created_at, c.updated_at, t.open_until,
       CASE WHEN t.open_until IS NULL THEN 'CLOSED' WHEN t.open_until > headrace_now() THEN 'OPEN' ELSE 'HALF_OPEN' END
           AS breaker,
       ARRAY(SELECT s.field FROM connection_secrets s
             WHERE s.tenant_id = c.tenant_id AND s.connection_id = c.id AND s.field NOT LIKE 'oauth:%'
             ORDER BY s.field) AS secret_fields
FROM connections c
LEFT JOIN apps a ON a.tenant_id = c.tenant_id AND a.id = c.app_id
LEFT JOIN throttles t ON t.tenant_id = c.tenant_id AND t.connection_id = c.id
WHERE c.tenant_id = $1 AND ($2::text IS NULL OR a.name = $2) AND c.name > $3
ORDER BY c.name
LIMIT $4

-- name: ids_named
SELECT name, id FROM connections WHERE tenant_id = $1 AND name = ANY($2::text[])

-- name: update_connection
UPDATE connections SET base_url = $3, config = $4, limits = $5, updated_at = headrace_now() WHERE tenant_id = $1 AND id = $2

-- name: forget_token
-- The version moves on: whoever holds the old access token learns that it is old.
UPDATE connections
SET token_version = token_version + 1, token_expires_at = NULL, token_error = NULL, updated_at = headrace_now()
WHERE tenant_id = $1 AND id = $2

-- name: forget_access_token
DELETE FROM connection_secrets WHERE tenant_id = $1 AND connection_id = $2 AND field LIKE 'oauth:%'

-- name: delete_connection
DELETE FROM connections WHERE tenant_id = $1 AND id = $2

-- name: versions_using
-- Published versions name the connections they use; deprecated ones start no run.
SELECT w.name, v.version
FROM workflow_versions v
JOIN workflows w ON w.tenant_id = v.tenant_id AND w.id = v.workflow_id
WHERE v.tenant_id = $1 AND v.status = 'PUBLISHED'
  AND EXISTS (SELECT 1 FROM jsonb_each_text(v.resolved -> 'connections') c WHERE c.value = $2::text)
ORDER BY w.name, v.version
LIMIT 5

-- name: put_secret
INSERT INTO connection_secrets (tenant_id, connection_id, field, key_id, sealed) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, connection_id, field)
DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed, updated_at = headrace_now()

-- name: credentials
-- $3: how long an access token must last to be handed out.
SELECT c.id, c.base_url, c.config, c.token_version, c.token_expires_at, c.token_error,
       a.base_url AS app_base_url, a.auth, coalesce(c.limits, a.limits) IS NOT NULL AS limited,
       c.token_expires_at IS NULL OR c.token_expires_at > headrace_now() + $3::interval AS token_lasts
FROM connections c
JOIN apps a ON a.tenant_id = c.tenant_id AND a.id = c.app_id
WHERE c.tenant_id = $1 AND c.id = ANY($2::uuid[])

-- name: lock_credential
-- One refresh at a time: who asks at the same moment waits here, and then reads the newer version.
SELECT id FROM connections WHERE tenant_id = $1 AND id = $2 FOR UPDATE

-- name: sealed_fields
-- With their keys, in one statement: a rotation that deletes the key in between has nothing to come between.
SELECT s.connection_id, s.field, s.key_id, s.sealed, k.provider, k.wrapped_by, k.wrapped
FROM connection_secrets s JOIN data_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
WHERE s.tenant_id = $1 AND s.connection_id = ANY($2::uuid[])

-- name: token_granted
-- $3: seconds, or NULL when the endpoint did not say.
UPDATE connections
SET token_version = token_version + 1, token_error = NULL,
    token_expires_at = headrace_now() + make_interval(secs => $3::double precision)
WHERE tenant_id = $1 AND id = $2
RETURNING token_version, token_expires_at

-- name: token_refused
UPDATE connections SET token_error = $3, token_expires_at = NULL WHERE tenant_id = $1 AND id = $2
