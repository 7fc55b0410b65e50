-- name: known_keys
SELECT k.key, k.run_id, k.digest FROM start_keys k
WHERE k.tenant_id = $1 AND k.key = ANY($2::text[])

-- name: startable
-- For each wished (workflow, version), once: the version that would run, by name and number, or the newest
-- published one that is not held back where no number is given; then with the terms of the open rollout, if there is
-- one. Read with each start: none goes by terms that were changed before it began, and none in a tenant that is to be
-- deleted. `now` is this transaction's, which new runs will carry.
SELECT wish.n, w.id AS workflow_id, v.id AS version_id, v.status, headrace_now() AS now,
       nullif(coalesce(w.pool, t.pool), 'default') AS pool, o.candidate_id, o.share, o.salt, o.key, o.cohorts,
       (SELECT due_at FROM tenant_deletions WHERE tenant_id = $1) AS ends_at
FROM unnest($2::text[], $3::int[]) WITH ORDINALITY AS wish (workflow, version, n)
LEFT JOIN tenants t ON t.id = $1
LEFT JOIN workflows w ON w.tenant_id = $1 AND w.name = wish.workflow
LEFT JOIN LATERAL (
    SELECT id, status FROM workflow_versions
    WHERE tenant_id = $1 AND workflow_id = w.id
      AND CASE WHEN wish.version IS NULL THEN status = 'PUBLISHED' AND NOT held_back ELSE version = wish.version END
    ORDER BY version DESC
    LIMIT 1
) v ON true
LEFT JOIN rollouts o ON o.tenant_id = $1 AND o.workflow_id = w.id AND o.status = 'OPEN' AND wish.version IS NULL

-- name: start_rules
SELECT id, resolved -> 'document' -> 'parameters' AS parameters, resolved -> 'document' -> 'concurrency' AS concurrency
FROM workflow_versions WHERE tenant_id = $1 AND id = ANY($2::uuid[])

-- name: start
-- Start keys, runs and dispatches in one statement; a run with a limit waits for its turn to get one. A key that another
-- transaction has taken meanwhile keeps its item out, and the caller looks up whose run it is. Keys in order, so that
-- batches do not deadlock. With an id for it ($14), the same statement leaves one record of all of them in the audit
-- (as `record` of headrace_control.audit does), unless none was begun. Without a channel ($11) nobody is notified. What
-- triggers the runs ($21, $22) is written with them: a later update would write all their index entries anew.
WITH item AS (
    SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[],
        $9::bool[], $12::text[], $13::text[])
        WITH ORDINALITY AS i (id, dispatch_id, workflow_id, version_id, input, key, digest, limited, traceparent, pool, n)
),
keyed AS (
    INSERT INTO start_keys (tenant_id, key, run_id, digest)
    SELECT $1, key, id, digest FROM item WHERE key IS NOT NULL ORDER BY key, n
    ON CONFLICT (tenant_id, key) DO NOTHING
    RETURNING run_id
),
begun AS (
    INSERT INTO runs (id, tenant_id, workflow_id, version_id, input, dispatch_id, created_by, limited, wait_reason,
        traceparent, pool, trigger, triggered_by)
    SELECT id, $1, workflow_id, version_id, input::jsonb, dispatch_id, $10, limited,
           CASE WHEN limited THEN 'CONCURRENCY' END, traceparent, pool, $21::jsonb, $22::text
    FROM item WHERE key IS NULL OR id IN (SELECT run_id FROM keyed)
    RETURNING id, dispatch_id, limited, pool
),
sent AS (
    INSERT INTO dispatches (id, tenant_id, run_id, due_at, pool)
    SELECT dispatch_id, $1, id, headrace_now(), pool FROM begun WHERE NOT limited
),
noted AS (
    INSERT INTO audit_inbox (tenant_id, id, actor_kind, actor_id, actor_name, action, target, outcome, detail,
        correlation_id, origin)
    SELECT $1, $14, $15, $16, $17, 'run.start', 'run/' || ids[1], 'DONE',
           $18::jsonb || jsonb_build_object('started', cardinality(ids))
               || CASE WHEN cardinality(ids) > 1
                       THEN jsonb_build_object('first', ids[1], 'last', ids[cardinality(ids)]) ELSE '{}' END,
           $19, $20
    FROM (SELECT array_agg(id ORDER BY n) AS ids FROM item WHERE id IN (SELECT id FROM begun)) AS started
    WHERE $14::uuid IS NOT NULL AND ids IS NOT NULL
)
SELECT id, CASE WHEN $11::text IS NOT NULL THEN pg_notify($11, '') END FROM begun

-- name: admitted
-- Runs inserted by this transaction that need not wait for their turns. Of one that is admitted later the row is not
-- touched (see headrace.concurrency.turns): its claim takes the reason away.
UPDATE runs SET wait_reason = NULL WHERE tenant_id = $1 AND id = ANY($2::uuid[])

-- name: one_start_at_a_time
SELECT pg_advisory_xact_lock(lock) FROM unnest($1::bigint[]) AS lock

-- name: in_slots
SELECT t.workflow_id, t.key, t.run_id
FROM concurrency_turns t JOIN unnest($2::uuid[], $3::bytea[]) AS s (workflow_id, key) USING (workflow_id, key)
WHERE t.tenant_id = $1
ORDER BY t.place

-- name: runs_by_id
SELECT id, workflow_id, version_id, status, wait_reason, error, cancel_requested, pause_requested,
       parent_run_id, parent_step, created_at, started_at, finished_at, fence_epoch, fence_seq, epoch, trigger,
       origin_run_id, undoes_run_id, pool, created_by
FROM runs WHERE tenant_id = $1 AND id = ANY($2::uuid[])

-- name: of_workflows
SELECT r.id FROM runs r JOIN workflows w ON w.tenant_id = r.tenant_id AND w.id = r.workflow_id
WHERE r.tenant_id = $1 AND r.id = ANY($2::uuid[]) AND w.name = ANY($3::text[])

-- name: in_index_order
-- For `newest` and those that follow: their inner lists are read off an index that has their order.
SELECT set_config('enable_sort', 'off', true)

-- name: newest
-- Pages are cut by id alone (UUIDv7: its time comes first), so a page stays the same while runs arrive. One
-- range of runs_by_status for each wanted status, merged: neither a rare status nor a tenant that was quiet for
-- long is looked for through other rows. The planner can not know how rare or how quiet, and is led: an order
-- by a RANGE of statuses is one that this index alone gives (one by a single status would be dropped as
-- needless, and the primary key be read to its end), and it may not sort instead.
SELECT r.*
FROM unnest($5::text[]) AS wanted (status)
CROSS JOIN LATERAL (
    SELECT id, workflow_id, version_id, status, wait_reason, error, cancel_requested, pause_requested,
           parent_run_id, parent_step, created_at, started_at, finished_at, fence_epoch, fence_seq, epoch, trigger,
           origin_run_id, undoes_run_id, pool, created_by
    FROM runs
    WHERE tenant_id = $1 AND status BETWEEN wanted.status AND wanted.status AND id >= $2 AND id < $3
    ORDER BY status, id DESC
    LIMIT $4
) r
ORDER BY r.id DESC
LIMIT $4

-- name: newest_of_workflow
-- As above, from runs_by_workflow.
SELECT r.*
FROM workflows w
CROSS JOIN unnest($5::text[]) AS wanted (status)
CROSS JOIN LATERAL (
    SELECT id, workflow_id, version_id, status, wait_reason, error, cancel_requested, pause_requested,
           parent_run_id, parent_step, created_at, started_at, finished_at, fence_epoch, fence_seq, epoch, trigger,
           origin_run_id, undoes_run_id, pool, created_by
    FROM runs
    WHERE tenant_id = $1 AND workflow_id BETWEEN w.id AND w.id AND status BETWEEN wanted.status AND wanted.status
      AND id >= $2 AND id < $3
    ORDER BY workflow_id, status, id DESC
    LIMIT $4
) r
WHERE w.tenant_id = $1 AND w.name = ANY($6::text[])
ORDER BY r.id DESC
LIMIT $4

-- name: newest_of_version
-- As above, from runs_by_version.
SELECT r.*
FROM workflows w
JOIN workflow_versions v ON v.tenant_id = w.tenant_id AND v.workflow_id = w.id AND v.version = $7
CROSS JOIN unnest($5::text[]) AS wanted (status)
CROSS JOIN LATERAL (
    SELECT id, workflow_id, version_id, status, wait_reason, error, cancel_requested, pause_requested,
           parent_run_id, parent_step, created_at, started_at, finished_at, fence_epoch, fence_seq, epoch, trigger,
           origin_run_id, undoes_run_id, pool, created_by
    FROM runs
    WHERE tenant_id = $1 AND version_id BETWEEN v.id AND v.id AND status BETWEEN wanted.status AND wanted.status
      AND id >= $2 AND id < $3
    ORDER BY version_id, status, id DESC
    LIMIT $4
) r
WHERE w.tenant_id = $1 AND w.name = ANY($6::text[])
ORDER BY r.id DESC
LIMIT $4

-- name: newest_triggered
-- As above, from runs_by_trigger.
SELECT r.*
FROM unnest($5::text[]) AS wanted (status)
CROSS JOIN LATERAL (
    SELECT id, workflow_id, version_id, status, wait_reason, error, cancel_requested, pause_requested,
           parent_run_id, parent_step, created_at, started_at, finished_at, fence_epoch, fence_seq, epoch, trigger,
           origin_run_id, undoes_run_id, pool, created_by
    FROM runs
    WHERE tenant_id = $1 AND triggered_by BETWEEN $6 AND $6 AND status BETWEEN wanted.status AND wanted.status
      AND id >= $2 AND id < $3
    ORDER BY triggered_by, status, id DESC
    LIMIT $4
) r
ORDER BY r.id DESC
LIMIT $4

-- name: children
-- A page of each wanted run's children, from its own place on, all in one round trip.
SELECT wanted.n, c.*
FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS wanted (run_id, after, n)
CROSS JOIN LATERAL (
    SELECT id, workflow_id, version_id, status, wait_reason, error, cancel_requested, pause_requested,
           parent_run_id, parent_step, created_at, started_at, finished_at, fence_epoch, fence_seq, epoch, trigger,
           origin_run_id, undoes_run_id, pool, created_by
    FROM runs
    WHERE tenant_id = $1 AND parent_run_id = wanted.run_id AND id > wanted.after
    ORDER BY id
    LIMIT $4
) c
ORDER BY wanted.n, c.id

-- name: reruns
-- As above: the runs that go on from each wanted run.
SELECT wanted.n, c.*
FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS wanted (run_id, after, n)
CROSS JOIN LATERAL (
    SELECT id, workflow_id, version_id, status, wait_reason, error, cancel_requested, pause_requested,
           parent_run_id, parent_step, created_at, started_at, finished_at, fence_epoch, fence_seq, epoch, trigger,
           origin_run_id, undoes_run_id, pool, created_by
    FROM runs
    WHERE tenant_id = $1 AND origin_run_id = wanted.run_id AND id > wanted.after
    ORDER BY id
    LIMIT $4
) c
ORDER BY wanted.n, c.id

-- name: starters
-- Keys that were revoked and members who have left keep their rows.
SELECT id, 'API_KEY' AS kind, name FROM api_keys WHERE tenant_id = $1 AND id = ANY($2::uuid[])
UNION ALL
SELECT id, 'MEMBER', email FROM members WHERE tenant_id = $1 AND id = ANY($2::uuid[])

-- name: payloads
-- As text; of what together has more than $3 bytes the size alone. What is found is kept as it is stored, and made text
-- only where it fits: numbers may be written at a length that no disk has room for.
WITH found AS MATERIALIZED (
    SELECT id, input, result FROM runs WHERE tenant_id = $1 AND id = ANY($2::uuid[])
),
together AS (
    SELECT coalesce(sum(octet_length(input::text) + coalesce(octet_length(result::text), 0)), 0)::bigint AS size
    FROM found
)
SELECT together.size, found.id, convert_to(found.input::text, 'UTF8') AS input,
       convert_to(found.result::text, 'UTF8') AS result
FROM together LEFT JOIN found ON together.size <= $3

-- name: step_keys
-- The steps that a version has, in the order in which its designer wrote them.
SELECT id, jsonb_path_query_array(resolved, '$.document.steps[*].key') AS keys
FROM workflow_versions WHERE tenant_id = $1 AND id = ANY($2::uuid[])

-- name: steps
-- The rows of steps, of what undoes them and of what asks about them; not those of loops' items.
SELECT run_id, key, status, attempts, error, retry_at, started_at, finished_at, round, items, taken_from,
       wait ->> 'kind' AS wait_kind, wait ->> 'until' AS wait_until
FROM step_runs WHERE tenant_id = $1 AND run_id = ANY($2::uuid[]) AND strpos(key, '[') = 0

-- name: items
-- A page of each wanted loop's items, each followed by what undoes it and what asks about it. A row key is
-- `step[index]` or `step[index].part`, and no step's key holds a bracket.
SELECT wanted.n, i.*
FROM unnest($2::uuid[], $3::text[], $4::int[], $5::text[]) WITH ORDINALITY AS wanted (run_id, step, index, part, n)
CROSS JOIN LATERAL (
    SELECT run_id, key, status, attempts, error, retry_at, started_at, finished_at, round, items, taken_from,
           wait ->> 'kind' AS wait_kind, wait ->> 'until' AS wait_until, place.index, place.part
    FROM step_runs
    CROSS JOIN LATERAL (
        SELECT substring(key from '\[(\d+)\]')::int AS index, split_part(key, ']', 2) COLLATE "C" AS part
    ) place
    WHERE tenant_id = $1 AND run_id = wanted.run_id AND starts_with(key, wanted.step || '[')
      AND (place.index, place.part) > (wanted.index, wanted.part COLLATE "C")
    ORDER BY place.index, place.part
    LIMIT $6
) i
ORDER BY wanted.n, i.index, i.part

-- name: step_payloads
-- As `payloads`.
WITH found AS MATERIALIZED (
    SELECT s.run_id, s.key, s.input, s.output
    FROM step_runs s JOIN unnest($2::uuid[], $3::text[]) AS wanted (run_id, key) USING (run_id, key)
    WHERE s.tenant_id = $1
),
together AS (
    SELECT coalesce(sum(coalesce(octet_length(input::text), 0) + coalesce(octet_length(output::text), 0)), 0)::bigint
        AS size
    FROM found
)
SELECT together.size, found.run_id, found.key, convert_to(found.input::text, 'UTF8') AS input,
       convert_to(found.output::text, 'UTF8') AS output
FROM together LEFT JOIN found ON together.size <= $4

-- name: attempts
SELECT a.run_id, a.step, a.number, a.outcome, a.http_status, a.error, a.address, a.started_at, a.duration_ms
FROM attempts a JOIN unnest($2::uuid[], $3::text[]) AS wanted (run_id, step) USING (run_id, step)
WHERE a.tenant_id = $1
ORDER BY a.run_id, a.step, a.number

-- name: events
-- A page of each wanted run's events, from its own place on, all in one round trip. Behind each page comes one event
-- more, without its data. Data as in `payloads`.
WITH found AS MATERIALIZED (
    SELECT wanted.n, e.epoch, e.seq, e.kind, e.step, e.at, CASE WHEN e.number <= $5 THEN e.data END AS data
    FROM unnest($2::uuid[], $3::int[], $4::int[]) WITH ORDINALITY AS wanted (run_id, epoch, seq, n)
    CROSS JOIN LATERAL (
        SELECT epoch, seq, kind, step, at, data, row_number() OVER (ORDER BY epoch, seq) AS number FROM events
        WHERE tenant_id = $1 AND run_id = wanted.run_id AND (epoch, seq) > (wanted.epoch, wanted.seq)
        ORDER BY epoch, seq
        LIMIT $5 + 1
    ) e
),
together AS (SELECT coalesce(sum(octet_length(data::text)), 0)::bigint AS size FROM found)
SELECT together.size, found.n, found.epoch, found.seq, found.kind, found.step, found.at,
       convert_to(found.data::text, 'UTF8') AS data
FROM together LEFT JOIN found ON together.size <= $6
ORDER BY found.n, found.epoch, found.seq

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

-- name: notify
SELECT pg_notify($1, $2)
