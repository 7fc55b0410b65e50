-- name: lock_workflow
-- Who publishes, deprecates, begins, changes or ends a rollout of the workflow waits here.
SELECT id FROM workflows WHERE tenant_id = $1 AND name = $2 FOR UPDATE

-- name: open_of
SELECT o.id, o.workflow_id, w.name AS workflow, o.stable_id, o.candidate_id, o.status, o.share, o.key, o.cohorts,
       o.begun_at, o.ended_at
FROM rollouts o JOIN workflows w ON w.tenant_id = o.tenant_id AND w.id = o.workflow_id
WHERE o.tenant_id = $1 AND o.workflow_id = $2 AND o.status = 'OPEN'

-- name: rollouts_below
-- Newest first. Of a workflow one is open at most, and it is the newest.
SELECT o.id, o.workflow_id, w.name AS workflow, o.stable_id, o.candidate_id, o.status, o.share, o.key, o.cohorts,
       o.begun_at, o.ended_at
FROM workflows w JOIN rollouts o ON o.tenant_id = w.tenant_id AND o.workflow_id = w.id
WHERE w.tenant_id = $1 AND w.name = $2 AND o.id < $3
ORDER BY o.id DESC
LIMIT $4

-- name: published
-- The versions of a workflow that matter to a rollout: of this number, and the one that starts run now.
SELECT v.id, v.version AS number, v.status, v.held_back FROM workflow_versions v
WHERE v.tenant_id = $1 AND v.workflow_id = $2 AND (v.version = $3 OR (v.status = 'PUBLISHED' AND NOT v.held_back))
ORDER BY v.version DESC

-- name: hold_back
UPDATE workflow_versions SET held_back = true WHERE tenant_id = $1 AND id = $2

-- name: let_go
-- The candidate is what starts run from now on: published ones above it are not.
UPDATE workflow_versions v SET held_back = v.id <> c.id
FROM workflow_versions c
WHERE c.tenant_id = $1 AND c.id = $2 AND v.tenant_id = $1 AND v.workflow_id = c.workflow_id
  AND v.status = 'PUBLISHED' AND v.version >= c.version

-- name: now
SELECT headrace_now()

-- name: begin
INSERT INTO rollouts (tenant_id, id, workflow_id, stable_id, candidate_id, share, key, cohorts, salt)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: change
UPDATE rollouts SET share = $3, cohorts = $4 WHERE tenant_id = $1 AND id = $2 AND status = 'OPEN'

-- name: end
UPDATE rollouts SET status = $3, ended_at = headrace_now() WHERE tenant_id = $1 AND id = $2 AND status = 'OPEN'

-- name: keep_change
INSERT INTO rollout_changes (tenant_id, rollout_id, number, kind, share, cohorts, note, actor_kind, actor_id, actor_name)
SELECT $1, o.id, 1 + (SELECT count(*) FROM rollout_changes c WHERE c.tenant_id = $1 AND c.rollout_id = o.id), $3,
       o.share, o.cohorts, $4, $5, $6, $7
FROM rollouts o WHERE o.tenant_id = $1 AND o.id = $2
RETURNING number

-- name: changes
-- What was done to each rollout, the newest of each.
SELECT c.*
FROM unnest($2::uuid[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT rollout_id, number, kind, share, cohorts, note, at, actor_kind, actor_id, actor_name FROM rollout_changes
    WHERE tenant_id = $1 AND rollout_id = wanted.id
    ORDER BY number DESC
    LIMIT $3
) c
ORDER BY c.rollout_id, c.number DESC

-- name: in_index_order
-- For `outcomes`: its inner lists are read off an index that has their order (see runs/queries.sql, `newest`).
SELECT set_config('enable_sort', 'off', true)

-- name: outcomes
-- What became of the newest $6 runs of a workflow that were begun in the window, by version; the last row, without one,
-- says how far that goes. The window is cut before anything is left out, so that what is read has a bound, and both
-- versions are seen over the same time. Left out are children and re-runs: nobody chose a version for those.
WITH looked AS MATERIALIZED (
    SELECT newest.*
    FROM unnest($5::text[]) AS wanted (status)
    CROSS JOIN LATERAL (
        SELECT id, version_id, status, error ->> 'code' AS code,
               extract(epoch FROM finished_at - started_at)::float8 AS seconds,
               parent_run_id IS NULL AND origin_run_id IS NULL AS counts
        FROM runs
        WHERE tenant_id = $1 AND workflow_id BETWEEN $2 AND $2 AND status BETWEEN wanted.status AND wanted.status
          AND id >= $3 AND id < $4
        ORDER BY workflow_id, status, id DESC
        LIMIT $6
    ) newest
    ORDER BY id DESC
    LIMIT $6
),
codes AS (
    SELECT version_id, jsonb_agg(jsonb_build_object('code', code, 'runs', runs) ORDER BY runs DESC, code) AS codes
    FROM (
        SELECT version_id, coalesce(code, 'UNKNOWN') AS code, count(*) AS runs,
               row_number() OVER (PARTITION BY version_id ORDER BY count(*) DESC, coalesce(code, 'UNKNOWN')) AS place
        FROM looked WHERE counts AND status = 'FAILED'
        GROUP BY version_id, coalesce(code, 'UNKNOWN')
    ) counted
    WHERE place <= 5
    GROUP BY version_id
),
letters AS (
    SELECT l.version_id, count(*) AS letters
    FROM unnest(ARRAY['DISCARDED', 'OPEN', 'REPLAYED']) AS wanted (status)
    CROSS JOIN LATERAL (
        SELECT run_id FROM dead_letters
        WHERE tenant_id = $1 AND status BETWEEN wanted.status AND wanted.status AND workflow_id BETWEEN $2 AND $2
          AND id >= $3
        ORDER BY status, workflow_id, id DESC
        LIMIT $6
    ) d
    JOIN looked l ON l.id = d.run_id AND l.counts
    GROUP BY l.version_id
),
by_version AS (
    SELECT version_id, count(*) AS starts,
           count(*) FILTER (WHERE status = 'SUCCESS') AS succeeded,
           count(*) FILTER (WHERE status = 'FAILED') AS failed,
           count(*) FILTER (WHERE status = 'CANCELED') AS canceled,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE status = 'SUCCESS') AS p50,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE status = 'SUCCESS') AS p95
    FROM looked WHERE counts
    GROUP BY version_id
)
SELECT b.version_id, b.starts, b.succeeded, b.failed, b.canceled, b.p50, b.p95, c.codes, n.letters, NULL::uuid AS oldest
FROM by_version b LEFT JOIN codes c USING (version_id) LEFT JOIN letters n USING (version_id)
UNION ALL
SELECT NULL, count(*), 0, 0, 0, NULL, NULL, NULL, NULL, (SELECT id FROM looked ORDER BY id LIMIT 1) FROM looked
