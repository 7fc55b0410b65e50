-- name: named
SELECT s.id, s.name, w.name AS workflow, s.version, s.cron, s.time_zone, s.input, s.missed, s.missed_limit, s.overlap,
       s.acts_for, s.paused, s.error, s.next_at, s.queued_at, s.created_at, s.updated_at, headrace_now() AS read_at
FROM schedules s JOIN workflows w ON w.tenant_id = s.tenant_id AND w.id = s.workflow_id
WHERE s.tenant_id = $1 AND s.name = $2

-- name: lock_named
SELECT s.id, s.name, w.name AS workflow, s.version, s.cron, s.time_zone, s.input, s.missed, s.missed_limit, s.overlap,
       s.acts_for, s.paused, s.error, s.next_at, s.queued_at, s.created_at, s.updated_at, headrace_now() AS read_at
FROM schedules s JOIN workflows w ON w.tenant_id = s.tenant_id AND w.id = s.workflow_id
WHERE s.tenant_id = $1 AND s.name = $2
FOR UPDATE OF s

-- name: shown
-- In the order of their names, behind $2; or the one of the name $3. Behind the page comes one more, without what may be
-- large. That as text; of what together has more than $5 bytes the size alone. See `payloads` of headrace_control.runs.
WITH found AS MATERIALIZED (
    SELECT s.id, s.name, w.name AS workflow, s.version, s.cron, s.time_zone,
           CASE WHEN s.number <= $4 THEN s.input END AS input,
           s.missed, s.missed_limit, s.overlap, s.acts_for, s.paused, s.error, s.next_at, s.queued_at, s.created_at,
           s.updated_at, headrace_now() AS read_at
    FROM (
        SELECT *, row_number() OVER (ORDER BY name) AS number FROM schedules
        WHERE tenant_id = $1 AND name > $2 AND ($3::text IS NULL OR name = $3)
        ORDER BY name
        LIMIT $4 + 1
    ) s
    JOIN workflows w ON w.tenant_id = s.tenant_id AND w.id = s.workflow_id
),
together AS (SELECT coalesce(sum(octet_length(input::text)), 0)::bigint AS size FROM found)
SELECT together.size, found.id, found.name, found.workflow, found.version, found.cron, found.time_zone, found.missed,
       found.missed_limit, found.overlap, found.acts_for, found.paused, found.error, found.next_at, found.queued_at,
       found.created_at, found.updated_at, found.read_at, convert_to(found.input::text, 'UTF8') AS input
FROM together LEFT JOIN found ON together.size <= $5
ORDER BY found.name

-- name: lock_due
-- Whoever else is at it has it: the row is passed over. One that was fired meanwhile is due no more.
SELECT s.id, s.name, w.name AS workflow, s.version, s.cron, s.time_zone, s.input, s.missed, s.missed_limit, s.overlap,
       s.acts_for, s.paused, s.error, s.next_at, s.queued_at, s.created_at, s.updated_at, headrace_now() AS read_at
FROM schedules s JOIN workflows w ON w.tenant_id = s.tenant_id AND w.id = s.workflow_id
WHERE s.tenant_id = $1 AND s.id = $2 AND (s.next_at <= headrace_now() OR s.queued_at IS NOT NULL)
FOR NO KEY UPDATE OF s SKIP LOCKED

-- name: now
SELECT headrace_now()

-- name: count
SELECT count(*) FROM schedules WHERE tenant_id = $1

-- name: insert
INSERT INTO schedules (tenant_id, id, name, workflow_id, version, cron, time_zone, input, missed, missed_limit, overlap,
                       acts_for, next_at)
SELECT $1, $2, $3, w.id, $5, $6, $7, $8, $9, $10, $11, $12, $13
FROM workflows w WHERE w.tenant_id = $1 AND w.name = $4
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING id

-- name: change
-- What Headrace paused it for may be mended by this; a person takes the pause back.
UPDATE schedules s
SET workflow_id = w.id, version = $4, cron = $5, time_zone = $6, input = $7, missed = $8, missed_limit = $9,
    overlap = $10, acts_for = $11, next_at = $12, updated_at = headrace_now()
FROM workflows w
WHERE s.tenant_id = $1 AND s.id = $2 AND w.tenant_id = $1 AND w.name = $3

-- name: pause
-- A firing that waited is given up.
WITH given_up AS (
    UPDATE schedule_firings f
    SET outcome = 'SKIPPED', error = '{"code": "PAUSED", "message": "the schedule was paused while it waited"}'
    FROM schedules s
    WHERE s.tenant_id = $1 AND s.id = $2 AND f.tenant_id = $1 AND f.schedule_id = $2 AND f.at = s.queued_at
      AND coalesce(f.backfill_id, '00000000-0000-0000-0000-000000000000') = '00000000-0000-0000-0000-000000000000'
      AND f.outcome = 'QUEUED'
)
UPDATE schedules SET paused = true, error = $3, next_at = NULL, queued_at = NULL, updated_at = headrace_now()
WHERE tenant_id = $1 AND id = $2

-- name: resume
UPDATE schedules SET paused = false, error = NULL, next_at = $3, updated_at = headrace_now()
WHERE tenant_id = $1 AND id = $2

-- name: delete
DELETE FROM schedules WHERE tenant_id = $1 AND id = $2

-- name: fired
UPDATE schedules SET next_at = $3, queued_at = $4 WHERE tenant_id = $1 AND id = $2

-- name: close_firings
-- Of a schedule, or of a backfill: runs that have ended, or are not kept any more, are in nobody's way.
UPDATE schedule_firings f SET open = false
WHERE f.tenant_id = $1 AND f.schedule_id = $2 AND f.open AND f.backfill_id IS NOT DISTINCT FROM $3
  AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.tenant_id = $1 AND r.id = f.run_id AND r.finished_at IS NULL)

-- name: open_runs
SELECT run_id FROM schedule_firings
WHERE tenant_id = $1 AND schedule_id = $2 AND open AND backfill_id IS NOT DISTINCT FROM $3

-- name: keep_firings
-- One that was queued has a row already.
INSERT INTO schedule_firings (tenant_id, id, schedule_id, backfill_id, at, last_at, outcome, run_id, error, open)
SELECT $1, f.id, $2, $3, f.at, f.last_at, f.outcome, f.run_id, f.error::jsonb, f.run_id IS NOT NULL AND $10
FROM unnest($4::uuid[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::uuid[], $9::text[])
    AS f (id, at, last_at, outcome, run_id, error)
ON CONFLICT (tenant_id, schedule_id, coalesce(backfill_id, '00000000-0000-0000-0000-000000000000'), at)
DO UPDATE SET outcome = excluded.outcome, run_id = excluded.run_id, error = excluded.error, open = excluded.open

-- name: firings_below
SELECT f.id, f.at, f.last_at, f.outcome, f.run_id, f.error, f.backfill_id
FROM schedule_firings f JOIN schedules s ON s.tenant_id = f.tenant_id AND s.id = f.schedule_id
WHERE f.tenant_id = $1 AND s.name = $2 AND f.id < $3
ORDER BY f.id DESC
LIMIT $4

-- name: notify
SELECT pg_notify($1, '')

-- name: due
-- For headrace_worker: what there is to do now, but for what is left alone ($2), and of tenants ($3).
-- What is on time comes first: what is later than $4 is missed already. Tenants take turns. Only rows that are due are
-- read and put in order. A queued firing is looked at when nothing is in its way any more.
SELECT in_turn.tenant_id, in_turn.id
FROM (
    SELECT ready.*, row_number() OVER (PARTITION BY ready.tenant_id ORDER BY ready.late, ready.at) AS turn
    FROM (
        SELECT s.tenant_id, s.id, s.next_at AS at, s.next_at <= headrace_now() - $4::interval AS late
        FROM schedules s
        WHERE s.next_at <= headrace_now()
        UNION ALL
        SELECT s.tenant_id, s.id, s.queued_at, false
        FROM schedules s
        WHERE s.queued_at IS NOT NULL AND (s.next_at IS NULL OR s.next_at > headrace_now()) AND NOT EXISTS (
            SELECT 1 FROM schedule_firings f JOIN runs r ON r.tenant_id = f.tenant_id AND r.id = f.run_id
            WHERE f.tenant_id = s.tenant_id AND f.schedule_id = s.id AND f.open AND f.backfill_id IS NULL
              AND r.finished_at IS NULL)
    ) ready
    WHERE ready.id NOT IN (SELECT unnest($2::uuid[])) AND ready.tenant_id <> ALL($3::uuid[])
) in_turn
ORDER BY in_turn.late, in_turn.turn, in_turn.at
LIMIT $1

-- name: seconds_to_next
-- How long there is nothing to do but for what is left alone ($2), and of tenants ($3); NULL: nothing is planned. Of a
-- queued firing nobody tells, it is looked for.
SELECT extract(epoch FROM least(
    (SELECT min(next_at) FROM schedules
     WHERE id NOT IN (SELECT unnest($2::uuid[])) AND tenant_id <> ALL($3::uuid[])),
    (SELECT headrace_now() + $1::interval FROM schedules WHERE queued_at IS NOT NULL LIMIT 1),
    (SELECT min(look_at) FROM schedule_backfills
     WHERE status = 'RUNNING' AND id NOT IN (SELECT unnest($2::uuid[])) AND tenant_id <> ALL($3::uuid[]))
) - headrace_now())::float8
