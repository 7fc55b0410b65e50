-- name: renew_lease
-- One renewal per runner process: it names the runs that it holds, and says up to which of its claim calls
-- it knows the answer. A claim that is not named although its call is settled has lapsed: its answer was
-- lost, or its holder has left it. `greatest`, here and below: what had to wait for a lock began long ago, and the runner
-- counts on what it was told meanwhile.
INSERT INTO runners (id, lease_until, held, calls_settled, capacity, pool)
VALUES ($1, headrace_now() + $2::interval, $3, $4, $5, $6)
ON CONFLICT (id) DO UPDATE
SET lease_until = greatest(runners.lease_until, excluded.lease_until), capacity = excluded.capacity,
    held = excluded.held, calls_settled = excluded.calls_settled
-- An older renewal that was held up on its way names runs of the past.
WHERE runners.calls_settled <= excluded.calls_settled

-- name: keep_lease
-- A claim call shows that the runner lives; what it holds is not touched. A row that is made anew counts the calls
-- before this one as settled: what they claimed was given up with the row before.
INSERT INTO runners (id, lease_until, capacity, calls_settled, pool)
VALUES ($1, headrace_now() + $3::interval, $4, $2::bigint - 1, $5)
ON CONFLICT (id) DO UPDATE
SET lease_until = greatest(runners.lease_until, excluded.lease_until), capacity = excluded.capacity

-- name: give_up_lease
-- Without a row the runner's claims lapse now, and are known not to have ended it (see `claim`).
DELETE FROM runners WHERE id = $1

-- name: lock_for_claim
-- rule claim_in_one_transaction: every statement that stands for a step of the protocol locks the run's row
-- first; what the claim checks and what it writes are one transaction. Ordered, so that batches that share
-- runs do not deadlock.
-- An input is handed out as the text that it is here, and not read on the way. One above 16 KB is null: it is fetched
-- behind the lock, for those who get it (`inputs`); what is stored as more than that is not even unpacked under it.
SELECT id, tenant_id, version_id, status, wait_reason, dispatch_id, epoch, claimed_by, cancel_requested,
       pause_requested, fence_epoch, fruitless_claims, created_at, started_at, inbox_seq, compensating, depth,
       undoes_run_id, origin_run_id, rerun -> 'keys' AS kept_keys, traceparent, pool,
       CASE WHEN pg_column_size(input) <= 16384 THEN
           CASE WHEN octet_length(input::text) <= 16384 THEN input::text END
       END AS input
FROM runs
WHERE id = ANY($1::uuid[])
ORDER BY id
FOR UPDATE

-- name: lock_holders
-- rule claim_waits_for_lease: a renewal revives a lease, and tells which runs are lost. So the claim waits for one that is
-- under way, and those to come wait for the claim: else each would see what was before the other, and both holders go on
-- with the run. With the row of who claims, and ordered: two runners may take over from each other.
SELECT id FROM runners WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE

-- name: live_claims
-- Of the locked runs, those whose claim is live. A statement of its own, after the lock: joined to the one
-- above it would judge the row that was waited for by the lease of the holder before.
SELECT r.id
FROM runs r
JOIN runners holder ON holder.id = r.claimed_by
WHERE r.id = ANY($1::uuid[]) AND holder.lease_until > headrace_now()
  AND (r.id = ANY(holder.held) OR r.claimed_in_call > holder.calls_settled)

-- name: claim
-- Of runs that nobody held, the runner's lease is kept by the same statement, as `keep_lease` does it. Where it was kept
-- before, $5 is null.
WITH lease AS (
    INSERT INTO runners (id, lease_until, capacity, calls_settled, pool)
    SELECT $2::uuid, headrace_now() + $5::interval, $6::int, $3::bigint - 1, $7::text WHERE $5::interval IS NOT NULL
    ON CONFLICT (id) DO UPDATE
    SET lease_until = greatest(runners.lease_until, excluded.lease_until), capacity = excluded.capacity
),
raised AS (
    UPDATE runs
    SET epoch = epoch + 1, claimed_by = $2::uuid, claimed_in_call = $3::bigint, claimed_at = headrace_now(),
        claim_token = granted.token,
        -- rule compensating_stays: what is being undone is never done again
        status = CASE WHEN compensating IS NULL THEN 'RUNNING' ELSE 'COMPENSATING' END,
        wait_reason = NULL, started_at = coalesce(started_at, headrace_now()),
        -- Only a holder whose lease ran out tells against its run; one that left in order has no row.
        fruitless_claims = fruitless_claims
            + CASE WHEN EXISTS (SELECT 1 FROM runners holder WHERE holder.id = runs.claimed_by) THEN 1 ELSE 0 END
    FROM unnest($1::uuid[], $4::bytea[]) AS granted (run_id, token)
    WHERE id = granted.run_id AND status IN ('QUEUED', 'RUNNING', 'WAITING', 'COMPENSATING')
    RETURNING id, epoch, started_at
)
SELECT headrace_now() AS now, raised.id, raised.epoch, raised.started_at
FROM (SELECT 1) AS always LEFT JOIN raised ON true

-- name: set_aside
-- Claimed again and again without progress: whatever this run does to its runners, it stops doing it now. The mark of
-- this claim is applied, so that nothing of the claims before it can change the run any more.
-- rule cancel_beats_poison: a cancel that came since the run was read is heard first. Undoing hears none.
UPDATE runs
SET status = CASE WHEN compensating IS NULL THEN 'WAITING' ELSE 'COMPENSATING' END, wait_reason = 'DEAD_LETTER',
    claimed_by = NULL, claimed_in_call = NULL, dispatch_id = $3
WHERE id = $1 AND epoch = $2 AND claimed_by IS NOT NULL AND (NOT cancel_requested OR compensating IS NOT NULL)
RETURNING id

-- name: drop_dispatch
DELETE FROM dispatches WHERE run_id = $1

-- name: add_dead_letter
INSERT INTO dead_letters (id, tenant_id, run_id, source, reason, workflow_id, code)
VALUES ($1, $2, $3, 'claim', $4, (SELECT workflow_id FROM runs WHERE id = $3), 'NO_PROGRESS')

-- name: terms
-- What each of these tenants ($1) says of an app ($2), in pairs; and, beside the app '' which is none, the quotas that
-- its runs keep to. Nothing of one that says nothing.
SELECT wanted.tenant_id, q.loop_items, q.log_records,
       r.app, r.action, r.approval_class, r.two_person, r.approver_roles, r.expires_after_ms, r.reason, r.set_by_name,
       r.set_at
FROM unnest($1::uuid[], $2::text[]) AS wanted (tenant_id, app)
LEFT JOIN policy_rules r ON r.tenant_id = wanted.tenant_id AND r.app = wanted.app
LEFT JOIN quotas q ON q.tenant_id = wanted.tenant_id AND wanted.app = ''
    AND (q.loop_items IS NOT NULL OR q.log_records IS NOT NULL)
WHERE r.tenant_id IS NOT NULL OR q.tenant_id IS NOT NULL

-- name: notify_runs
SELECT pg_notify($1, $2)

-- name: holders
-- For the barrier: the fence, and who holds the open claim. Of the input, what `lock_for_claim` gives.
SELECT id, tenant_id, version_id, status, epoch, claimed_by, fence_epoch, cancel_requested, pause_requested, fruitless_claims,
       created_at, started_at, inbox_seq, compensating, depth, undoes_run_id, origin_run_id,
       rerun -> 'keys' AS kept_keys, pool, headrace_now() AS now,
       CASE WHEN pg_column_size(input) <= 16384 THEN
           CASE WHEN octet_length(input::text) <= 16384 THEN input::text END
       END AS input
FROM runs WHERE id = ANY($1::uuid[])

-- name: inputs
-- Those that did not come with their rows.
SELECT id, input::text AS input FROM runs WHERE id = ANY($1::uuid[])

-- name: doers
SELECT id, tenant_id, input::text AS input, created_at, started_at FROM runs WHERE id = ANY($1::uuid[])

-- name: sizes
-- In bytes of JSON: the checkpoints of the runs $1, the inputs of the runs $2, and the inputs of the runs that did what
-- the runs $3 have taken over.
SELECT run_id, sum(bytes) AS bytes
FROM (
    SELECT id AS run_id, octet_length(input::text) AS bytes FROM runs WHERE id = ANY($2::uuid[])
    UNION ALL
    SELECT run_id, octet_length(output::text) AS bytes
    FROM step_runs WHERE run_id = ANY($1::uuid[]) AND output IS NOT NULL
    UNION ALL
    SELECT run_id, octet_length(data::text) FROM inbox WHERE run_id = ANY($1::uuid[]) AND NOT used
    UNION ALL
    SELECT run_id, (SELECT octet_length(input::text) FROM runs WHERE id = taken_from)
    FROM (
        SELECT DISTINCT run_id, taken_from FROM step_runs
        WHERE run_id = ANY($3::uuid[]) AND taken_from IS NOT NULL
    ) did
) large
GROUP BY run_id

-- name: checkpoint
SELECT run_id, key, status, attempts, output::text AS output, error, in_flight, retry_at, started_at, wait, round,
       round_from, items, done_epoch, done_seq, taken_from
FROM step_runs WHERE run_id = ANY($1::uuid[])

-- name: versions
SELECT id, tenant_id, digest, resolved FROM workflow_versions
WHERE id = ANY($1::uuid[]) AND status <> 'DRAFT'

-- name: inbox
-- The messages that no event has used up, above what is known ($2) of each run, in their order: at most $3 of them, and
-- none behind $4 bytes of others. Cut off in between, what comes is still each run's oldest.
SELECT run_id, seq, kind, step, name, data::text AS data, at
FROM (
    SELECT i.run_id, i.seq, i.kind, i.step, i.name, i.data, i.created_at AS at,
           sum(octet_length(i.data::text)) OVER (ORDER BY i.run_id, i.seq) - octet_length(i.data::text) AS before
    FROM unnest($1::uuid[], $2::int[]) AS wanted (run_id, seen)
    JOIN inbox i ON i.run_id = wanted.run_id AND i.seq > wanted.seen AND NOT i.used
    ORDER BY i.run_id, i.seq
    LIMIT $3
) m
WHERE $4::bigint IS NULL OR before < $4
ORDER BY run_id, seq

-- name: held_news
-- What a runner has to know of the runs that it names: a cancel, a pause, messages above those that it has seen ($3),
-- or that the claim is no longer its own: of one that is gone with its tenant it is nobody's.
SELECT held.id, r.cancel_requested, r.pause_requested, r.claimed_by, r.inbox_seq, r.inbox_seq > held.seen AS has_messages,
       held.seen
FROM unnest($1::uuid[], $3::int[]) AS held (id, seen)
LEFT JOIN runs r ON r.id = held.id
WHERE r.cancel_requested OR r.pause_requested OR r.inbox_seq > held.seen OR r.claimed_by IS DISTINCT FROM $2

-- name: dry_runs_wait
SELECT EXISTS (
    SELECT 1 FROM dry_runs
    WHERE status IN ('QUEUED', 'WALKING') AND (status = 'QUEUED' OR taken_until < headrace_now())
      AND pool IS NOT DISTINCT FROM $1::text)

-- name: now
SELECT headrace_now() AS now

-- name: open_claim
-- The tenant, for the holder of the run's open claim who shows its token, and for a connection that the run's version
-- names.
SELECT r.tenant_id
FROM runs r
JOIN workflow_versions v ON v.tenant_id = r.tenant_id AND v.id = r.version_id
WHERE r.id = $1 AND r.epoch = $2 AND r.claimed_by = $3 AND r.claim_token = $5
  AND EXISTS (SELECT 1 FROM jsonb_each_text(v.resolved -> 'connections') AS named WHERE named.value = $4)

-- name: tenant_of_claim
SELECT tenant_id FROM runs WHERE id = $1 AND epoch = $2 AND claimed_by = $3 AND claim_token = $4

-- name: who_asks_for_a_result
-- `again`: the run is a re-run, or belongs to one.
WITH RECURSIVE up AS (
    SELECT r.tenant_id, r.id, r.parent_run_id, r.origin_run_id IS NOT NULL AS again, 0 AS height
    FROM runs r WHERE r.id = $1 AND r.epoch = $2 AND r.claimed_by = $3 AND r.claim_token = $4
    UNION ALL
    SELECT p.tenant_id, p.id, p.parent_run_id, p.origin_run_id IS NOT NULL, up.height + 1
    FROM up JOIN runs p ON p.tenant_id = up.tenant_id AND p.id = up.parent_run_id
    WHERE NOT up.again
)
SELECT up.tenant_id, (SELECT bool_or(again) FROM up) AS again FROM up WHERE up.height = 0

-- name: cached_result
SELECT c.output, c.run_id, c.kept_at FROM cached_results c
WHERE c.tenant_id = $1 AND c.slot = $2 AND c.expires_at > headrace_now()
  AND NOT EXISTS (
      SELECT 1 FROM forgotten_results f
      WHERE f.tenant_id = $1 AND f.action IN (c.action, '*') AND f.at >= c.kept_at)

-- name: known_in_another_pool
-- Whether who went by this id was of another pool than $2: by a session or a lease, or, once it has left, by the claims
-- that it left open. A run that was moved tells nothing against a runner that has its lease.
SELECT EXISTS (
    SELECT FROM (
        SELECT pool FROM runner_sessions WHERE runner_id = $1
        UNION ALL
        SELECT pool FROM runners WHERE id = $1
    ) known
    WHERE pool IS DISTINCT FROM $2
) OR (
    EXISTS (SELECT FROM runs WHERE claimed_by = $1 AND pool IS DISTINCT FROM $2)
    AND NOT EXISTS (SELECT FROM runners WHERE id = $1)
)

-- name: open_session
-- By the enrolment token ($4) only where the runner has no other open session: nobody enrols as somebody else.
INSERT INTO runner_sessions (hash, runner_id, expires_at, pool)
SELECT $1, $2, headrace_now() + $3::interval, $5
WHERE NOT $4 OR NOT EXISTS (
    SELECT 1 FROM runner_sessions s WHERE s.runner_id = $2 AND s.hash <> $1 AND s.expires_at > headrace_now())
ON CONFLICT (hash) DO UPDATE SET expires_at = excluded.expires_at WHERE runner_sessions.runner_id = excluded.runner_id
RETURNING runner_id

-- name: find_session
SELECT runner_id, pool FROM runner_sessions WHERE hash = $1 AND expires_at > headrace_now()

-- name: forget_sessions
DELETE FROM runner_sessions WHERE expires_at < headrace_now() - interval '1 hour'

-- name: close_sessions
DELETE FROM runner_sessions WHERE runner_id = $1

-- name: record_secret_uses
INSERT INTO audit_inbox (tenant_id, id, actor_kind, actor_id, actor_name, action, target, outcome, detail)
SELECT n.tenant_id, n.id, 'SERVICE', '00000000-0000-0000-0000-000000000000', 'runner', 'secret.use', n.target,
    'DONE', n.detail
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]::jsonb[]) AS n (tenant_id, id, target, detail)
