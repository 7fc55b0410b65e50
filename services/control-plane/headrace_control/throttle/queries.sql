-- name: connection_of_run
-- The tenant, and the limits of a connection that the run's version names, for whom the run was claimed by last. What
-- became of a call may be told after the claim has closed ($6).
SELECT r.tenant_id, coalesce(c.limits, a.limits) AS limits
FROM runs r
JOIN workflow_versions v ON v.tenant_id = r.tenant_id AND v.id = r.version_id
JOIN connections c ON c.tenant_id = r.tenant_id AND c.id = $2
JOIN apps a ON a.tenant_id = c.tenant_id AND a.id = c.app_id
WHERE r.id = $1 AND r.epoch = $3 AND r.claim_token = $4 AND (r.claimed_by = $5 OR $6)
  AND EXISTS (SELECT 1 FROM jsonb_each_text(v.resolved -> 'connections') AS named WHERE named.value = $2::text)

-- name: lock_throttle
INSERT INTO throttles (tenant_id, connection_id) VALUES ($1, $2)
ON CONFLICT (tenant_id, connection_id) DO UPDATE SET connection_id = excluded.connection_id
RETURNING failures, failed_at, openings, open_until, probe_until, tokens, refilled_at

-- name: now
SELECT headrace_now()

-- name: keep_throttle
UPDATE throttles
SET failures = $3, failed_at = $4, openings = $5, open_until = $6, probe_until = $7, tokens = $8, refilled_at = $9
WHERE tenant_id = $1 AND connection_id = $2

-- name: not_closed
-- Breakers that are open or half open, the last opened first, and for how many seconds more.
SELECT connection_id, greatest(extract(epoch FROM open_until - headrace_now()), 0)::float8 AS seconds
FROM throttles WHERE open_until IS NOT NULL
ORDER BY open_until DESC
LIMIT $1

-- name: count_open
SELECT count(*) FROM throttles WHERE open_until > headrace_now()
