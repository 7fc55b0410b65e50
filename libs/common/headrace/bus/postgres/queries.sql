-- name: declare_queues
INSERT INTO bus_queues (name)
SELECT unnest($1::text[])
ON CONFLICT DO NOTHING;

-- name: find_queues
SELECT name FROM bus_queues;

-- name: publish
-- The ORDER BY is what numbers the messages in the order given.
WITH sent AS (
    INSERT INTO bus_messages (queue, body, headers)
    SELECT given.queue, given.body, given.headers
    FROM unnest($1::text[], $2::bytea[], $3::text[]) WITH ORDINALITY AS given (queue, body, headers, position)
    ORDER BY given.position
    RETURNING queue
)
SELECT pg_notify('headrace_bus', woken.queue)
FROM (SELECT DISTINCT queue FROM sent) AS woken;

-- name: announce_consumer
INSERT INTO bus_consumers (id, queue, expires_at)
VALUES ($1, $2, now() + $3::interval)
ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at;

-- name: renew_consumers
UPDATE bus_consumers SET expires_at = now() + $2::interval
WHERE id = ANY($1::uuid[])
RETURNING id;

-- name: lock_lapsed_consumers
-- SKIP LOCKED: of many that look, one does the work.
SELECT id FROM bus_consumers
WHERE expires_at < now()
FOR UPDATE SKIP LOCKED;

-- name: lock_consumers
SELECT id FROM bus_consumers
WHERE id = ANY($1::uuid[])
FOR UPDATE;

-- name: bury_spent
UPDATE bus_messages SET
    queue = $2, id = DEFAULT, origin = queue, reason = $3, consumer_id = NULL, deliveries = 0
WHERE consumer_id = ANY($1::uuid[]) AND deliveries >= $4;

-- name: free_messages
WITH freed AS (
    UPDATE bus_messages SET consumer_id = NULL
    WHERE consumer_id = ANY($1::uuid[])
    RETURNING queue
)
SELECT pg_notify('headrace_bus', woken.queue)
FROM (SELECT DISTINCT queue FROM freed) AS woken;

-- name: forget_consumers
DELETE FROM bus_consumers WHERE id = ANY($1::uuid[]);

-- name: take_messages
-- The lock on our own row holds off whoever would declare us lapsed, until what we take here is visible to
-- them. Free messages are found by number, not beyond a last number seen: numbers become visible out of order.
WITH me AS (
    SELECT id FROM bus_consumers WHERE id = $2 FOR KEY SHARE
), free AS (
    SELECT queue, id FROM bus_messages
    WHERE queue = $1 AND consumer_id IS NULL AND EXISTS (SELECT FROM me)
    ORDER BY id
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
UPDATE bus_messages AS m SET consumer_id = $2, deliveries = m.deliveries + 1
FROM free
WHERE m.queue = free.queue AND m.id = free.id
RETURNING m.id, m.body, m.headers, m.deliveries;

-- name: any_session_lives
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ANY($1::integer[]));

-- name: put_back
-- No handler has seen these, so their delivery is not counted.
WITH freed AS (
    UPDATE bus_messages SET consumer_id = NULL, deliveries = deliveries - 1
    WHERE queue = $1 AND consumer_id = $2 AND id <> ALL($3::bigint[])
    RETURNING queue
)
SELECT pg_notify('headrace_bus', woken.queue)
FROM (SELECT DISTINCT queue FROM freed) AS woken;

-- name: acknowledge
DELETE FROM bus_messages
WHERE queue = $1 AND id = ANY($3::bigint[]) AND consumer_id = $2;

-- name: give_back
-- Deliveries of those in $4 are counted anew.
WITH freed AS (
    UPDATE bus_messages SET consumer_id = NULL, deliveries = CASE WHEN id = ANY($4) THEN 0 ELSE deliveries END
    WHERE queue = $1 AND id = ANY($3::bigint[] || $4::bigint[]) AND consumer_id = $2
    RETURNING queue
)
SELECT pg_notify('headrace_bus', woken.queue)
FROM (SELECT DISTINCT queue FROM freed) AS woken;

-- name: bury
WITH given AS (
    SELECT * FROM unnest($3::bigint[], $4::text[]) AS given (id, reason)
)
UPDATE bus_messages AS m SET
    queue = $5, id = DEFAULT, origin = m.queue, reason = given.reason, consumer_id = NULL, deliveries = 0
FROM given
WHERE m.queue = $1 AND m.id = given.id AND m.consumer_id = $2;

-- name: lock_partition
-- A session's lock: it ends with the session, however that ends.
SELECT pg_try_advisory_lock(hashtextextended($1, 0));

-- name: alive
SELECT 1;

-- name: read_partition
SELECT id, body, headers FROM bus_messages
WHERE queue = $1
ORDER BY id
LIMIT $2;

-- name: acknowledge_partition
DELETE FROM bus_messages WHERE queue = $1 AND id = ANY($2::bigint[]);

-- name: depth
SELECT
    (SELECT count(*) FROM bus_messages WHERE queue = $1 AND consumer_id IS NULL) AS ready,
    (SELECT count(*) FROM bus_consumers WHERE queue = $1 AND expires_at > now()) AS consumers;

-- name: find_dead_letters
SELECT coalesce(origin, queue) AS queue, coalesce(reason, '') AS reason, body FROM bus_messages
WHERE queue = $1
ORDER BY id
LIMIT $2;

-- name: own
INSERT INTO bus_owners (namespace, deployment) VALUES ($1, $2)
ON CONFLICT DO NOTHING;

-- name: own_anyway
INSERT INTO bus_owners (namespace, deployment) VALUES ($1, $2)
ON CONFLICT (namespace) DO UPDATE SET deployment = excluded.deployment;

-- name: owned_by_another
SELECT EXISTS (SELECT FROM bus_owners WHERE namespace = $1 AND deployment <> $2);

-- name: ping
SELECT 1 FROM bus_queues LIMIT 1;
