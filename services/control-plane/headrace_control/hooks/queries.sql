-- name: named
SELECT h.id, h.name, h.url, h.events, h.paused, h.created_at, h.updated_at,
       (SELECT max(s.expires_at) FROM signing_secrets s WHERE s.tenant_id = h.tenant_id AND s.hook_id = h.id
        AND s.expires_at > headrace_now()) AS previous_until
FROM hooks h WHERE h.tenant_id = $1 AND h.name = $2

-- name: lock_named
-- Who tells it something refers to it meanwhile, and does not wait.
SELECT id FROM hooks WHERE tenant_id = $1 AND name = $2 FOR NO KEY UPDATE

-- name: by_name
SELECT h.id, h.name, h.url, h.events, h.paused, h.created_at, h.updated_at,
       (SELECT max(s.expires_at) FROM signing_secrets s WHERE s.tenant_id = h.tenant_id AND s.hook_id = h.id
        AND s.expires_at > headrace_now()) AS previous_until
FROM hooks h WHERE h.tenant_id = $1 AND h.name > $2
ORDER BY h.name
LIMIT $3

-- name: count
SELECT count(*) FROM hooks WHERE tenant_id = $1

-- name: insert
INSERT INTO hooks (tenant_id, id, name, url, events) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING id

-- name: change
UPDATE hooks SET url = $3, events = $4, updated_at = headrace_now() WHERE tenant_id = $1 AND id = $2

-- name: set_paused
UPDATE hooks SET paused = $3, updated_at = headrace_now() WHERE tenant_id = $1 AND id = $2 AND paused <> $3

-- name: hold
-- What is left is sent when the hook is resumed.
UPDATE hook_messages SET due_at = CASE WHEN $3 THEN 'infinity' ELSE headrace_now() END
WHERE tenant_id = $1 AND hook_id = $2 AND status = 'PENDING' AND (due_at = 'infinity') <> $3

-- name: drop_messages
DELETE FROM hook_messages
WHERE tenant_id = $1 AND id IN (
    SELECT id FROM hook_messages WHERE tenant_id = $1 AND hook_id = $2 LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING id

-- name: delete
DELETE FROM hooks WHERE tenant_id = $1 AND id = $2

-- name: messages_below
SELECT m.id, m.event, m.data, m.status, m.attempts, nullif(m.due_at, 'infinity') AS next_at, m.error, m.created_at,
       m.ended_at
FROM hook_messages m JOIN hooks h ON h.tenant_id = m.tenant_id AND h.id = m.hook_id
WHERE m.tenant_id = $1 AND h.name = $2 AND m.id < $3
ORDER BY m.id DESC
LIMIT $4

-- name: resend
UPDATE hook_messages m
SET status = 'PENDING', attempts = 0, due_at = CASE WHEN h.paused THEN 'infinity' ELSE headrace_now() END,
    ended_at = NULL
FROM hooks h
WHERE m.tenant_id = $1 AND m.hook_id = $2 AND m.status = 'GIVEN_UP' AND h.tenant_id = $1 AND h.id = $2
RETURNING m.id

-- name: notify
SELECT pg_notify($1, '')

-- name: claim
-- For headrace_worker. A few of each hook and a few hooks of each tenant, so that one with many is in no other's way;
-- $3 are the hooks that the caller is at, $5 the tenants of whom it is at enough. While it is at them nobody else is; if
-- it is lost, others are when $4 is over.
WITH waiting AS (
    SELECT h.tenant_id, h.id, h.url, oldest.due_at,
           row_number() OVER (PARTITION BY h.tenant_id ORDER BY oldest.due_at) AS turn
    FROM hooks h
    CROSS JOIN LATERAL (
        SELECT m.due_at FROM hook_messages m
        WHERE m.tenant_id = h.tenant_id AND m.hook_id = h.id AND m.due_at <= headrace_now()
        ORDER BY m.due_at
        LIMIT 1
    ) oldest
    WHERE NOT h.paused AND h.id <> ALL ($3::uuid[]) AND h.tenant_id <> ALL ($5::uuid[])
),
due AS (
    SELECT o.tenant_id, o.id, w.url
    FROM (SELECT * FROM waiting WHERE turn <= $6 ORDER BY turn, due_at LIMIT $1) w
    CROSS JOIN LATERAL (
        SELECT m.tenant_id, m.id FROM hook_messages m
        WHERE m.tenant_id = w.tenant_id AND m.hook_id = w.id AND m.due_at <= headrace_now()
        ORDER BY m.due_at
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ) o
    LIMIT $1
)
UPDATE hook_messages m SET attempts = attempts + 1, due_at = headrace_now() + $4::interval
FROM due WHERE m.tenant_id = due.tenant_id AND m.id = due.id
RETURNING m.tenant_id, m.id, m.hook_id, m.event, m.data, m.attempts, m.created_at, due.url, headrace_now() AS now

-- name: sent
-- Also when another has claimed it meanwhile: it has arrived.
UPDATE hook_messages SET status = 'SENT', due_at = NULL, error = NULL, ended_at = headrace_now()
WHERE tenant_id = $1 AND id = $2 AND status = 'PENDING'

-- name: retry
-- Unless another has claimed it meanwhile. $5 NULL: that was the last attempt.
UPDATE hook_messages m
SET error = $4, status = CASE WHEN $5::interval IS NULL THEN 'GIVEN_UP' ELSE 'PENDING' END,
    due_at = CASE WHEN h.paused AND $5::interval IS NOT NULL THEN 'infinity' ELSE headrace_now() + $5::interval END,
    ended_at = CASE WHEN $5::interval IS NULL THEN headrace_now() END
FROM hooks h
WHERE m.tenant_id = $1 AND m.id = $2 AND m.attempts = $3 AND m.status = 'PENDING'
  AND h.tenant_id = m.tenant_id AND h.id = m.hook_id

-- name: seconds_to_next
-- How long there is nothing to send; NULL: nothing is planned. Of hooks that the caller is at ($1) it hears by itself;
-- one that was paused while something happened may have messages that are due, and go nowhere.
SELECT extract(epoch FROM min(m.due_at) - headrace_now())::float8
FROM (
    SELECT tenant_id, hook_id, due_at FROM hook_messages
    WHERE due_at < 'infinity' AND hook_id <> ALL ($1::uuid[])
    ORDER BY due_at
    LIMIT 200
) m
JOIN hooks h ON h.tenant_id = m.tenant_id AND h.id = m.hook_id
WHERE NOT h.paused

-- name: tell_of_connections
-- For headrace_worker: grants that end within seven days, each told once.
INSERT INTO hook_messages (tenant_id, id, hook_id, event, data, once)
SELECT h.tenant_id, headrace_new_id(), h.id, 'CONNECTION_EXPIRING',
       jsonb_build_object('connectionId', c.id, 'connection', c.name, 'endsAt', c.authorization_ends_at),
       'connection/' || c.id || '/' || extract(epoch FROM c.authorization_ends_at)::bigint
FROM hooks h JOIN connections c ON c.tenant_id = h.tenant_id
WHERE NOT h.paused AND 'CONNECTION_EXPIRING' = ANY (h.events)
  AND c.authorization_ends_at BETWEEN headrace_now() AND headrace_now() + interval '7 days'
ON CONFLICT (tenant_id, hook_id, once) DO NOTHING
RETURNING id

-- name: tell_of_quotas
-- For headrace_worker: quotas of which four fifths are used, each told once a day (in UTC). Counted no further than to
-- the quota.
INSERT INTO hook_messages (tenant_id, id, hook_id, event, data, once)
SELECT h.tenant_id, headrace_new_id(), h.id, 'QUOTA_NEAR',
       jsonb_build_object('quota', u.quota, 'most', u.most, 'used', u.used),
       'quota/' || u.quota || '/' || (headrace_now() AT TIME ZONE 'UTC')::date
FROM hooks h
JOIN quotas q ON q.tenant_id = h.tenant_id
CROSS JOIN LATERAL (
    SELECT 'storedRuns' AS quota, q.stored_runs AS most, q.runs_counted AS used
    UNION ALL
    SELECT 'unfinishedRuns', q.unfinished_runs, (
        SELECT count(*) FROM (
            SELECT 1 FROM runs r WHERE r.tenant_id = q.tenant_id
              AND r.status IN ('QUEUED', 'RUNNING', 'WAITING', 'PAUSED', 'COMPENSATING')
            LIMIT coalesce(q.unfinished_runs, 0)
        ) unfinished)
) u
WHERE NOT h.paused AND 'QUOTA_NEAR' = ANY (h.events) AND u.most > 0 AND u.used >= 0.8 * u.most
ON CONFLICT (tenant_id, hook_id, once) DO NOTHING
RETURNING id
