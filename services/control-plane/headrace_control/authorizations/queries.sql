-- name: forget_expired
-- With what was sealed for them.
WITH gone AS (
    DELETE FROM authorizations WHERE tenant_id = $1 AND expires_at <= headrace_now() RETURNING connection_id, id)
DELETE FROM connection_secrets s USING gone g
WHERE s.tenant_id = $1 AND s.connection_id = g.connection_id
  AND s.field IN ('oauth:pending:' || g.id || ':verifier', 'oauth:pending:' || g.id || ':code')

-- name: begun
SELECT count(*) FROM authorizations WHERE tenant_id = $1 AND connection_id = $2

-- name: begin
INSERT INTO authorizations
    (tenant_id, id, connection_id, actor_kind, actor_id, state_hash, redirect, client_state, provider, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, headrace_now() + $10)
RETURNING expires_at

-- name: tenant_of
SELECT headrace_find_authorization($1)

-- name: lock_by_state
SELECT id, connection_id, actor_kind, actor_id, redirect, client_state, provider
FROM authorizations WHERE tenant_id = $1 AND state_hash = $2 AND expires_at > headrace_now()
FOR UPDATE

-- name: answered
-- The state is gone: nobody brings a second answer.
UPDATE authorizations SET state_hash = NULL, code_hash = $3, expires_at = headrace_now() + $4
WHERE tenant_id = $1 AND id = $2

-- name: end_authorization
DELETE FROM authorizations WHERE tenant_id = $1 AND id = $2

-- name: take_by_code
DELETE FROM authorizations WHERE tenant_id = $1 AND code_hash = $2 AND expires_at > headrace_now()
RETURNING id, connection_id, actor_kind, actor_id, redirect, client_state, provider

-- name: sealed_parts
SELECT s.field, s.key_id, s.sealed, k.provider, k.wrapped_by, k.wrapped
FROM connection_secrets s JOIN data_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
WHERE s.tenant_id = $1 AND s.connection_id = $2 AND s.field = ANY($3::text[])

-- name: forget_parts
DELETE FROM connection_secrets WHERE tenant_id = $1 AND connection_id = $2 AND field = ANY($3::text[])

-- name: connection_name
SELECT name FROM connections WHERE tenant_id = $1 AND id = $2
