-- name: valid_secrets
-- {owner} is the column that names whose they are. With their keys, in one statement: a rotation that deletes a key in
-- between has nothing to come between.
SELECT s.id, s.key_id, s.sealed, k.provider, k.wrapped_by, k.wrapped
FROM signing_secrets s JOIN data_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
WHERE s.tenant_id = $1 AND s.{owner} = $2 AND (s.expires_at IS NULL OR s.expires_at > headrace_now())

-- name: drop_secrets
-- Two at most are ever valid: with a new one, only the newest of those that were stays for a while.
DELETE FROM signing_secrets
WHERE tenant_id = $1 AND {owner} = $2 AND (expires_at IS NOT NULL OR $3::interval <= interval '0')

-- name: end_secret
UPDATE signing_secrets SET expires_at = headrace_now() + $3::interval
WHERE tenant_id = $1 AND {owner} = $2 AND expires_at IS NULL

-- name: add_secret
INSERT INTO signing_secrets (tenant_id, id, {owner}, key_id, sealed) VALUES ($1, $2, $3, $4, $5)
