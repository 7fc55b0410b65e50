-- name: in_index_order
-- For the lists: they are read off an index that has their order, however rare what is asked for.
SELECT set_config('enable_sort', 'off', true)

-- name: newest
-- One status at a time: the order by it and the id is the index's own.
SELECT d.id, d.source, d.status, d.run_id, d.step, w.name AS workflow, d.action, d.code, d.reason, d.created_at,
       d.closed_at, d.closed_reason, d.replayed_by
FROM (
    SELECT id, source, status, run_id, step, workflow_id, action, code, reason, created_at, closed_at, closed_reason,
           replayed_by
    FROM dead_letters
    WHERE tenant_id = $1 AND status = $2 AND id < $3
    ORDER BY status, id DESC
    LIMIT $4
) d
LEFT JOIN workflows w ON w.tenant_id = $1 AND w.id = d.workflow_id
ORDER BY d.status, d.id DESC

-- name: newest_of_workflow
-- An order by a RANGE is one that this index alone gives; by a single value it would be dropped as needless.
SELECT d.id, d.source, d.status, d.run_id, d.step, w.name AS workflow, d.action, d.code, d.reason, d.created_at,
       d.closed_at, d.closed_reason, d.replayed_by
FROM workflows w
CROSS JOIN LATERAL (
    SELECT id, source, status, run_id, step, workflow_id, action, code, reason, created_at, closed_at, closed_reason,
           replayed_by
    FROM dead_letters
    WHERE tenant_id = $1 AND status = $2 AND workflow_id BETWEEN w.id AND w.id AND id < $3
    ORDER BY workflow_id, id DESC
    LIMIT $4
) d
WHERE w.tenant_id = $1 AND w.name = $5

-- name: newest_of_group
-- A workflow is looked for within the group: its id is in the index.
SELECT d.id, d.source, d.status, d.run_id, d.step, w.name AS workflow, d.action, d.code, d.reason, d.created_at,
       d.closed_at, d.closed_reason, d.replayed_by
FROM (
    SELECT id, source, status, run_id, step, workflow_id, action, code, reason, created_at, closed_at, closed_reason,
           replayed_by
    FROM dead_letters
    WHERE tenant_id = $1 AND status = $2 AND source = $5 AND action = $6 AND code BETWEEN $7 AND $7
      AND id < $3 AND ($8::uuid IS NULL OR workflow_id = $8)
    ORDER BY code, id DESC
    LIMIT $4
) d
LEFT JOIN workflows w ON w.tenant_id = $1 AND w.id = d.workflow_id

-- name: by_id
SELECT d.id, d.source, d.status, d.run_id, d.step, w.name AS workflow, d.action, d.code, d.reason, d.created_at,
       d.closed_at, d.closed_reason, d.replayed_by
FROM dead_letters d
LEFT JOIN workflows w ON w.tenant_id = $1 AND w.id = d.workflow_id
WHERE d.tenant_id = $1 AND d.id = ANY($2::uuid[])

-- name: body
-- As text, made once; of what has more than $3 bytes the size alone.
WITH found AS MATERIALIZED (
    SELECT convert_to((body -> 'input')::text, 'UTF8') AS input,
           ARRAY(
               SELECT convert_to(attempt::text, 'UTF8')
               FROM jsonb_array_elements(CASE jsonb_typeof(body -> 'attempts') WHEN 'array' THEN body -> 'attempts' END)
                   WITH ORDINALITY AS a (attempt, n)
               ORDER BY n
           ) AS attempts
    FROM dead_letters WHERE tenant_id = $1 AND id = $2
)
SELECT size, CASE WHEN size <= $3 THEN input END AS input, CASE WHEN size <= $3 THEN attempts ELSE '{}' END AS attempts
FROM found CROSS JOIN LATERAL (
    SELECT coalesce(octet_length(input), 0)
        + coalesce((SELECT sum(octet_length(attempt)) FROM unnest(attempts) AS attempt), 0)::bigint AS size
) together

-- name: workflow_named
SELECT id FROM workflows WHERE tenant_id = $1 AND name = $2

-- name: groups
-- Counted off dead_letters_by_group alone; the newest of a group is its example, looked up for those that are shown.
WITH counted AS (
    SELECT source, action, code, count(*) AS count, min(created_at) AS first_at, max(created_at) AS last_at
    FROM dead_letters
    WHERE tenant_id = $1 AND status = $2 AND ($3::uuid IS NULL OR workflow_id = $3)
    GROUP BY source, action, code
    ORDER BY count(*) DESC, source, action, code
    LIMIT $4
)
SELECT c.source, c.action, c.code, c.count, c.first_at, c.last_at, newest.id AS example
FROM counted c
CROSS JOIN LATERAL (
    SELECT id FROM dead_letters
    WHERE tenant_id = $1 AND status = $2 AND source = c.source AND action = c.action AND code = c.code
      AND ($3::uuid IS NULL OR workflow_id = $3)
    ORDER BY id DESC
    LIMIT 1
) newest
ORDER BY c.count DESC, c.source, c.action, c.code

-- name: statistics
SELECT CASE $2 WHEN 'WORKFLOW' THEN coalesce(w.name, '') WHEN 'ACTION' THEN d.action ELSE d.code END AS name,
       sum(n) FILTER (WHERE d.status = 'OPEN') AS open, sum(n) FILTER (WHERE d.status = 'REPLAYED') AS replayed,
       sum(n) FILTER (WHERE d.status = 'DISCARDED') AS discarded
FROM (
    SELECT status, workflow_id, action, code, count(*) AS n FROM dead_letters
    WHERE tenant_id = $1 AND created_at >= $3
    GROUP BY status, workflow_id, action, code
) d
LEFT JOIN workflows w ON w.tenant_id = $1 AND w.id = d.workflow_id
GROUP BY 1
ORDER BY sum(n) DESC, 1
LIMIT $4

-- name: discard
-- In the order of ids, as everybody who locks several of them.
WITH chosen AS (
    SELECT id FROM dead_letters
    WHERE tenant_id = $1 AND status = 'OPEN' AND id = ANY($2::uuid[])
    ORDER BY id
    FOR UPDATE
)
UPDATE dead_letters d SET status = 'DISCARDED', closed_at = headrace_now(), closed_reason = $3
FROM chosen WHERE d.tenant_id = $1 AND d.id = chosen.id
RETURNING d.id

-- name: discard_group
WITH chosen AS (
    SELECT id FROM dead_letters
    WHERE tenant_id = $1 AND status = 'OPEN' AND source = $2 AND action = $3 AND code = $4
      AND ($5::uuid IS NULL OR workflow_id = $5)
    ORDER BY id
    LIMIT $7
    FOR UPDATE
)
UPDATE dead_letters d SET status = 'DISCARDED', closed_at = headrace_now(), closed_reason = $6
FROM chosen WHERE d.tenant_id = $1 AND d.id = chosen.id
RETURNING d.id

-- name: is_open
-- A statement of its own, after whatever was waited for.
SELECT status FROM dead_letters WHERE tenant_id = $1 AND id = $2

-- name: close_replayed
WITH chosen AS (
    SELECT id FROM dead_letters
    WHERE tenant_id = $1 AND status = 'OPEN' AND run_id = $2 AND source = $3
    ORDER BY id
    FOR UPDATE
)
UPDATE dead_letters d SET status = 'REPLAYED', closed_at = headrace_now(), replayed_by = $4
FROM chosen WHERE d.tenant_id = $1 AND d.id = chosen.id

-- name: runs_for_a_person
-- Over all tenants, at most $1 of each reason counted, in runs_for_a_person alone; its predicate is said again, for a
-- reason that is looked up proves nothing to the planner. How long a run waits is counted from its last claim: it parked,
-- or was set aside, a time slice later at most.
SELECT reason AS of,
       (SELECT count(*) FROM (
           SELECT FROM runs
           WHERE wait_reason = reason AND wait_reason IN ('IN_DOUBT', 'DEAD_LETTER') LIMIT $1
       ) counted) AS rows,
       coalesce(extract(epoch FROM headrace_now() - (
           SELECT claimed_at FROM runs
           WHERE wait_reason = reason AND wait_reason IN ('IN_DOUBT', 'DEAD_LETTER')
           ORDER BY claimed_at LIMIT 1
       )), 0)::float8 AS oldest_seconds
FROM unnest(ARRAY['IN_DOUBT', 'DEAD_LETTER']) AS reason

-- name: all_open
-- Over all tenants, at most $1 of each source counted, in dead_letters_open alone; `nobody` are those of no tenant,
-- whatever their source, in dead_letters_newest, whose order the planner does not see without the tenants that there
-- are not.
SELECT source AS of,
       (SELECT count(*) FROM (
           SELECT FROM dead_letters d
           WHERE d.source = known.source AND d.status = 'OPEN' AND d.tenant_id IS NOT NULL LIMIT $1
       ) counted) AS rows,
       coalesce(extract(epoch FROM headrace_now() - (
           SELECT d.created_at FROM dead_letters d
           WHERE d.source = known.source AND d.status = 'OPEN' AND d.tenant_id IS NOT NULL
           ORDER BY d.created_at LIMIT 1
       )), 0)::float8 AS oldest_seconds
FROM unnest(ARRAY['step', 'compensation', 'in_doubt', 'claim', 'reporter']) AS known (source)
UNION ALL
SELECT 'nobody', (SELECT count(*) FROM (
           SELECT FROM dead_letters WHERE tenant_id IS NULL AND status = 'OPEN' LIMIT $1
       ) counted),
       coalesce(extract(epoch FROM headrace_now() - (
           SELECT created_at FROM dead_letters WHERE tenant_id IS NULL AND status = 'OPEN' ORDER BY tenant_id DESC, id LIMIT 1
       )), 0)::float8

-- name: newest_of_nobody
-- Without the body, which may hold any tenant's data. The order is that of dead_letters_newest, which the planner does
-- not see without the tenants that there are not.
SELECT id, source, status, reason, created_at, closed_at, closed_reason
FROM dead_letters
WHERE tenant_id IS NULL AND status = $1 AND id < $2
ORDER BY tenant_id, id DESC
LIMIT $3

-- name: open_of_nobody
-- Those of one source, in the order of dead_letters_by_group.
SELECT id FROM dead_letters
WHERE tenant_id IS NULL AND status = 'OPEN' AND source = $1
ORDER BY tenant_id, action, code, id DESC
LIMIT $2

-- name: discard_nobodys
-- As `discard`.
WITH chosen AS (
    SELECT id FROM dead_letters
    WHERE tenant_id IS NULL AND status = 'OPEN' AND id = ANY($1::uuid[])
    ORDER BY id
    FOR UPDATE
)
UPDATE dead_letters d SET status = 'DISCARDED', closed_at = headrace_now(), closed_reason = $2
FROM chosen WHERE d.tenant_id IS NULL AND d.id = chosen.id
RETURNING d.id
