-- Joins say the ids of a batch beside their own condition, so that no plan, made of empty tables, reads all of an index:
-- test_reporter_plans.py.

-- name: lock_runs
-- Signals, cancels, claims and the reporter all lock the run's row; ordered, so that batches do not deadlock. Of all
-- months, the bounds leave those in which the runs are.
SELECT id, tenant_id, status, dispatch_id, epoch, claimed_by IS NOT NULL AS claim_open, fence_epoch, fence_seq,
       cancel_requested, limited, pause_requested, inbox_seq, parent_run_id, undoes_run_id, pool, headrace_now() AS now
FROM runs WHERE id = ANY($1::uuid[]) AND id BETWEEN $2::uuid AND $3::uuid
ORDER BY id
FOR UPDATE

-- name: lock_runs_and_relatives
-- The same, and with them, in one order, the parents of $4 and their unfinished children. Who is whose child never
-- changes, so that it can be read before the locks.
SELECT id, tenant_id, status, dispatch_id, epoch, claimed_by IS NOT NULL AS claim_open, fence_epoch, fence_seq,
       cancel_requested, limited, pause_requested, inbox_seq, parent_run_id, undoes_run_id, pool, headrace_now() AS now
FROM runs
WHERE id = ANY($1::uuid[] || ARRAY(
    SELECT parent_run_id FROM runs
    WHERE id = ANY($4::uuid[]) AND id BETWEEN $2::uuid AND $3::uuid AND parent_run_id IS NOT NULL
    UNION ALL
    SELECT id FROM runs WHERE parent_run_id = ANY($4::uuid[]) AND finished_at IS NULL
))
ORDER BY id
FOR UPDATE

-- name: tenants_gone
SELECT tenant_id FROM tenant_deletions WHERE tenant_id = ANY($1::uuid[]) AND begun_at IS NOT NULL

-- name: write_uses
-- Into the audit's inbox: the control plane's sealer gives each its place in the tenant's chain.
INSERT INTO audit_inbox (tenant_id, id, actor_kind, actor_id, actor_name, action, target, outcome, detail)
SELECT n.tenant_id, n.id, 'SERVICE', '00000000-0000-0000-0000-000000000000', 'runner', 'connection.use', n.target,
    'DONE', n.detail
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]::jsonb[]) AS n (tenant_id, id, target, detail)

-- name: write_progress
-- And tell those who wait for these runs. One row per step that the batch touched, as it stands after the batch. A step
-- that has ended stays ended. The fence is what was APPLIED, written in the transaction that applies (rule
-- fence_in_partition_order).
WITH new_events AS (
    INSERT INTO events (tenant_id, run_id, epoch, seq, kind, step, at, data)
    SELECT tenant_id, run_id, epoch, seq, kind, step, at, data::jsonb FROM unnest($1::reported_event[])
    ON CONFLICT DO NOTHING
),
new_attempts AS (
    INSERT INTO attempts (tenant_id, run_id, step, number, epoch, outcome, http_status, error, address, started_at,
        duration_ms)
    SELECT tenant_id, run_id, step, number, epoch, outcome, http_status, error::jsonb, address, started_at, duration_ms
    FROM unnest($2::reported_attempt[])
    ON CONFLICT DO NOTHING
),
new_steps AS (
    INSERT INTO step_runs AS s (tenant_id, run_id, key, status, attempts, input, output, error, in_flight, retry_at,
        started_at, finished_at, wait, round, round_from, items, done_epoch, done_seq)
    SELECT tenant_id, run_id, key, status, attempts, input::jsonb, output::jsonb, error::jsonb, in_flight, retry_at,
        started_at, finished_at, wait::jsonb, round, round_from, items, done_epoch, done_seq
    FROM unnest($3::reported_step[])
    ON CONFLICT (run_id, key) DO UPDATE
    SET status = excluded.status, attempts = greatest(s.attempts, excluded.attempts),
        input = coalesce(excluded.input, s.input), output = excluded.output, error = excluded.error,
        in_flight = excluded.in_flight, retry_at = excluded.retry_at,
        started_at = coalesce(s.started_at, excluded.started_at), finished_at = excluded.finished_at,
        wait = excluded.wait, round = greatest(s.round, excluded.round),
        round_from = greatest(s.round_from, excluded.round_from), items = coalesce(excluded.items, s.items),
        done_epoch = excluded.done_epoch, done_seq = excluded.done_seq
    WHERE s.status NOT IN ('SUCCESS', 'FAILED', 'SKIPPED', 'CACHED', 'CANCELED', 'COMPENSATED')
),
new_fences AS (
    UPDATE runs r
    SET fence_epoch = n.epoch, fence_seq = n.seq,
        fruitless_claims = CASE WHEN n.progress THEN 0 ELSE r.fruitless_claims END
    FROM unnest($4::reported_fence[]) AS n
    WHERE r.id = n.id AND r.id = ANY($9::uuid[]) AND r.id BETWEEN $5::uuid AND $6::uuid
      AND (r.fence_epoch, r.fence_seq) < (n.epoch, n.seq)
)
SELECT pg_notify(channel, payload) FROM unnest($7::text[], $8::text[]) AS n (channel, payload)

-- name: end_runs
-- Each with its fence. Steps that had begun and not ended are canceled with their run. One in doubt stays in doubt, and
-- is answered: nobody is asked about it any more. Of $10, which are these and those that turn to compensation, the waits
-- are closed, and the unfinished children asked to cancel, which are answered too (rule end_reaches_children): a cancel
-- is a request for them too (rule cancel_is_a_request). What undoes a child is not stopped.
WITH ended AS (
    UPDATE runs r
    SET status = n.status, wait_reason = NULL, result = n.result::jsonb, error = n.error::jsonb, finished_at = n.at,
        claimed_by = NULL, claimed_in_call = NULL, fence_epoch = n.epoch, fence_seq = n.seq, fruitless_claims = 0
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::int[], $7::int[])
        AS n (id, status, result, error, at, epoch, seq)
    WHERE r.id = n.id AND r.id = ANY($1::uuid[]) AND r.id BETWEEN $8::uuid AND $9::uuid
      AND r.status IN ('RUNNING', 'WAITING', 'COMPENSATING')
),
dropped AS (
    DELETE FROM dispatches WHERE run_id = ANY($1::uuid[])
),
begun AS MATERIALIZED (
    SELECT run_id, key, status FROM step_runs
    WHERE run_id = ANY($1::uuid[]) AND run_id BETWEEN $8::uuid AND $9::uuid
      AND status IN ('QUEUED', 'RUNNING', 'WAITING', 'UNKNOWN')
),
canceled AS (
    UPDATE step_runs s SET status = 'CANCELED', in_flight = false, retry_at = NULL, finished_at = headrace_now()
    FROM begun b
    WHERE s.run_id = b.run_id AND s.key = b.key AND s.run_id = ANY($1::uuid[])
      AND s.run_id BETWEEN $8::uuid AND $9::uuid AND s.status = b.status AND b.status <> 'UNKNOWN'
),
closed AS (
    UPDATE waits SET status = 'CLOSED', closed_at = headrace_now()
    WHERE run_id = ANY($10::uuid[]) AND run_id BETWEEN $8::uuid AND $9::uuid AND status <> 'CLOSED'
),
stopped AS (
    -- But for those that end themselves: no row is written twice by a statement.
    UPDATE runs
    SET cancel_requested = true, pause_requested = false,
        status = CASE WHEN status = 'PAUSED' THEN 'WAITING' ELSE status END
    WHERE parent_run_id = ANY($10::uuid[]) AND finished_at IS NULL AND undoes_run_id IS NULL AND id <> ALL($1::uuid[])
    RETURNING id
)
SELECT run_id, key FROM begun WHERE status = 'UNKNOWN'
UNION ALL
SELECT id, NULL FROM stopped

-- name: park_runs
-- Closes the claim and mints the next dispatch: the one transaction that changes a run's dispatch id.
UPDATE runs r
SET status = n.status, wait_reason = n.reason, claimed_by = NULL, claimed_in_call = NULL,
    dispatch_id = n.dispatch_id
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[]) AS n (id, reason, dispatch_id, status)
WHERE r.id = n.id AND r.id = ANY($1::uuid[]) AND r.status IN ('RUNNING', 'WAITING', 'COMPENSATING')
  AND r.claimed_by IS NOT NULL

-- name: drop_dispatches
DELETE FROM dispatches WHERE run_id = ANY($1::uuid[])

-- name: add_dispatches
INSERT INTO dispatches (id, tenant_id, run_id, due_at, pool)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[])

-- name: set_run_aside
UPDATE runs
SET status = CASE WHEN compensating IS NULL THEN 'WAITING' ELSE 'COMPENSATING' END, wait_reason = 'DEAD_LETTER',
    claimed_by = NULL, claimed_in_call = NULL, fence_epoch = epoch, fence_seq = 2147483647
WHERE id = $1 AND status IN ('QUEUED', 'RUNNING', 'WAITING', 'COMPENSATING')

-- name: was_set_aside
SELECT EXISTS (SELECT 1 FROM dead_letters WHERE run_id = $1 AND source = 'reporter')

-- name: add_dead_letter
INSERT INTO dead_letters (id, tenant_id, run_id, source, reason, body, workflow_id, code)
VALUES ($1, $2, $3, $4, $5, $6, (SELECT workflow_id FROM runs WHERE id = $3 AND tenant_id = $2),
    CASE WHEN $3::uuid IS NULL THEN 'UNREADABLE' ELSE 'NOT_APPLIED' END)

-- name: steps_in_doubt
SELECT run_id, key FROM step_runs WHERE run_id = ANY($1::uuid[]) AND status = 'UNKNOWN'

-- name: drop_settled
-- A step has one row of a source: a doubt that is over gives its own to the next, which is added, and told, as a new one.
-- It is the next one if an attempt was made since: what a person has closed while the same doubt lasts stays closed.
DELETE FROM dead_letters d
USING unnest($1::uuid[], $2::text[]) AS n (run_id, step) JOIN step_runs s ON s.run_id = n.run_id AND s.key = n.step
WHERE d.run_id = n.run_id AND d.run_id = ANY($1::uuid[]) AND d.step = n.step AND d.source = 'in_doubt'
  AND s.run_id = ANY($1::uuid[]) AND d.status <> 'OPEN'
  AND coalesce((d.body #>> '{attempts,-1,number}')::int, 0) < s.attempts

-- name: add_dead_steps
-- With all that is kept of each: why, the redacted input, and the attempts.
INSERT INTO dead_letters (id, tenant_id, run_id, step, source, reason, body, workflow_id, action, code)
SELECT n.id, s.tenant_id, s.run_id, s.key, n.source, coalesce(s.error ->> 'message', n.source),
       jsonb_build_object('cause', s.error, 'input', s.input, 'attempts', coalesce(a.made, '[]')), r.workflow_id,
       coalesce(called.action, ''), coalesce(s.error ->> 'code', 'UNKNOWN')
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS n (id, run_id, key, source)
JOIN step_runs s ON s.run_id = n.run_id AND s.key = n.key
JOIN runs r ON r.id = n.run_id
JOIN workflow_versions v ON v.tenant_id = r.tenant_id AND v.id = r.version_id
LEFT JOIN LATERAL (
    SELECT CASE WHEN n.source = 'compensation' THEN coalesce(step -> 'compensate' ->> 'action', step ->> 'type')
                ELSE coalesce(step ->> 'action', step ->> 'type') END AS action
    FROM jsonb_path_query(v.resolved, '$.document.steps[*]') AS step
    WHERE step ->> 'key' = split_part(split_part(n.key, '.', 1), '[', 1)
    LIMIT 1
) called ON true
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('number', number, 'outcome', outcome, 'httpStatus', http_status,
        'error', error, 'startedAt', started_at, 'durationMs', duration_ms) ORDER BY number) AS made
    FROM attempts WHERE attempts.run_id = s.run_id AND attempts.step = s.key
) a ON true
ON CONFLICT (run_id, step, source) WHERE step IS NOT NULL DO NOTHING

-- name: close_settled
UPDATE dead_letters d SET status = 'DISCARDED', closed_at = headrace_now(), closed_reason = 'the doubt was settled'
FROM unnest($1::uuid[], $2::text[]) AS n (run_id, step)
WHERE d.run_id = n.run_id AND d.run_id = ANY($1::uuid[]) AND d.step = n.step AND d.source = 'in_doubt'
  AND d.status = 'OPEN'

-- name: notify
SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS n (channel, payload)

-- name: begin_compensation
UPDATE runs r SET status = 'COMPENSATING', compensating = n.undoing::jsonb
FROM unnest($1::uuid[], $2::text[]) AS n (id, undoing)
WHERE r.id = n.id AND r.id = ANY($1::uuid[]) AND r.finished_at IS NULL

-- name: mark_compensated
-- Where it was done, too, if a re-run has taken it over: no later one does so.
WITH undone AS (
    SELECT t.run_id, t.taken_from, t.key FROM unnest($1::uuid[], $2::text[]) AS n (run_id, key)
    JOIN step_runs t ON t.run_id = n.run_id AND t.run_id = ANY($1::uuid[]) AND t.key = n.key
),
done AS (
    SELECT run_id, key FROM undone
    UNION
    SELECT taken_from, key FROM undone WHERE taken_from IS NOT NULL
)
UPDATE step_runs s SET status = 'COMPENSATED'
FROM done d
WHERE s.run_id = d.run_id AND s.run_id = ANY(ARRAY(SELECT run_id FROM done)) AND s.key = d.key AND s.status = 'SUCCESS'

-- name: mark_loops_compensated
-- Loops of which nothing is left: items were undone, and none is a success any more. Where they were done, too.
WITH loops AS (
    SELECT run_id, taken_from, key FROM step_runs
    WHERE run_id = ANY($1::uuid[]) AND items IS NOT NULL AND status = 'SUCCESS'
),
done AS (
    SELECT run_id, key FROM loops
    UNION
    SELECT taken_from, key FROM loops WHERE taken_from IS NOT NULL
)
UPDATE step_runs s SET status = 'COMPENSATED'
FROM done d
WHERE s.run_id = d.run_id AND s.run_id = ANY(ARRAY(SELECT run_id FROM done)) AND s.key = d.key AND s.status = 'SUCCESS'
  AND (
      SELECT coalesce(bool_or(i.status = 'COMPENSATED') AND NOT bool_or(i.status = 'SUCCESS'), false)
      FROM generate_series(0, s.items - 1) AS n
      JOIN step_runs i ON i.run_id = s.run_id AND i.key = s.key || '[' || n || ']'
  )

-- name: begin_children
-- A child belongs to its parent's tenant, and its version too. One that undoes takes the input of the run that it
-- undoes, and its version, which has the steps to undo: that run is the ended child of that step, of the run that did
-- the step, where it was taken over. A re-run's child may be a re-run itself, as the plan of its parent says. Its pool
-- is found as that of any start; one that undoes stays where it was done.
WITH child AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[])
        AS c (parent_id, id, dispatch_id, step, version_id, input, undoes)
),
begun AS (
    INSERT INTO runs (id, tenant_id, workflow_id, version_id, input, dispatch_id, created_by, parent_run_id,
        parent_step, depth, undoes_run_id, origin_run_id, rerun, traceparent, pool)
    SELECT c.id, p.tenant_id, v.workflow_id, coalesce(origin.version_id, v.id),
        coalesce(origin.input, c.input::jsonb), c.dispatch_id,
        p.created_by, p.id, c.step, p.depth + 1, origin.id,
        (p.rerun -> 'children' -> c.step ->> 'origin')::uuid, p.rerun -> 'children' -> c.step, p.traceparent,
        CASE WHEN origin.id IS NULL THEN nullif(coalesce(w.pool, t.pool), 'default') ELSE origin.pool END
    FROM child c
    JOIN runs p ON p.id = c.parent_id
    JOIN workflow_versions v ON v.tenant_id = p.tenant_id AND v.id = c.version_id AND v.status <> 'DRAFT'
    JOIN workflows w ON w.tenant_id = v.tenant_id AND w.id = v.workflow_id
    JOIN tenants t ON t.id = p.tenant_id
    LEFT JOIN step_runs did ON did.run_id = coalesce(p.undoes_run_id, p.id) AND did.key = c.undoes
    LEFT JOIN runs origin ON c.undoes IS NOT NULL
        AND origin.parent_run_id = coalesce(did.taken_from, p.undoes_run_id, p.id)
        AND origin.parent_step = c.undoes AND origin.undoes_run_id IS NULL AND origin.status = 'SUCCESS'
    WHERE c.undoes IS NULL OR origin.id IS NOT NULL
    ON CONFLICT (id) DO NOTHING
    RETURNING id, tenant_id, dispatch_id, pool, rerun IS NOT NULL AS takes
),
sent AS (
    INSERT INTO dispatches (id, tenant_id, run_id, due_at, pool)
    SELECT dispatch_id, tenant_id, id, headrace_now(), pool FROM begun
)
SELECT id, takes FROM begun

-- name: take_over_of_children
-- rule taken_with_the_start
SELECT headrace_take_over(tenant_id, id, origin_run_id,
    ARRAY(SELECT jsonb_array_elements_text(rerun -> 'take')),
    ARRAY(SELECT jsonb_array_elements_text(rerun -> 'reopen')))
FROM runs WHERE id = ANY($1::uuid[])

-- name: post_child_ends
-- Both rows are locked already; a parent that has ended is told nothing.
WITH child AS MATERIALIZED (
    SELECT id, tenant_id, status, result, error, parent_run_id, parent_step FROM runs WHERE id = ANY($1::uuid[])
),
ended AS (
    SELECT c.*, p.inbox_seq + row_number() OVER (PARTITION BY p.id ORDER BY c.id) AS seq
    FROM child c JOIN runs p ON p.id = c.parent_run_id
    WHERE p.id = ANY($2::uuid[]) AND p.finished_at IS NULL
),
counted AS (
    UPDATE runs p SET inbox_seq = e.seq
    FROM (SELECT parent_run_id, max(seq) AS seq FROM ended GROUP BY parent_run_id) e
    WHERE p.id = e.parent_run_id AND p.id = ANY($2::uuid[])
)
INSERT INTO inbox (tenant_id, run_id, seq, kind, step, data)
SELECT tenant_id, parent_run_id, seq, 'CHILD_ENDED', parent_step,
    jsonb_build_object('runId', id, 'status', status, 'result', result, 'error', error)
FROM ended
RETURNING run_id

-- name: wake
-- The CURRENT dispatch of each that nobody holds becomes due now, under the same id. One that was sent is on its way.
INSERT INTO dispatches (id, tenant_id, run_id, due_at, pool)
SELECT dispatch_id, tenant_id, id, headrace_now(), pool FROM runs
WHERE id = ANY($1::uuid[]) AND claimed_by IS NULL AND status IN ('QUEUED', 'WAITING', 'COMPENSATING')
  -- One set aside would be refused to every runner, and swept for ever. Its cancel alone is heard.
  AND (wait_reason IS DISTINCT FROM 'DEAD_LETTER' OR (cancel_requested AND status <> 'COMPENSATING'))
ON CONFLICT (run_id) DO UPDATE SET due_at = least(dispatches.due_at, excluded.due_at)
WHERE dispatches.sent_at IS NULL

-- name: use_messages
UPDATE inbox i SET used = true
FROM unnest($1::uuid[], $2::int[]) AS n (run_id, seq)
WHERE i.run_id = n.run_id AND i.run_id = ANY($1::uuid[]) AND i.seq = n.seq

-- name: open_waits
-- A call that the policy holds may be asked for again: its approval expired, or the call is another one.
INSERT INTO waits AS w (tenant_id, run_id, step, kind, data, opened_at, due_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[]::jsonb[], $6::timestamptz[],
    $7::timestamptz[])
ON CONFLICT (run_id, step) DO UPDATE
SET data = excluded.data, opened_at = excluded.opened_at, due_at = excluded.due_at, status = 'OPEN',
    closed_at = NULL, decision = NULL, decided_by = NULL
WHERE excluded.data ->> 'kind' = 'GATE'

-- name: remind
UPDATE step_runs s SET wait = s.wait || jsonb_build_object('remindAt', n.at)
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (run_id, key, at)
WHERE s.run_id = n.run_id AND s.run_id = ANY($1::uuid[]) AND s.key = n.key

-- name: close_waits
UPDATE waits w SET status = 'CLOSED', closed_at = headrace_now()
FROM unnest($1::uuid[], $2::text[]) AS n (run_id, step)
WHERE w.run_id = n.run_id AND w.run_id = ANY($1::uuid[]) AND w.step = n.step AND w.status <> 'CLOSED'

-- name: keep_results
INSERT INTO cached_results AS c (tenant_id, slot, action, run_id, step, output, kept_at, expires_at)
SELECT n.tenant_id, n.slot, n.action, n.run_id, n.step, n.output::jsonb, headrace_now(),
    headrace_now() + make_interval(secs => n.ttl_ms / 1000.0)
FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::bigint[])
    WITH ORDINALITY AS n (tenant_id, slot, action, run_id, step, output, ttl_ms, ord)
ORDER BY n.ord
ON CONFLICT (tenant_id, slot) DO UPDATE
SET action = excluded.action, run_id = excluded.run_id, step = excluded.step, output = excluded.output,
    kept_at = excluded.kept_at, expires_at = excluded.expires_at

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
