-- name: add
INSERT INTO dead_letter_replays (tenant_id, id, source, action, code, workflow_id, patch, version, doubtful, per_second,
    last_id, at_id, total, created_by, actor_kind, actor_name)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, there.last, '00000000-0000-0000-0000-000000000000', there.count, $11,
    $12, $13
FROM (
    SELECT count(*) OVER () AS count, id AS last FROM dead_letters
    WHERE tenant_id = $1 AND status = 'OPEN' AND source = $3 AND action = $4 AND code = $5
      AND ($6::uuid IS NULL OR workflow_id = $6)
    ORDER BY id DESC
    LIMIT 1
) there
RETURNING id

-- name: newest
SELECT p.id, p.source, p.action, p.code, w.name AS workflow, p.status, p.total, p.replayed, p.refused, p.refusal,
       p.per_second, p.created_at, p.finished_at
FROM dead_letter_replays p LEFT JOIN workflows w ON w.tenant_id = p.tenant_id AND w.id = p.workflow_id
WHERE p.tenant_id = $1 AND p.id < $2
ORDER BY p.id DESC
LIMIT $3

-- name: by_id
SELECT p.id, p.source, p.action, p.code, w.name AS workflow, p.status, p.total, p.replayed, p.refused, p.refusal,
       p.per_second, p.created_at, p.finished_at
FROM dead_letter_replays p LEFT JOIN workflows w ON w.tenant_id = p.tenant_id AND w.id = p.workflow_id
WHERE p.tenant_id = $1 AND p.id = $2

-- name: set_status
UPDATE dead_letter_replays SET status = $3, due_at = headrace_now()
WHERE tenant_id = $1 AND id = $2 AND status = $4
RETURNING id

-- name: due
-- Of all tenants, for whoever works them off, with the seconds until each is due; by the worker's role. Tenants take
-- turns. Those at work ($3), and tenants ($4), are left out.
SELECT soon.tenant_id, soon.id, soon.seconds
FROM (
    SELECT p.tenant_id, p.id, p.due_at,
           greatest(extract(epoch FROM p.due_at - headrace_now()), 0)::float8 AS seconds,
           row_number() OVER (PARTITION BY p.tenant_id ORDER BY p.due_at) AS turn
    FROM dead_letter_replays p
    WHERE p.status = 'RUNNING' AND p.due_at <= headrace_now() + make_interval(secs => $2)
      AND p.id <> ALL($3::uuid[]) AND p.tenant_id <> ALL($4::uuid[])
) soon
ORDER BY soon.seconds > 0, soon.turn, soon.due_at
LIMIT $1

-- name: take
-- One control plane at a time has it; the others pass it over.
SELECT id, source, action, code, workflow_id, patch, version, doubtful, per_second, last_id, at_id, created_by,
       actor_kind, actor_name
FROM dead_letter_replays
WHERE tenant_id = $1 AND id = $2 AND status = 'RUNNING' AND due_at <= headrace_now()
FOR UPDATE SKIP LOCKED

-- name: next_letter
SELECT id FROM dead_letters
WHERE tenant_id = $1 AND status = 'OPEN' AND source = $2 AND action = $3 AND code = $4 AND id > $5 AND id <= $6
  AND ($7::uuid IS NULL OR workflow_id = $7)
ORDER BY id
LIMIT 1

-- name: step
-- Rate: the next one is due so much later than this one.
UPDATE dead_letter_replays
SET at_id = $3, replayed = replayed + $4, due_at = headrace_now() + make_interval(secs => 1.0 / per_second)
WHERE tenant_id = $1 AND id = $2

-- name: refuse
UPDATE dead_letter_replays
SET at_id = $3, refused = refused + 1, refusal = $4,
    due_at = headrace_now() + make_interval(secs => 1.0 / per_second)
WHERE tenant_id = $1 AND id = $2 AND status = 'RUNNING' AND at_id < $3

-- name: put_off
UPDATE dead_letter_replays SET due_at = headrace_now() + $3::interval, refusal = $4
WHERE tenant_id = $1 AND id = $2 AND status = 'RUNNING'

-- name: end
UPDATE dead_letter_replays SET status = 'DONE', finished_at = headrace_now() WHERE tenant_id = $1 AND id = $2
