-- name: due
-- Sums of each pool (no tenant), and of the $1 tenants with most due over all pools (no pool). Each tenant that has unsent
-- rows in a pool is visited by one probe of dispatches_due_by_default or dispatches_due_in_pools, and its due rows are
-- counted in that index alone: what is parked for later costs nothing. They are asked for as a range from the tenant on,
-- up to it and now, so that dispatches_next, which holds all tenants' rows, serves for none; and backwards, because
-- before Postgres 18 such a range has an exact beginning alone. The transaction begins with `BY_QUEUE` (`dispatch/choosing.py`). `takable` is what the relay would send, had it
-- room: a tenant at its limit, which is over all pools, asks for no further runner. `oldest` is in seconds, of a pool the
-- oldest takable.
WITH RECURSIVE waiting (tenant_id) AS (
    (SELECT tenant_id FROM dispatches WHERE sent_at IS NULL AND pool IS NULL ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.tenant_id FROM dispatches d
            WHERE d.sent_at IS NULL AND d.pool IS NULL AND d.tenant_id > w.tenant_id
            ORDER BY d.tenant_id LIMIT 1)
    FROM waiting w WHERE w.tenant_id IS NOT NULL
),
waiting_in_pools (pool, tenant_id) AS (
    (SELECT pool, tenant_id FROM dispatches WHERE sent_at IS NULL AND pool IS NOT NULL
     ORDER BY pool, tenant_id LIMIT 1)
    UNION ALL
    SELECT n.pool, n.tenant_id
    FROM waiting_in_pools w
    CROSS JOIN LATERAL (
        SELECT d.pool, d.tenant_id FROM dispatches d
        WHERE d.sent_at IS NULL AND d.pool IS NOT NULL AND (d.pool, d.tenant_id) > (w.pool, w.tenant_id)
        ORDER BY d.pool, d.tenant_id LIMIT 1
    ) n
),
due AS (
    SELECT 'default' AS pool, w.tenant_id, counted.rows, counted.oldest
    FROM waiting w
    CROSS JOIN LATERAL (
        SELECT count(*) AS rows, min(queue.due_at) AS oldest
        FROM (SELECT d.due_at FROM dispatches d
              WHERE d.sent_at IS NULL AND d.pool IS NULL
                AND d.tenant_id >= w.tenant_id AND (d.tenant_id, d.due_at) <= (w.tenant_id, headrace_now())
              ORDER BY d.tenant_id DESC, d.due_at DESC) queue
    ) counted
    WHERE counted.rows > 0
    UNION ALL
    SELECT w.pool, w.tenant_id, counted.rows, counted.oldest
    FROM waiting_in_pools w
    CROSS JOIN LATERAL (
        SELECT count(*) AS rows, min(queue.due_at) AS oldest
        FROM (SELECT d.due_at FROM dispatches d
              WHERE d.pool = w.pool AND d.sent_at IS NULL
                AND d.tenant_id >= w.tenant_id AND (d.tenant_id, d.due_at) <= (w.tenant_id, headrace_now())
              ORDER BY d.tenant_id DESC, d.due_at DESC) queue
    ) counted
    WHERE counted.rows > 0
),
in_flight AS (
    SELECT coalesce(pool, 'default') AS pool, tenant_id, count(*) AS rows
    FROM dispatches WHERE sent_at IS NOT NULL GROUP BY 1, 2
),
both_counts AS (
    SELECT pool, tenant_id, coalesce(due.rows, 0) AS due, coalesce(in_flight.rows, 0) AS in_flight,
           coalesce(extract(epoch FROM headrace_now() - due.oldest), 0)::float8 AS oldest
    FROM due FULL JOIN in_flight USING (pool, tenant_id)
),
figures AS MATERIALIZED (
    SELECT c.pool, c.tenant_id, c.due, c.in_flight, c.oldest,
           least(c.due, greatest(t.max_runs_in_flight - sum(c.in_flight) OVER tenant
                                 - (sum(c.due) OVER by_pool - c.due), 0)) AS takable
    FROM both_counts c JOIN tenants t ON t.id = c.tenant_id
    WINDOW tenant AS (PARTITION BY c.tenant_id), by_pool AS (PARTITION BY c.tenant_id ORDER BY c.pool)
)
SELECT pool, NULL::uuid AS tenant_id, sum(due)::bigint AS due, sum(in_flight)::bigint AS in_flight,
       sum(takable)::bigint AS takable, coalesce(max(oldest) FILTER (WHERE takable > 0), 0) AS oldest
FROM figures GROUP BY pool
UNION ALL
(SELECT NULL, tenant_id, sum(due)::bigint AS due, sum(in_flight)::bigint AS in_flight, sum(takable)::bigint, max(oldest)
 FROM figures GROUP BY tenant_id
 ORDER BY due DESC, in_flight DESC, tenant_id
 LIMIT $1)

-- name: oldest_unclaimed
-- For how long, in each pool, the oldest run waits of those that were sent and that no runner has claimed; one that was
-- swept since waits as long as before. One probe of the run's row for each that is in flight, however the planner sees the size of that table.
SELECT coalesce(d.pool, 'default') AS pool,
       max(extract(epoch FROM headrace_now() - coalesce(d.waits_since, d.due_at)))::float8 AS oldest
FROM dispatches d
WHERE d.sent_at IS NOT NULL
  AND (SELECT r.claimed_by IS NULL FROM runs r WHERE r.id = d.run_id AND r.dispatch_id = d.id)
GROUP BY 1

-- name: runners
-- Every pool that there is, and those with a live lease in it.
SELECT p.name AS pool, count(r.id) AS runners, coalesce(sum(r.capacity), 0)::bigint AS capacity,
       coalesce(sum(cardinality(r.held)), 0)::bigint AS held
FROM pools p
LEFT JOIN runners r ON coalesce(r.pool, 'default') = p.name AND r.lease_until > headrace_now()
GROUP BY p.name
