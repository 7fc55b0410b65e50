-- name: insert_connection
INSERT INTO connections (tenant_id, id, app_id, name, base_url, config, limits) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING id

-- name: connection_named
SELECT c.id, c.app_id, c.name, c.base_url, c.config, c.limits, c.token_version, c.token_expires_at, c.token_error,
       c.token_trouble, c.token_retry_at, c.authorized_at, c.authorized_by, c.authorization_ends_at,
       c.created_at, c.updated_at, t.open_until, s.status,
       CASE WHEN t.open_until IS NULL THEN 'CLOSED' WHEN t.open_until > headrace_now() THEN 'OPEN' ELSE 'HALF_OPEN' END
           AS breaker,
       ARRAY(SELECT f.field FROM connection_secrets f
             WHERE f.tenant_id = c.tenant_id AND f.connection_id = c.id AND f.field NOT LIKE 'oauth:%'
             ORDER BY f.field) AS secret_fields
FROM connections c
JOIN apps a ON a.tenant_id = c.tenant_id AND a.id = c.app_id
LEFT JOIN throttles t ON t.tenant_id = c.tenant_id AND t.connection_id = c.id
CROSS JOIN headrace_connection_status(c, a.auth ->> 'grant') s (status)
WHERE c.tenant_id = $1 AND c.name = $2

-- name: lock_connection
SELECT id FROM connections WHERE tenant_id = $1 AND name = $2 FOR UPDATE

-- name: connections_after
SELECT c.id, c.app_id, c.name, c.base_url, c.config, c.limits, c.token_version, c.token_expires_at, c.token_error,
       c.token_trouble, c.token_retry_at, c.authorized_at, c.authorized_by, c.authorization_ends_at,
       c.created_at, c.updated_at, t.open_until, s.status,
       CASE WHEN t.open_until IS NULL THEN 'CLOSED' WHEN t.open_until > headrace_now() THEN 'OPEN' ELSE 'HALF_OPEN' END
           AS breaker,
       ARRAY(SELECT f.field FROM connection_secrets f
             WHERE f.tenant_id = c.tenant_id AND f.connection_id = c.id AND f.field NOT LIKE 'oauth:%'
             ORDER BY f.field) AS secret_fields
FROM connections c
JOIN apps a ON a.tenant_id = c.tenant_id AND a.id = c.app_id
LEFT JOIN throttles t ON t.tenant_id = c.tenant_id AND t.connection_id = c.id
CROSS JOIN headrace_connection_status(c, a.auth ->> 'grant') s (status)
WHERE c.tenant_id = $1 AND ($2::text IS NULL OR a.name = $2) AND c.name > $3
  AND ($5::text IS NULL OR s.status = $5)
ORDER BY c.name
LIMIT $4

-- name: ids_named
SELECT name, id FROM connections WHERE tenant_id = $1 AND name = ANY($2::text[])

-- name: update_connection
UPDATE connections SET base_url = $3, config = $4, limits = $5, updated_at = headrace_now() WHERE tenant_id = $1 AND id = $2

-- name: forget_token
-- The version moves on: whoever holds the old access token learns that it is old.
UPDATE connections
SET token_version = token_version + 1, token_expires_at = NULL, token_granted_at = NULL, token_error = NULL,
    token_trouble = NULL, token_retry_at = NULL, token_failures = 0, token_doubts = 0, updated_at = headrace_now()
WHERE tenant_id = $1 AND id = $2

-- name: forget_access_token
DELETE FROM connection_secrets
WHERE tenant_id = $1 AND connection_id = $2 AND field LIKE 'oauth:%' AND field NOT LIKE 'oauth:pending:%'

-- name: delete_connection
DELETE FROM connections WHERE tenant_id = $1 AND id = $2

-- name: put_secret
INSERT INTO connection_secrets (tenant_id, connection_id, field, key_id, sealed) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, connection_id, field)
DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed, updated_at = headrace_now()

-- name: credentials
-- One statement, so one moment: a version beside another one's token would have its holder ask for one more. And
-- sealed fields with their keys: a rotation that deletes a key has nothing to come between. A row for each field.
-- $3: how long an access token must last to be handed out.
SELECT c.id, c.base_url, c.config, c.updated_at, c.token_version, c.token_expires_at, c.token_error, c.token_trouble,
       c.token_failures, c.token_doubts,
       c.token_retry_at > headrace_now() AS token_held_back, c.token_granted_at > headrace_now() AS token_is_new,
       a.base_url AS app_base_url, a.auth, coalesce(c.limits, a.limits) IS NOT NULL AS limited,
       c.token_expires_at IS NULL OR c.token_expires_at > headrace_now() + $3::interval AS token_lasts,
       s.field, s.key_id, s.sealed, s.provider, s.wrapped_by, s.wrapped
FROM connections c
JOIN apps a ON a.tenant_id = c.tenant_id AND a.id = c.app_id
LEFT JOIN (
    SELECT f.tenant_id, f.connection_id, f.field, f.key_id, f.sealed, k.provider, k.wrapped_by, k.wrapped
    FROM connection_secrets f JOIN data_keys k ON k.tenant_id = f.tenant_id AND k.id = f.key_id
    WHERE f.field NOT LIKE 'oauth:pending:%'
) s ON s.tenant_id = c.tenant_id AND s.connection_id = c.id
WHERE c.tenant_id = $1 AND c.id = ANY($2::uuid[])

-- name: token_endpoint
SELECT coalesce(a.auth ->> 'tokenUrl', '') FROM connections c
JOIN apps a ON a.tenant_id = c.tenant_id AND a.id = c.app_id
WHERE c.tenant_id = $1 AND c.id = $2

-- name: lock_credential
-- One refresh at a time: who asks at the same moment waits here, and then reads the newer version. Who publishes a version
-- that names it does not wait.
SELECT id FROM connections WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE

-- name: token_granted
-- $3: seconds, or NULL when the endpoint did not say. Counted from now, not from when the transaction began: it
-- waited for the endpoint, and who began to wait for the row meanwhile is to find a token newer than that.
UPDATE connections
SET token_version = token_version + 1, token_error = NULL, token_trouble = NULL, token_retry_at = NULL,
    token_failures = 0, token_doubts = 0,
    token_granted_at = headrace_now() + (clock_timestamp() - now()),
    token_expires_at = headrace_now() + (clock_timestamp() - now()) + make_interval(secs => $3::double precision)
WHERE tenant_id = $1 AND id = $2
RETURNING token_version, token_expires_at

-- name: token_refused
UPDATE connections
SET token_error = $3, token_expires_at = NULL, token_retry_at = NULL
WHERE tenant_id = $1 AND id = $2

-- name: token_failed
-- $4: in how many seconds the endpoint may be asked again.
UPDATE connections
SET token_trouble = $3, token_failures = token_failures + 1, token_doubts = token_doubts + $5::integer,
    token_retry_at = headrace_now() + (clock_timestamp() - now()) + make_interval(secs => $4::double precision)
WHERE tenant_id = $1 AND id = $2

-- name: authorization_ends
-- $3: in so many seconds; NULL: nothing is known of it.
UPDATE connections
SET authorization_ends_at = headrace_now() + (clock_timestamp() - now()) + make_interval(secs => $3::double precision)
WHERE tenant_id = $1 AND id = $2

-- name: authorized
-- What was granted before is another grant, perhaps another person's.
UPDATE connections SET authorized_at = headrace_now(), authorized_by = $3, updated_at = headrace_now()
WHERE tenant_id = $1 AND id = $2

-- name: forget_refresh_token
DELETE FROM connection_secrets WHERE tenant_id = $1 AND connection_id = $2 AND field = 'refreshToken'
