-- name: active_key
-- FOR SHARE: who seals under it holds it active until the value is stored. So once it is retired nothing more
-- comes to stand under it, and when nothing stands under it any more it can be deleted.
SELECT id, provider, wrapped_by, wrapped FROM data_keys WHERE tenant_id = $1 AND active
FOR SHARE

-- name: insert_key
-- Two may find no key at once; the index on the active one lets a single one in. None once they were shredded.
INSERT INTO data_keys (tenant_id, id, provider, wrapped_by, wrapped)
SELECT t.id, $2, $3, $4, $5 FROM tenants t WHERE t.id = $1 AND t.keys_shredded_at IS NULL FOR SHARE
ON CONFLICT (tenant_id) WHERE active DO NOTHING

-- name: retire_key
UPDATE data_keys SET active = false WHERE tenant_id = $1 AND active

-- name: delete_unused_keys
WITH gone AS (
    DELETE FROM data_keys k
    WHERE k.tenant_id = $1 AND NOT k.active
      AND NOT EXISTS (SELECT 1 FROM connection_secrets s WHERE s.tenant_id = $1 AND s.key_id = k.id)
      AND NOT EXISTS (SELECT 1 FROM secrets s WHERE s.tenant_id = $1 AND s.key_id = k.id)
      AND NOT EXISTS (SELECT 1 FROM callback_keys s WHERE s.tenant_id = $1 AND s.key_id = k.id)
      AND NOT EXISTS (SELECT 1 FROM output_keys s WHERE s.tenant_id = $1 AND s.key_id = k.id)
      AND NOT EXISTS (SELECT 1 FROM signing_secrets s WHERE s.tenant_id = $1 AND s.key_id = k.id)
    RETURNING 1)
SELECT count(*) FROM gone

-- name: progress
-- What stands under the active key, and what under another.
WITH sealed AS (
    SELECT key_id FROM connection_secrets WHERE tenant_id = $1
    UNION ALL SELECT key_id FROM secrets WHERE tenant_id = $1
    UNION ALL SELECT key_id FROM callback_keys WHERE tenant_id = $1
    UNION ALL SELECT key_id FROM output_keys WHERE tenant_id = $1
    UNION ALL SELECT key_id FROM signing_secrets WHERE tenant_id = $1),
active AS (SELECT id, created_at FROM data_keys WHERE tenant_id = $1 AND active)
SELECT (SELECT count(*) FROM sealed) AS values,
       (SELECT count(*) FROM sealed WHERE key_id IS DISTINCT FROM (SELECT id FROM active)) AS remaining,
       (SELECT count(*) FROM data_keys WHERE tenant_id = $1) AS data_keys,
       (SELECT created_at FROM active) AS active_since,
       (SELECT keys_shredded_at FROM tenants WHERE id = $1) AS shredded_at

-- name: stale_connection_secrets
-- SKIP LOCKED: what somebody is changing now is sealed under the new key by them.
SELECT s.connection_id AS owner_id, s.field, s.key_id, s.sealed, k.provider, k.wrapped_by, k.wrapped
FROM connection_secrets s JOIN data_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
WHERE s.tenant_id = $1 AND s.key_id <> $2 AND (s.connection_id, s.field) > ($3::uuid, $4::text)
ORDER BY s.connection_id, s.field LIMIT $5
FOR UPDATE OF s SKIP LOCKED

-- name: stale_secrets
SELECT s.id AS owner_id, 'value' AS field, s.key_id, s.sealed, k.provider, k.wrapped_by, k.wrapped
FROM secrets s JOIN data_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
WHERE s.tenant_id = $1 AND s.key_id <> $2 AND (s.id, 'value') > ($3::uuid, $4::text)
ORDER BY s.id LIMIT $5
FOR UPDATE OF s SKIP LOCKED

-- name: stale_callback_keys
SELECT s.tenant_id AS owner_id, 'key' AS field, s.key_id, s.sealed, k.provider, k.wrapped_by, k.wrapped
FROM callback_keys s JOIN data_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
WHERE s.tenant_id = $1 AND s.key_id <> $2 AND (s.tenant_id, 'key') > ($3::uuid, $4::text)
LIMIT $5
FOR UPDATE OF s SKIP LOCKED

-- name: stale_output_keys
SELECT s.tenant_id AS owner_id, 'key' AS field, s.key_id, s.sealed, k.provider, k.wrapped_by, k.wrapped
FROM output_keys s JOIN data_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
WHERE s.tenant_id = $1 AND s.key_id <> $2 AND (s.tenant_id, 'key') > ($3::uuid, $4::text)
LIMIT $5
FOR UPDATE OF s SKIP LOCKED

-- name: stale_signing_secrets
SELECT s.id AS owner_id, 'secret' AS field, s.key_id, s.sealed, k.provider, k.wrapped_by, k.wrapped
FROM signing_secrets s JOIN data_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
WHERE s.tenant_id = $1 AND s.key_id <> $2 AND (s.id, 'secret') > ($3::uuid, $4::text)
ORDER BY s.id LIMIT $5
FOR UPDATE OF s SKIP LOCKED

-- name: reseal_connection_secret
UPDATE connection_secrets SET key_id = $4, sealed = $5
WHERE tenant_id = $1 AND connection_id = $2 AND field = $3

-- name: reseal_secret
UPDATE secrets SET key_id = $4, sealed = $5 WHERE tenant_id = $1 AND id = $2 AND $3 = 'value'::text

-- name: reseal_callback_key
UPDATE callback_keys SET key_id = $4, sealed = $5 WHERE tenant_id = $1 AND tenant_id = $2 AND $3 = 'key'::text

-- name: reseal_output_key
UPDATE output_keys SET key_id = $4, sealed = $5 WHERE tenant_id = $1 AND tenant_id = $2 AND $3 = 'key'::text

-- name: reseal_signing_secret
UPDATE signing_secrets SET key_id = $4, sealed = $5 WHERE tenant_id = $1 AND id = $2 AND $3 = 'secret'::text

-- name: wrapping_keys
SELECT provider, wrapped_by, data_keys, tenants FROM headrace_wrapping_keys()

-- name: tenants_wrapped_otherwise
SELECT tenant_id FROM headrace_wrapped_otherwise($1, $2, $3, $4)

-- name: keys_wrapped_otherwise
-- Two may wrap anew at once: the second waits for the first, and then finds nothing to do.
SELECT id, provider, wrapped_by, wrapped FROM data_keys
WHERE tenant_id = $1 AND (provider, wrapped_by) <> ($2, $3)
ORDER BY id
FOR NO KEY UPDATE

-- name: rewrap_key
UPDATE data_keys SET provider = $3, wrapped_by = $4, wrapped = $5 WHERE tenant_id = $1 AND id = $2

-- name: tenant_named
SELECT headrace_tenant_named($1)

-- name: mark_shredded
-- No data key is made from here on.
UPDATE tenants SET keys_shredded_at = coalesce(keys_shredded_at, headrace_now()) WHERE id = $1
RETURNING keys_shredded_at

-- name: shred_connection_secrets
WITH gone AS (DELETE FROM connection_secrets WHERE tenant_id = $1 RETURNING 1) SELECT count(*) FROM gone

-- name: shred_secrets
WITH gone AS (DELETE FROM secrets WHERE tenant_id = $1 RETURNING 1) SELECT count(*) FROM gone

-- name: shred_callback_keys
WITH gone AS (DELETE FROM callback_keys WHERE tenant_id = $1 RETURNING 1) SELECT count(*) FROM gone

-- name: shred_output_keys
WITH gone AS (DELETE FROM output_keys WHERE tenant_id = $1 RETURNING 1) SELECT count(*) FROM gone

-- name: shred_signing_secrets
WITH gone AS (DELETE FROM signing_secrets WHERE tenant_id = $1 RETURNING 1) SELECT count(*) FROM gone

-- name: lock_data_keys
-- Before what stands under them: who seals now holds one, and is waited for. Before the tenant's row too, as a
-- rotation takes them; and once more after it, for a key that was made in between.
SELECT id FROM data_keys WHERE tenant_id = $1 ORDER BY id FOR UPDATE

-- name: shred_data_keys
WITH gone AS (DELETE FROM data_keys WHERE tenant_id = $1 RETURNING 1) SELECT count(*) FROM gone

-- name: was_shredded
SELECT keys_shredded_at IS NOT NULL FROM tenants WHERE id = $1

-- name: output_key
SELECT s.key_id, s.sealed, k.provider, k.wrapped_by, k.wrapped
FROM output_keys s JOIN data_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
WHERE s.tenant_id = $1

-- name: add_output_key
-- Two may find no root at once; the first one's is the tenant's.
INSERT INTO output_keys (tenant_id, key_id, sealed) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id) DO NOTHING
