-- name: one_relay_at_a_time
-- Fairness and the tenants' limits are counted over all that is sent, so cycles follow one another, on
-- however many control planes. The lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtext('headrace_relay'))

-- name: due
-- What to send now to one pool: at most $1 rows, in rounds over the tenants, each tenant's oldest first, and no tenant
-- above its limit of runs in flight. `{pool}` becomes the pool's condition (`choosing.py`): each of the two is served by
-- an index of its own, dispatches_due_by_default and dispatches_due_in_pools, and one statement for both by neither.
-- A tenant that already has much in flight takes its turn later, so a thousand queued runs of one delay nobody else's
-- first. The recursive part visits each tenant that has unsent rows by one index probe, which finds the first of them. A
-- tenant's limit is over all pools, its turn is not.
-- Of each tenant no more is read than its part of $2 rows: up to the turn that would be the last if all had enough (and
-- one more, so that a run alone is not taken for the first of many). Where some have less, others come later in the
-- order than they were read: then `cut` says that $2 has to be larger for $1 rows. There is one row at least, perhaps
-- without an id. Runs started at one moment are in no order among themselves: to sort them, all would have to be read.
-- A tenant's rows are asked for as a range, from the tenant to the tenant, in the order of an index with the tenant in it:
-- so dispatches_next, which holds all tenants' rows, serves for none. Those that are due are told apart behind the limit:
-- before Postgres 18 an upper bound of the time ends no such range, and all that is parked would be read.
WITH RECURSIVE waiting (tenant_id, due_at) AS (
    (SELECT tenant_id, due_at FROM dispatches WHERE sent_at IS NULL AND {pool} ORDER BY tenant_id, due_at LIMIT 1)
    UNION ALL
    SELECT n.tenant_id, n.due_at
    FROM waiting w
    CROSS JOIN LATERAL (
        SELECT d.tenant_id, d.due_at FROM dispatches d
        WHERE d.sent_at IS NULL AND {pool} AND d.tenant_id > w.tenant_id
        ORDER BY d.tenant_id, d.due_at LIMIT 1
    ) n
),
in_flight AS (
    SELECT tenant_id, count(*) AS runs, count(*) FILTER (WHERE {pool}) AS here
    FROM dispatches WHERE sent_at IS NOT NULL GROUP BY tenant_id
),
turns AS MATERIALIZED (
    SELECT t.id AS tenant_id, coalesce(f.here, 0) AS here,
           least($1::bigint, greatest(t.max_runs_in_flight - coalesce(f.runs, 0), 0)) AS room
    FROM waiting w
    JOIN tenants t ON t.id = w.tenant_id
    LEFT JOIN in_flight f ON f.tenant_id = w.tenant_id
    WHERE w.due_at <= headrace_now()
),
last AS (
    SELECT min(ceil(($2::bigint + here) / tenants))::bigint + 1 AS turn
    FROM (SELECT sum(here) OVER least_first AS here, row_number() OVER least_first AS tenants
          FROM turns WHERE room > 0
          WINDOW least_first AS (ORDER BY here, tenant_id ROWS UNBOUNDED PRECEDING)) level
),
due AS MATERIALIZED (
    SELECT u.here, u.room, last.turn - u.here AS reached, d.*
    FROM turns u
    CROSS JOIN last
    LEFT JOIN LATERAL (
        SELECT first.* FROM (
            SELECT d.id, d.tenant_id, d.run_id, d.due_at,
                   row_number() OVER (ORDER BY d.tenant_id, d.due_at ROWS UNBOUNDED PRECEDING) AS turn
            FROM dispatches d
            WHERE d.sent_at IS NULL AND {pool} AND d.tenant_id BETWEEN u.tenant_id AND u.tenant_id
            ORDER BY d.tenant_id, d.due_at
            LIMIT least(u.room, greatest(last.turn - u.here, 0))
        ) first
        WHERE first.due_at <= headrace_now()
    ) d ON true
)
SELECT due.id, due.tenant_id, due.run_id, whole.cut
FROM (SELECT bool_or(reached < room AND (reached <= 0 OR turn = reached)) AS cut FROM due) whole
LEFT JOIN due ON due.id IS NOT NULL
ORDER BY due.turn + due.here, due.due_at, due.id
LIMIT $1

-- name: pools
SELECT name FROM pools WHERE name <> 'default' ORDER BY name

-- name: pools_waiting
-- The pools that have unsent rows, each by one probe of dispatches_due_in_pools.
WITH RECURSIVE waiting (pool) AS (
    (SELECT pool FROM dispatches WHERE sent_at IS NULL AND pool IS NOT NULL ORDER BY pool LIMIT 1)
    UNION ALL
    SELECT (SELECT d.pool FROM dispatches d WHERE d.sent_at IS NULL AND d.pool > w.pool ORDER BY d.pool LIMIT 1)
    FROM waiting w WHERE w.pool IS NOT NULL
)
SELECT pool FROM waiting WHERE pool IS NOT NULL

-- name: traced
-- Asked only by who traces.
SELECT id, traceparent FROM runs WHERE id = ANY($1::uuid[]) AND traceparent IS NOT NULL

-- name: mark_sent
-- rule relay_deletes_what_it_sent: by dispatch id, never by run: the run may have parked meanwhile, and its
-- next dispatch is another row that was not sent. The row is marked instead of deleted, so that what is in
-- flight can be counted and swept. One whose run was moved out of the pool $2 meanwhile is not: it is sent there, and
-- this job will be refused.
-- And what `next_due` tells, as it is after that: a round trip less for a run that is alone in its cycle.
WITH marked AS (
    UPDATE dispatches SET sent_at = headrace_now()
    WHERE id = ANY($1::uuid[]) AND pool IS NOT DISTINCT FROM $2::text AND sent_at IS NULL
)
SELECT (SELECT min(due_at) FROM dispatches WHERE sent_at IS NULL AND due_at > headrace_now()) AS due_at,
       headrace_now() AS now,
       EXISTS (SELECT 1 FROM dispatches
               WHERE sent_at IS NULL AND due_at <= headrace_now() AND id <> ALL($1::uuid[])) AS held_back

-- name: next_due
-- The next timer; and whether something is due and unsent already, which waits for a place in flight or in a window.
SELECT (SELECT min(due_at) FROM dispatches WHERE sent_at IS NULL AND due_at > headrace_now()) AS due_at,
       headrace_now() AS now,
       EXISTS (SELECT 1 FROM dispatches WHERE sent_at IS NULL AND due_at <= headrace_now()) AS held_back

-- name: sweep
-- Sent, and nobody is at work on it: the claim has lapsed, or nobody ever claimed. The SAME id becomes due
-- again (rule sweep_keeps_dispatch_id: a new id for each sweep would starve a run in a long queue for ever).
-- The run's row is locked first, like everywhere else; SKIP LOCKED, for a locked row is being advanced. It goes to the
-- run's pool, whichever it was sent to.
WITH idle AS (
    SELECT d.id, r.pool, r.claimed_by
    FROM dispatches d
    JOIN runs r ON r.id = d.run_id
    LEFT JOIN runners holder ON holder.id = r.claimed_by
    WHERE d.sent_at IS NOT NULL
      AND d.id = r.dispatch_id
      AND (
        -- rule sweep_lapsed_claims
        (r.claimed_by IS NOT NULL AND NOT (
            holder.id IS NOT NULL AND holder.lease_until > headrace_now()
            AND (r.id = ANY(holder.held) OR r.claimed_in_call > holder.calls_settled)))
        -- rule sweep_unclaimed
        OR (r.claimed_by IS NULL AND d.sent_at < headrace_now() - $1::interval))
    ORDER BY d.sent_at
    LIMIT 1000
    FOR UPDATE OF r, d SKIP LOCKED
)
UPDATE dispatches d
SET sent_at = NULL, due_at = headrace_now(), pool = idle.pool,
    waits_since = CASE WHEN idle.claimed_by IS NULL THEN coalesce(d.waits_since, d.due_at) END
FROM idle WHERE d.id = idle.id
RETURNING d.id

-- name: forget_runners
-- Leases long over, whose runs have all been taken over.
DELETE FROM runners r
WHERE r.lease_until < headrace_now() - interval '10 minutes'
  AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.claimed_by = r.id)
