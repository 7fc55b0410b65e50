-- name: tenants
-- The $1 tenants with most due, and on each row the sums over all tenants. Each tenant that has unsent rows is visited
-- by one probe of dispatches_due, and its due rows are counted in that index alone: what is parked for later costs
-- nothing. `takable` is what the relay would send, had it room: a tenant at its limit asks for no further runner.
WITH RECURSIVE waiting (tenant_id) AS (
    (SELECT tenant_id FROM dispatches WHERE sent_at IS NULL ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.tenant_id FROM dispatches d
            WHERE d.sent_at IS NULL AND d.tenant_id > w.tenant_id ORDER BY d.tenant_id LIMIT 1)
    FROM waiting w WHERE w.tenant_id IS NOT NULL
),
due AS (
    SELECT w.tenant_id, counted.rows, counted.oldest
    FROM waiting w
    CROSS JOIN LATERAL (
        SELECT count(*) AS rows, min(d.due_at) AS oldest
        FROM dispatches d
        WHERE d.tenant_id = w.tenant_id AND d.sent_at IS NULL AND d.due_at <= headrace_now()
    ) counted
    WHERE counted.rows > 0
),
in_flight AS (
    SELECT tenant_id, count(*) AS rows FROM dispatches WHERE sent_at IS NOT NULL GROUP BY tenant_id
),
both_counts AS (
    SELECT tenant_id, coalesce(due.rows, 0) AS due, coalesce(in_flight.rows, 0) AS in_flight,
           coalesce(extract(epoch FROM headrace_now() - due.oldest), 0)::float8 AS oldest_seconds
    FROM due FULL JOIN in_flight USING (tenant_id)
),
figures AS (
    SELECT c.tenant_id, c.due, c.in_flight, c.oldest_seconds,
           least(c.due, greatest(t.max_runs_in_flight - c.in_flight, 0)) AS takable
    FROM both_counts c JOIN tenants t ON t.id = c.tenant_id
)
SELECT tenant_id, due, in_flight, oldest_seconds,
       sum(due) OVER ()::bigint AS all_due, sum(in_flight) OVER ()::bigint AS all_in_flight,
       sum(takable) OVER ()::bigint AS all_takable,
       max(oldest_seconds) FILTER (WHERE takable > 0) OVER () AS oldest_takable
FROM figures
ORDER BY due DESC, in_flight DESC, tenant_id
LIMIT $1

-- name: oldest_unclaimed
-- For how long the oldest run waits of those that were sent and that no runner has claimed. One probe of the run's row
-- for each that is in flight, however the planner sees the size of that table.
SELECT coalesce(max(extract(epoch FROM headrace_now() - d.due_at)), 0)::float8
FROM dispatches d
WHERE d.sent_at IS NOT NULL
  AND (SELECT r.claimed_by IS NULL FROM runs r WHERE r.id = d.run_id AND r.dispatch_id = d.id)

-- name: runners
SELECT count(*) AS runners, coalesce(sum(capacity), 0)::bigint AS capacity,
       coalesce(sum(cardinality(held)), 0)::bigint AS held
FROM runners WHERE lease_until > headrace_now()
