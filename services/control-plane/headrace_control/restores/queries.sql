-- name: in_recovery
SELECT pg_is_in_recovery()

-- name: events_on_the_bus
-- Of the embedded bus, whose messages came back with the runs.
SELECT count(*) FROM bus_messages WHERE queue ~ '(^|\.)events\.[0-9]+$'

-- name: forget_processes
-- Leases and sessions of processes from before: nobody of them may act on what was restored without coming in anew.
WITH runners AS (DELETE FROM runners RETURNING id),
     sessions AS (DELETE FROM runner_sessions RETURNING runner_id),
     partitions AS (DELETE FROM partition_leases RETURNING partition),
     reporters AS (DELETE FROM reporters RETURNING id)
SELECT (SELECT count(*) FROM runners) AS runners

-- name: begin_anew
-- A lot of unfinished runs, in the order of their ids. The epochs that were granted since the backup are not known here,
-- and must not be granted a second time: events of their holders may still be on their way. So the next epoch is one of
-- the clock's, above all of them, and the fence above whatever they may write. A claim is closed, and its run is due.
WITH lot AS (
    SELECT id, greatest(epoch + 1, (extract(epoch FROM headrace_now() - $3::timestamptz) * $4)::integer) AS anew
    FROM runs WHERE id > $1 AND finished_at IS NULL ORDER BY id LIMIT $2 FOR UPDATE
),
fenced AS (
    UPDATE runs r
    SET epoch = lot.anew, fence_epoch = lot.anew, fence_seq = 2147483647,
        claimed_by = NULL, claimed_in_call = NULL, claim_token = NULL, fruitless_claims = 0
    FROM lot WHERE r.id = lot.id
    RETURNING r.id, r.tenant_id
),
due AS (
    UPDATE dispatches d SET sent_at = NULL, due_at = headrace_now()
    FROM fenced WHERE d.run_id = fenced.id AND d.sent_at IS NOT NULL
)
SELECT id, tenant_id FROM fenced ORDER BY id

-- name: tenants
SELECT id FROM tenants ORDER BY id

-- name: note_restore
INSERT INTO audit_inbox (tenant_id, id, actor_kind, actor_id, actor_name, action, target, outcome, detail)
SELECT n.tenant_id, n.id, 'SERVICE', '00000000-0000-0000-0000-000000000000', 'restored', 'deployment.restore',
    'deployment', 'DONE', jsonb_build_object('runs', n.runs)
FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS n (tenant_id, id, runs)

-- name: deleted_tenants
SELECT tenant_id, asked_at, asked_by, asked_in, due_at, done_at FROM tenant_deletions
WHERE begun_at IS NOT NULL ORDER BY begun_at, tenant_id

-- name: note_deleted
-- As it was. Whether the tenant is there again.
WITH noted AS (
    INSERT INTO tenant_deletions (tenant_id, asked_at, asked_by, asked_in, cancel_at, due_at)
    VALUES ($1, $2, $3, $4, $5, $5)
    ON CONFLICT (tenant_id) DO UPDATE
    SET asked_at = excluded.asked_at, cancel_at = excluded.cancel_at, due_at = excluded.due_at
    WHERE tenant_deletions.begun_at IS NULL
)
SELECT EXISTS (SELECT FROM tenants WHERE id = $1)

-- name: end_lot
SELECT headrace_end_tenant($1, $2)

-- name: put_off
UPDATE tenant_deletions
SET due_at = greatest(due_at, headrace_now() + interval '7 days'),
    cancel_at = greatest(cancel_at, headrace_now() + interval '6 days 12 hours')
WHERE begun_at IS NULL
RETURNING tenant_id, due_at
