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
-- The rows of steps, of what undoes them and of what asks about them; not those of loops' items. Of a run that undoes items
-- of another, the other's loops, too: it has none of its own, and they lead to its rows.
SELECT run_id, key, status, attempts, error, retry_at, started_at, finished_at, round, items, taken_from,
       wait ->> 'kind' AS wait_kind, wait ->> 'until' AS wait_until
FROM step_runs WHERE tenant_id = $1 AND run_id = ANY($2::uuid[]) AND strpos(key, '[') = 0
UNION ALL
SELECT r.id, did.key, did.status, did.attempts, did.error, NULL, did.started_at, did.finished_at, did.round, did.items,
       coalesce(did.taken_from, did.run_id), NULL, NULL
FROM runs r
JOIN step_runs did ON did.tenant_id = r.tenant_id AND did.run_id = r.undoes_run_id AND did.items IS NOT NULL
WHERE r.tenant_id = $1 AND r.id = ANY($2::uuid[]) AND r.undoes_run_id IS NOT NULL
  AND EXISTS (SELECT FROM step_runs own WHERE own.tenant_id = $1 AND own.run_id = r.id AND starts_with(own.key, did.key || '['))

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
