-- name: take_turn
-- Held until the append commits: numbers then become visible in order, and a follower that has read up to a
-- number has missed none below it.
SELECT pg_advisory_xact_lock(hashtext('headrace_logs'))

-- name: append
INSERT INTO log_records
    (id, tenant_id, run_id, at, expires_at, attempt, level, step, message, context, terms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (id) DO NOTHING

-- name: wake_followers
SELECT pg_notify('headrace_logs', tenant) FROM unnest($1::text[]) AS tenant

-- name: search
SELECT id, tenant_id, run_id, at, level, message, step, attempt, context
FROM headrace_search_logs($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: newest_number
SELECT coalesce(max(number), 0) AS newest FROM log_records WHERE tenant_id = $1

-- name: by_time
-- What was there when a follower came, by time: a range of log_records_newest, read backwards.
SELECT id, tenant_id, run_id, at, level, message, step, attempt, context
FROM log_records
WHERE tenant_id = $1 AND at >= $6 AND (at, id) > ($8, $9) AND number <= $10
  AND terms @> $2 AND ($3::smallint IS NULL OR level >= $3) AND ($4::uuid IS NULL OR run_id = $4)
  AND ($5::text IS NULL OR step = $5) AND ($7::timestamptz IS NULL OR at < $7)
ORDER BY at, id
LIMIT $11

-- name: by_number
-- What came since: a range of log_records_stored.
SELECT id, tenant_id, run_id, at, level, message, step, attempt, context, number
FROM log_records
WHERE tenant_id = $1 AND number > $8 AND number <= $9
  AND terms @> $2 AND ($3::smallint IS NULL OR level >= $3) AND ($4::uuid IS NULL OR run_id = $4)
  AND ($5::text IS NULL OR step = $5) AND ($6::timestamptz IS NULL OR at >= $6)
  AND ($7::timestamptz IS NULL OR at < $7)
ORDER BY number
LIMIT $10

-- name: purge
WITH expired AS MATERIALIZED (
    SELECT id FROM log_records WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
)
DELETE FROM log_records r USING expired e WHERE r.id = e.id

-- name: forget
WITH theirs AS MATERIALIZED (
    SELECT id FROM log_records WHERE tenant_id = $1 LIMIT $2
)
DELETE FROM log_records r USING theirs t WHERE r.id = t.id
