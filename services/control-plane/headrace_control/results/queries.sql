-- name: by_action
SELECT c.action, count(*) AS results, max(c.kept_at) AS newest_at, max(c.expires_at) AS until
FROM cached_results c
WHERE c.tenant_id = $1 AND c.expires_at > headrace_now()
  AND NOT EXISTS (
      SELECT 1 FROM forgotten_results f
      WHERE f.tenant_id = $1 AND f.action IN (c.action, '*') AND f.at >= c.kept_at)
GROUP BY c.action
ORDER BY c.action
LIMIT $2

-- name: standing
-- Whether there is such an action ($2; NULL: all), and how many of its results stand for calls.
SELECT $2::text IS NULL OR EXISTS (
           SELECT 1 FROM actions a JOIN apps p ON p.tenant_id = a.tenant_id AND p.id = a.app_id
           WHERE a.tenant_id = $1 AND p.name || '/' || a.name = $2) AS known,
       (SELECT count(*) FROM cached_results c
        WHERE c.tenant_id = $1 AND ($2 IS NULL OR c.action = $2) AND c.expires_at > headrace_now()
          AND NOT EXISTS (
              SELECT 1 FROM forgotten_results f
              WHERE f.tenant_id = $1 AND f.action IN (c.action, '*') AND f.at >= c.kept_at)) AS results

-- name: forget
INSERT INTO forgotten_results AS f (tenant_id, action, at) VALUES ($1, coalesce($2, '*'), headrace_now())
ON CONFLICT (tenant_id, action) DO UPDATE SET at = greatest(f.at, excluded.at)
