-- name: quotas
SELECT t.max_runs_in_flight AS runs_in_flight, q.unfinished_runs, q.stored_runs, q.starts_per_minute, q.input_bytes,
       q.loop_items, q.log_records
FROM tenants t LEFT JOIN quotas q ON q.tenant_id = t.id
WHERE t.id = $1

-- name: usage
SELECT (SELECT count(*) FROM dispatches WHERE tenant_id = $1 AND sent_at IS NOT NULL) AS runs_in_flight,
       (SELECT count(*) FROM runs WHERE tenant_id = $1
        AND status IN ('QUEUED', 'RUNNING', 'WAITING', 'PAUSED', 'COMPENSATING')) AS unfinished_runs,
       (SELECT runs_counted FROM quotas WHERE tenant_id = $1 AND counted_at IS NOT NULL) AS stored_runs

-- name: set_runs_in_flight
UPDATE tenants SET max_runs_in_flight = $2 WHERE id = $1

-- name: set_quotas
INSERT INTO quotas (tenant_id, unfinished_runs, stored_runs, starts_per_minute, input_bytes, loop_items, log_records)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id) DO UPDATE
SET unfinished_runs = excluded.unfinished_runs, stored_runs = excluded.stored_runs,
    starts_per_minute = excluded.starts_per_minute, input_bytes = excluded.input_bytes,
    loop_items = excluded.loop_items, log_records = excluded.log_records

-- name: lock_quotas
-- Starts of a tenant with such quotas follow one another, so that two do not take the same place. The one before may
-- have begun after this one, and have the later time. Nothing is counted from -infinity: before Postgres 17 there is no
-- interval of that length.
SELECT unfinished_runs, stored_runs, runs_counted, starts_per_minute,
       least(starts_per_minute, starts_left + starts_per_minute * greatest(0, extract(epoch FROM
           headrace_now() - greatest(refilled_at, headrace_now() - interval '1 minute'))::float8) / 60) AS starts_left
FROM quotas WHERE tenant_id = $1 FOR UPDATE

-- name: count_unfinished
-- No further than to the quota ($2): what is above it makes no difference.
SELECT count(*) FROM (
    SELECT 1 FROM runs
    WHERE tenant_id = $1 AND status IN ('QUEUED', 'RUNNING', 'WAITING', 'PAUSED', 'COMPENSATING')
    LIMIT $2
) unfinished

-- name: take_starts
-- What is left ($2) after these starts; they count as stored at once.
UPDATE quotas
SET starts_left = coalesce($2, 0), refilled_at = greatest(refilled_at, headrace_now()), runs_counted = runs_counted + $3
WHERE tenant_id = $1

-- name: to_be_counted
SELECT tenant_id FROM quotas
WHERE stored_runs IS NOT NULL AND (counted_at IS NULL OR counted_at < headrace_now() - interval '1 minute')
ORDER BY tenant_id
LIMIT 100

-- name: count_stored
UPDATE quotas SET runs_counted = (SELECT count(*) FROM runs WHERE tenant_id = $1), counted_at = headrace_now()
WHERE tenant_id = $1

-- name: named
SELECT headrace_tenant_named($1)

-- name: of_runs
-- For claims: what runners keep to.
SELECT tenant_id, loop_items, log_records FROM quotas
WHERE tenant_id = ANY($1::uuid[]) AND (loop_items IS NOT NULL OR log_records IS NOT NULL)
