-- name: active_key
SELECT id, provider, wrapped_by, wrapped FROM data_keys WHERE tenant_id = $1 AND active

-- name: keys
SELECT id, provider, wrapped_by, wrapped FROM data_keys WHERE tenant_id = $1 AND id = ANY($2::uuid[])

-- name: insert_key
-- Two may find no key at once; the index on the active one lets a single one in.
INSERT INTO data_keys (tenant_id, id, provider, wrapped_by, wrapped) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id) WHERE active DO NOTHING

-- name: retire_key
UPDATE data_keys SET active = false WHERE tenant_id = $1 AND active

-- name: count_stale
SELECT (SELECT count(*) FROM connection_secrets WHERE tenant_id = $1 AND key_id <> $2)
     + (SELECT count(*) FROM secrets WHERE tenant_id = $1 AND key_id <> $2)
     + (SELECT count(*) FROM callback_keys WHERE tenant_id = $1 AND key_id <> $2)

-- name: stale_connection_secrets
-- SKIP LOCKED: what somebody is changing now is sealed under the new key by them.
SELECT connection_id AS owner_id, field, key_id, sealed FROM connection_secrets
WHERE tenant_id = $1 AND key_id <> $2
ORDER BY connection_id, field LIMIT $3
FOR UPDATE SKIP LOCKED

-- name: stale_secrets
SELECT id AS owner_id, 'value' AS field, key_id, sealed FROM secrets
WHERE tenant_id = $1 AND key_id <> $2
ORDER BY id LIMIT $3
FOR UPDATE SKIP LOCKED

-- name: reseal_connection_secret
UPDATE connection_secrets SET key_id = $4, sealed = $5
WHERE tenant_id = $1 AND connection_id = $2 AND field = $3

-- name: reseal_secret
UPDATE secrets SET key_id = $3, sealed = $4 WHERE tenant_id = $1 AND id = $2

-- name: stale_callback_keys
SELECT tenant_id AS owner_id, 'key' AS field, key_id, sealed FROM callback_keys
WHERE tenant_id = $1 AND key_id <> $2
LIMIT $3
FOR UPDATE SKIP LOCKED

-- name: reseal_callback_key
UPDATE callback_keys SET key_id = $2, sealed = $3 WHERE tenant_id = $1
