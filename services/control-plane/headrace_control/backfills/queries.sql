-- name: due
SELECT tenant_id, id FROM schedule_backfills
WHERE status = 'RUNNING' AND look_at <= headrace_now() AND id NOT IN (SELECT unnest($2::uuid[]))
  AND tenant_id <> ALL($3::uuid[])
ORDER BY look_at
LIMIT $1

-- name: insert
INSERT INTO schedule_backfills (tenant_id, id, schedule_id, cron, time_zone, from_at, until_at, done_to, total, at_once,
                                status)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'RUNNING')

-- name: count_running
SELECT count(*) FROM schedule_backfills
WHERE tenant_id = $1 AND status = 'RUNNING' AND schedule_id = coalesce($2, schedule_id)

-- name: by_id
SELECT b.id, s.name AS schedule, b.cron, b.time_zone, b.from_at, b.until_at, b.done_to, b.total, b.started, b.at_once,
       b.status, b.error, b.created_at, b.finished_at
FROM schedule_backfills b JOIN schedules s ON s.tenant_id = b.tenant_id AND s.id = b.schedule_id
WHERE b.tenant_id = $1 AND b.id = $2

-- name: newest
SELECT b.id, s.name AS schedule, b.cron, b.time_zone, b.from_at, b.until_at, b.done_to, b.total, b.started, b.at_once,
       b.status, b.error, b.created_at, b.finished_at
FROM schedule_backfills b JOIN schedules s ON s.tenant_id = b.tenant_id AND s.id = b.schedule_id
WHERE b.tenant_id = $1 AND s.name = $2 AND b.id < $3
ORDER BY b.id DESC
LIMIT $4

-- name: lock
SELECT status FROM schedule_backfills WHERE tenant_id = $1 AND id = $2 FOR UPDATE

-- name: lock_due
SELECT id FROM schedule_backfills
WHERE tenant_id = $1 AND id = $2 AND status = 'RUNNING' AND look_at <= headrace_now()
FOR UPDATE SKIP LOCKED

-- name: move
UPDATE schedule_backfills
SET done_to = $3, started = started + $4, look_at = headrace_now() + $5::interval
WHERE tenant_id = $1 AND id = $2

-- name: end
UPDATE schedule_backfills SET status = 'DONE', finished_at = headrace_now() WHERE tenant_id = $1 AND id = $2

-- name: stop
UPDATE schedule_backfills SET status = 'STOPPED', error = $3 WHERE tenant_id = $1 AND id = $2

-- name: resume
UPDATE schedule_backfills
SET status = 'RUNNING', error = NULL, at_once = coalesce($3, at_once), look_at = headrace_now()
WHERE tenant_id = $1 AND id = $2
