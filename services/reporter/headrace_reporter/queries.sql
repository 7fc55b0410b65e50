-- name: lock_runs
-- Signals, cancels, claims and the reporter all lock the run's row; ordered, so that batches do not deadlock.
SELECT id, tenant_id, status, dispatch_id, epoch, claimed_by IS NOT NULL AS claim_open, fence_epoch, fence_seq,
       cancel_requested, limited
FROM runs WHERE id = ANY($1::uuid[])
ORDER BY id
FOR UPDATE

-- name: now
SELECT headrace_now() AS now

-- name: write_events
INSERT INTO events (tenant_id, run_id, epoch, seq, kind, step, at, data)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::int[], $5::text[], $6::text[], $7::timestamptz[],
    $8::text[]::jsonb[])
ON CONFLICT DO NOTHING

-- name: write_attempts
INSERT INTO attempts (tenant_id, run_id, step, number, epoch, outcome, http_status, error, address, started_at,
    duration_ms)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::int[], $6::text[], $7::int[],
    $8::text[]::jsonb[], $9::text[], $10::timestamptz[], $11::int[])
ON CONFLICT DO NOTHING

-- name: write_steps
-- One row per step that the batch touched, as it stands after the batch. A step that has ended stays ended.
INSERT INTO step_runs AS s (tenant_id, run_id, key, status, attempts, input, output, error, in_flight, retry_at,
    started_at, finished_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::int[], $6::text[]::jsonb[],
    $7::text[]::jsonb[], $8::text[]::jsonb[], $9::bool[], $10::timestamptz[], $11::timestamptz[],
    $12::timestamptz[])
ON CONFLICT (run_id, key) DO UPDATE
SET status = excluded.status, attempts = greatest(s.attempts, excluded.attempts),
    input = coalesce(excluded.input, s.input), output = excluded.output, error = excluded.error,
    in_flight = excluded.in_flight, retry_at = excluded.retry_at,
    started_at = coalesce(s.started_at, excluded.started_at), finished_at = excluded.finished_at
WHERE s.status NOT IN ('SUCCESS', 'FAILED', 'SKIPPED', 'CACHED', 'CANCELED', 'COMPENSATED')

-- name: cancel_open_steps
-- Steps that had begun and not ended when their run ended are canceled with it. One in doubt stays in doubt.
UPDATE step_runs SET status = 'CANCELED', in_flight = false, retry_at = NULL, finished_at = headrace_now()
WHERE run_id = ANY($1::uuid[]) AND status IN ('QUEUED', 'RUNNING', 'WAITING')

-- name: raise_fence
-- The fence is what was APPLIED, written in the transaction that applies (rule fence_in_partition_order).
UPDATE runs r
SET fence_epoch = n.epoch, fence_seq = n.seq,
    fruitless_claims = CASE WHEN n.progress THEN 0 ELSE r.fruitless_claims END
FROM unnest($1::uuid[], $2::int[], $3::int[], $4::bool[]) AS n (id, epoch, seq, progress)
WHERE r.id = n.id AND (r.fence_epoch, r.fence_seq) < (n.epoch, n.seq)

-- name: park_runs
-- Closes the claim and mints the next dispatch: the one transaction that changes a run's dispatch id.
UPDATE runs r
SET status = 'WAITING', wait_reason = n.reason, claimed_by = NULL, claimed_in_call = NULL,
    dispatch_id = n.dispatch_id
FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS n (id, reason, dispatch_id)
WHERE r.id = n.id AND r.status IN ('RUNNING', 'WAITING') AND r.claimed_by IS NOT NULL

-- name: end_runs
UPDATE runs r
SET status = n.status, wait_reason = NULL, result = n.result::jsonb, error = n.error::jsonb, finished_at = n.at,
    claimed_by = NULL, claimed_in_call = NULL
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) AS n (id, status, result, error, at)
WHERE r.id = n.id AND r.status IN ('RUNNING', 'WAITING')

-- name: drop_dispatches
DELETE FROM dispatches WHERE run_id = ANY($1::uuid[])

-- name: add_dispatches
INSERT INTO dispatches (id, tenant_id, run_id, due_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[])

-- name: set_run_aside
UPDATE runs
SET status = 'WAITING', wait_reason = 'DEAD_LETTER', claimed_by = NULL, claimed_in_call = NULL,
    fence_epoch = epoch, fence_seq = 2147483647
WHERE id = $1 AND status IN ('QUEUED', 'RUNNING', 'WAITING')

-- name: add_dead_letter
INSERT INTO dead_letters (id, tenant_id, run_id, source, reason, body) VALUES ($1, $2, $3, $4, $5, $6)

-- name: notify
SELECT pg_notify($1, $2)

-- name: renew_reporter
INSERT INTO reporters (id, until) VALUES ($1, headrace_now() + $2::interval)
ON CONFLICT (id) DO UPDATE SET until = excluded.until

-- name: reporters_alive
SELECT count(*) FROM reporters WHERE until > headrace_now()

-- name: forget_reporters
DELETE FROM reporters WHERE until < headrace_now() - interval '1 hour'

-- name: renew_partitions
UPDATE partition_leases SET until = headrace_now() + $2::interval
WHERE reporter_id = $1 AND until > headrace_now()
RETURNING partition

-- name: take_partitions
-- Up to $3 partitions of the $4 that exist, which nobody holds or whose holder's lease is over.
INSERT INTO partition_leases AS p (partition, reporter_id, until)
SELECT n, $1, headrace_now() + $2::interval
FROM generate_series(0, $4::int - 1) AS n
WHERE NOT EXISTS (SELECT 1 FROM partition_leases l WHERE l.partition = n AND l.until > headrace_now())
ORDER BY n
LIMIT $3::int
ON CONFLICT (partition) DO UPDATE SET reporter_id = excluded.reporter_id, until = excluded.until
WHERE p.until <= headrace_now()
RETURNING partition

-- name: give_up_partitions
DELETE FROM partition_leases WHERE reporter_id = $1 AND partition = ANY($2::int[])

-- name: give_up_all
DELETE FROM partition_leases WHERE reporter_id = $1

-- name: leave
DELETE FROM reporters WHERE id = $1
