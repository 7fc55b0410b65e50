-- name: by_action
SELECT action, count(*) AS results, max(kept_at) AS newest_at, max(expires_at) AS until
FROM cached_results
WHERE tenant_id = $1 AND expires_at > headrace_now()
GROUP BY action
ORDER BY action
LIMIT $2

-- name: forget
-- In the order in which the reporter writes them: the two never wait for each other in a circle.
WITH found AS (
    SELECT slot FROM cached_results
    WHERE tenant_id = $1 AND ($2::text IS NULL OR action = $2)
    ORDER BY slot
    FOR UPDATE
),
gone AS (
    DELETE FROM cached_results c USING found f WHERE c.tenant_id = $1 AND c.slot = f.slot RETURNING 1
)
SELECT count(*) FROM gone
