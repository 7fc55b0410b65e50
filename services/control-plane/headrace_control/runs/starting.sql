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
