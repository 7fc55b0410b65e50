-- name: lock_slots
-- Locks what is limited together, and makes the row of it where there is none. In order, so that batches do not
-- deadlock. A row that its last run's end deletes meanwhile is inserted anew.
INSERT INTO concurrency_slots (tenant_id, workflow_id, key)
SELECT tenant_id, workflow_id, key FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS s (tenant_id, workflow_id, key)
ORDER BY tenant_id, workflow_id, key
ON CONFLICT (tenant_id, workflow_id, key) DO UPDATE SET key = excluded.key

-- name: lock_slots_of
-- As above, from runs that are about to leave. Their turns keep the rows from being deleted.
SELECT tenant_id, workflow_id, key FROM concurrency_slots
WHERE (tenant_id, workflow_id, key) IN (
    SELECT t.tenant_id, t.workflow_id, t.key FROM concurrency_turns t WHERE t.run_id = ANY($1::uuid[]))
ORDER BY tenant_id, workflow_id, key
FOR UPDATE

-- name: enter
INSERT INTO concurrency_turns (tenant_id, workflow_id, key, run_id, dispatch_id, max_runs)
SELECT tenant_id, workflow_id, key, run_id, dispatch_id, max_runs
FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::uuid[], $5::uuid[], $6::int[])
    WITH ORDINALITY AS t (tenant_id, workflow_id, key, run_id, dispatch_id, max_runs, n)
ORDER BY n

-- name: leave
DELETE FROM concurrency_turns WHERE run_id = ANY($1::uuid[])

-- name: step_out
-- Those that still waited for their turn: their CURRENT dispatches become due, for their claims tell of the cancel.
WITH gone AS (
    DELETE FROM concurrency_turns WHERE run_id = ANY($1::uuid[]) AND NOT admitted
    RETURNING tenant_id, run_id, dispatch_id
),
due AS (
    INSERT INTO dispatches (id, tenant_id, run_id, due_at, pool)
    SELECT dispatch_id, tenant_id, run_id, headrace_now(), (SELECT r.pool FROM runs r WHERE r.id = run_id) FROM gone
    ON CONFLICT (run_id) DO NOTHING
)
SELECT run_id FROM gone

-- name: admit
-- One after another, the oldest of those that wait first: each counts those before it against its own version's limit,
-- and the first that has no room ends it, for none overtakes another. Their CURRENT dispatches become due.
WITH RECURSIVE line AS (
    SELECT s.tenant_id, s.workflow_id, s.key, next.run_id, next.place, held.runs + 1 AS runs
    FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS s (tenant_id, workflow_id, key)
    CROSS JOIN LATERAL (
        SELECT count(*) AS runs FROM concurrency_turns t
        WHERE t.tenant_id = s.tenant_id AND t.workflow_id = s.workflow_id AND t.key = s.key AND t.admitted
    ) held
    CROSS JOIN LATERAL (
        SELECT run_id, place, max_runs FROM concurrency_turns t
        WHERE t.tenant_id = s.tenant_id AND t.workflow_id = s.workflow_id AND t.key = s.key AND NOT t.admitted
        ORDER BY place
        LIMIT 1
    ) next
    WHERE held.runs < next.max_runs
    UNION ALL
    SELECT l.tenant_id, l.workflow_id, l.key, next.run_id, next.place, l.runs + 1
    FROM line l
    CROSS JOIN LATERAL (
        SELECT run_id, place, max_runs FROM concurrency_turns t
        WHERE t.tenant_id = l.tenant_id AND t.workflow_id = l.workflow_id AND t.key = l.key AND NOT t.admitted
          AND t.place > l.place
        ORDER BY place
        LIMIT 1
    ) next
    WHERE l.runs < next.max_runs
),
admitted AS (
    UPDATE concurrency_turns t SET admitted = true FROM line
    WHERE t.run_id = line.run_id
    RETURNING t.tenant_id, t.run_id, t.dispatch_id
),
due AS (
    INSERT INTO dispatches (id, tenant_id, run_id, due_at, pool)
    SELECT dispatch_id, tenant_id, run_id, headrace_now(), (SELECT r.pool FROM runs r WHERE r.id = run_id)
    FROM admitted
    ON CONFLICT (run_id) DO NOTHING
)
SELECT run_id FROM admitted

-- name: forget_empty
DELETE FROM concurrency_slots c
USING unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS s (tenant_id, workflow_id, key)
WHERE c.tenant_id = s.tenant_id AND c.workflow_id = s.workflow_id AND c.key = s.key
  AND NOT EXISTS (
    SELECT 1 FROM concurrency_turns t
    WHERE t.tenant_id = c.tenant_id AND t.workflow_id = c.workflow_id AND t.key = c.key)
