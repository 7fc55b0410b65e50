-- name: named
SELECT h.id, h.name, w.name AS workflow, h.version, h.input, h.schema, h.tolerance_seconds, h.answer, h.result_seconds,
       h.acts_for, h.paused, h.created_at, h.updated_at, headrace_now() AS read_at,
       (SELECT max(s.expires_at) FROM signing_secrets s WHERE s.tenant_id = h.tenant_id AND s.webhook_id = h.id
        AND s.expires_at > headrace_now()) AS previous_until
FROM webhooks h JOIN workflows w ON w.tenant_id = h.tenant_id AND w.id = h.workflow_id
WHERE h.tenant_id = $1 AND h.name = $2

-- name: lock_named
SELECT id FROM webhooks WHERE tenant_id = $1 AND name = $2 FOR UPDATE

-- name: shown
-- In the order of their names, behind $2; or the one of the name $3. Behind the page comes one more, without what may be
-- large. That as text; of what together has more than $5 bytes the size alone. See `payloads` of headrace_control.runs.
WITH found AS MATERIALIZED (
    SELECT h.id, h.name, w.name AS workflow, h.version,
           CASE WHEN h.number <= $4 THEN h.input END AS input,
           CASE WHEN h.number <= $4 THEN h.schema END AS schema,
           h.tolerance_seconds, h.answer, h.result_seconds, h.acts_for, h.paused, h.created_at, h.updated_at,
           headrace_now() AS read_at,
           (SELECT max(s.expires_at) FROM signing_secrets s WHERE s.tenant_id = h.tenant_id AND s.webhook_id = h.id
            AND s.expires_at > headrace_now()) AS previous_until
    FROM (
        SELECT *, row_number() OVER (ORDER BY name) AS number FROM webhooks
        WHERE tenant_id = $1 AND name > $2 AND ($3::text IS NULL OR name = $3)
        ORDER BY name
        LIMIT $4 + 1
    ) h
    JOIN workflows w ON w.tenant_id = h.tenant_id AND w.id = h.workflow_id
),
together AS (
    SELECT coalesce(sum(coalesce(octet_length(input::text), 0) + coalesce(octet_length(schema::text), 0)), 0)::bigint
        AS size
    FROM found
)
SELECT together.size, found.id, found.name, found.workflow, found.version, found.tolerance_seconds, found.answer,
       found.result_seconds, found.acts_for, found.paused, found.created_at, found.updated_at, found.read_at,
       found.previous_until, convert_to(found.input::text, 'UTF8') AS input,
       convert_to(found.schema::text, 'UTF8') AS schema
FROM together LEFT JOIN found ON together.size <= $5
ORDER BY found.name

-- name: at_address
SELECT h.id, h.name, w.name AS workflow, h.version, h.input, h.schema, h.tolerance_seconds, h.answer, h.result_seconds,
       h.acts_for, h.paused, h.created_at, h.updated_at, headrace_now() AS read_at,
       NULL::timestamptz AS previous_until
FROM webhooks h JOIN workflows w ON w.tenant_id = h.tenant_id AND w.id = h.workflow_id
WHERE h.tenant_id = $1 AND h.id = $2 AND NOT h.paused

-- name: count
SELECT count(*) FROM webhooks WHERE tenant_id = $1

-- name: insert
INSERT INTO webhooks (tenant_id, id, name, workflow_id, version, input, schema, tolerance_seconds, answer,
                      result_seconds, acts_for)
SELECT $1, $2, $3, w.id, $5, $6, $7, $8, $9, $10, $11
FROM workflows w WHERE w.tenant_id = $1 AND w.name = $4
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING id

-- name: change
UPDATE webhooks h
SET workflow_id = w.id, version = $4, input = $5, schema = $6, tolerance_seconds = $7, answer = $8,
    result_seconds = $9, acts_for = $10, updated_at = headrace_now()
FROM workflows w
WHERE h.tenant_id = $1 AND h.id = $2 AND w.tenant_id = $1 AND w.name = $3

-- name: set_paused
UPDATE webhooks SET paused = $3, updated_at = headrace_now() WHERE tenant_id = $1 AND id = $2 AND paused <> $3

-- name: delete
DELETE FROM webhooks WHERE tenant_id = $1 AND id = $2

-- name: seen
-- No row: the webhook is gone, or was paused. The lock keeps it where it is until the message's run is there; those of
-- other messages do not mind.
SELECT h.id, d.run_id, d.digest
FROM webhooks h
LEFT JOIN webhook_deliveries d ON d.tenant_id = h.tenant_id AND d.webhook_id = h.id AND d.message_id = $3
WHERE h.tenant_id = $1 AND h.id = $2 AND NOT h.paused
FOR KEY SHARE OF h

-- name: keep_started
-- Waits for another transaction with the same id; no row: that one has started the run.
INSERT INTO webhook_deliveries (tenant_id, id, webhook_id, message_id, digest, run_id) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, webhook_id, message_id) WHERE message_id IS NOT NULL DO NOTHING
RETURNING id

-- name: keep_refused
-- Of webhooks that are still there.
INSERT INTO webhook_deliveries (tenant_id, id, webhook_id, error, times)
SELECT $1, $2, h.id, $4, $5 FROM webhooks h WHERE h.tenant_id = $1 AND h.id = $3

-- name: deliveries_below
SELECT d.id, d.message_id, d.run_id, d.error, d.times, d.created_at
FROM webhook_deliveries d JOIN webhooks h ON h.tenant_id = d.tenant_id AND h.id = d.webhook_id
WHERE d.tenant_id = $1 AND h.name = $2 AND d.id < $3
ORDER BY d.id DESC
LIMIT $4
