-- name: lock
-- Cancels, pauses, messages, claims and the reporter all lock the run's row first.
SELECT id, version_id, status, wait_reason, dispatch_id, claimed_by IS NOT NULL AS held, cancel_requested,
       pause_requested, created_by, limited, undoes_run_id IS NOT NULL AS undoes
FROM runs WHERE tenant_id = $1 AND id = $2 FOR UPDATE

-- name: lock_unfinished
-- As above, many in order.
SELECT id FROM runs
WHERE tenant_id = $1 AND id = ANY($2::uuid[]) AND status NOT IN ('SUCCESS', 'FAILED', 'CANCELED')
ORDER BY id
FOR UPDATE

-- name: request_cancel
-- rule cancel_is_a_request: a cancel sets a flag and wakes a run that waits or is paused; only an event ends a run. A
-- run set aside as a dead letter is given its chances to be claimed again, or nobody could cancel it. One that is being
-- undone ends by itself. The runs that may still wait for their turn are answered.
WITH asked AS (
    UPDATE runs
    SET cancel_requested = true, pause_requested = false,
        status = CASE WHEN status = 'PAUSED' THEN 'WAITING' ELSE status END,
        fruitless_claims = CASE WHEN wait_reason = 'DEAD_LETTER' THEN 0 ELSE fruitless_claims END
    WHERE tenant_id = $1 AND id = ANY($2::uuid[]) AND status <> 'COMPENSATING'
    RETURNING id, status, dispatch_id, limited, pool
),
woken AS (
    INSERT INTO dispatches (id, tenant_id, run_id, due_at, pool)
    SELECT dispatch_id, $1, id, headrace_now(), pool FROM asked WHERE status = 'WAITING'
    ON CONFLICT (run_id) DO UPDATE SET due_at = least(dispatches.due_at, excluded.due_at)
    WHERE dispatches.sent_at IS NULL
)
SELECT id FROM asked WHERE limited AND status = 'QUEUED'

-- name: give_chances
UPDATE runs SET wait_reason = NULL, fruitless_claims = 0 WHERE tenant_id = $1 AND id = $2

-- name: pause_now
-- Nobody holds it: without a dispatch it can not be claimed. A job that was sent already is refused.
UPDATE runs SET pause_requested = true, status = 'PAUSED', wait_reason = 'PAUSED'
WHERE tenant_id = $1 AND id = $2 AND status IN ('QUEUED', 'WAITING') AND claimed_by IS NULL

-- name: drop_dispatch
-- Its id stays with the run.
DELETE FROM dispatches WHERE tenant_id = $1 AND run_id = $2

-- name: request_pause
UPDATE runs SET pause_requested = true WHERE tenant_id = $1 AND id = $2

-- name: resume
UPDATE runs
SET pause_requested = false, status = CASE WHEN status = 'PAUSED' THEN 'WAITING' ELSE status END
WHERE tenant_id = $1 AND id = $2

-- name: message_once
SELECT seq, kind, step, name, data, created_at FROM inbox WHERE tenant_id = $1 AND run_id = $2 AND once = $3

-- name: count_unused
SELECT count(*) FROM inbox WHERE tenant_id = $1 AND run_id = $2 AND NOT used

-- name: post_message
WITH counted AS (
    UPDATE runs SET inbox_seq = inbox_seq + 1 WHERE tenant_id = $1 AND id = $2 RETURNING inbox_seq
)
INSERT INTO inbox (tenant_id, run_id, seq, kind, step, name, data, once, created_by)
SELECT $1, $2, inbox_seq, $3, $4, $5, $6, $7, $8 FROM counted
RETURNING seq, created_at

-- name: wake
-- rule cancel_is_a_request: the run's CURRENT dispatch becomes due now, under the same id. One that was sent
-- is on its way already, and its claim will tell of the cancel.
INSERT INTO dispatches (id, tenant_id, run_id, due_at, pool)
SELECT $1, tenant_id, id, headrace_now(), pool FROM runs WHERE tenant_id = $2 AND id = $3
ON CONFLICT (run_id) DO UPDATE SET due_at = least(dispatches.due_at, excluded.due_at)
WHERE dispatches.sent_at IS NULL

-- name: list_by_trigger
-- Of all tenants. Found by an index that holds no others, and read in its order.
UPDATE runs r SET triggered_by = (r.trigger ->> 'kind') || ':' || (r.trigger ->> 'name')
FROM (
    SELECT id FROM runs WHERE trigger IS NOT NULL AND triggered_by IS NULL
    ORDER BY id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
) old
WHERE r.id = old.id
RETURNING r.id

-- name: notify
SELECT pg_notify($1, $2)
