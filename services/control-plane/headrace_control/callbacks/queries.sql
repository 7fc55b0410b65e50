-- name: key
SELECT key_id, sealed FROM callback_keys WHERE tenant_id = $1

-- name: add_key
-- Two may find no key at once; the first one's is the tenant's.
INSERT INTO callback_keys (tenant_id, key_id, sealed) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id) DO NOTHING

-- name: now
SELECT headrace_now() AS now
