-- name: by_action
SELECT action, count(*) AS results, max(kept_at) AS newest_at, max(expires_at) AS until
FROM cached_results
WHERE tenant_id = $1 AND expires_at > headrace_now()
GROUP BY action
ORDER BY action
LIMIT $2

-- name: forget
WITH gone AS (
    DELETE FROM cached_results WHERE tenant_id = $1 AND ($2::text IS NULL OR action = $2) RETURNING 1
)
SELECT count(*) FROM gone
