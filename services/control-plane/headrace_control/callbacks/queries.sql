-- name: key
SELECT s.key_id, s.sealed, k.provider, k.wrapped_by, k.wrapped
FROM callback_keys s JOIN data_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
WHERE s.tenant_id = $1

-- name: add_key
-- Two may find no key at once; the first one's is the tenant's.
INSERT INTO callback_keys (tenant_id, key_id, sealed) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id) DO NOTHING

-- name: now
SELECT headrace_now() AS now

-- name: wait_is_over
-- Ended, by its deadline or by another signal; or its deadline has passed, and nobody has looked since.
SELECT EXISTS (
    SELECT 1 FROM waits
    WHERE tenant_id = $1 AND run_id = $2 AND step = $3 AND (status = 'CLOSED' OR due_at <= headrace_now()))
