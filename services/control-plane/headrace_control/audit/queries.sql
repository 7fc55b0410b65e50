-- name: record
-- In the transaction of what is recorded. It gets its place in the tenant's chain later, so that no two transactions of
-- a tenant have to wait for each other.
INSERT INTO audit_inbox (tenant_id, id, actor_kind, actor_id, actor_name, action, target, outcome,
    before_digest, after_digest, detail, correlation_id, origin)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: one_sealer_at_a_time
-- Until the transaction ends; who does not get it leaves the work to who has it.
SELECT pg_try_advisory_xact_lock(hashtext('headrace_audit_sealer'))

-- name: tenants_waiting
-- Up to $2 tenants behind $1 that have something in the inbox, each found by one step through its key.
WITH RECURSIVE waiting AS (
    (SELECT tenant_id FROM audit_inbox WHERE tenant_id > $1 ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT i.tenant_id FROM audit_inbox i WHERE i.tenant_id > w.tenant_id ORDER BY i.tenant_id LIMIT 1)
    FROM waiting w WHERE w.tenant_id IS NOT NULL
)
SELECT tenant_id FROM waiting WHERE tenant_id IS NOT NULL LIMIT $2

-- name: take
-- What is sealed is taken in the transaction that adds it to the chain: it is in one of the two, always.
DELETE FROM audit_inbox i
USING (
    SELECT n.tenant_id, oldest.id
    FROM unnest($1::uuid[]) AS n (tenant_id)
    CROSS JOIN LATERAL (
        SELECT a.id FROM audit_inbox a WHERE a.tenant_id = n.tenant_id ORDER BY a.id LIMIT $2
    ) oldest
) t
WHERE i.tenant_id = t.tenant_id AND i.id = t.id
RETURNING i.tenant_id, i.id, i.at, i.actor_kind, i.actor_id, i.actor_name, i.action, i.target, i.outcome,
    i.before_digest, i.after_digest, i.detail, i.correlation_id, i.origin

-- name: heads
SELECT n.tenant_id, head.seq, head.hash
FROM unnest($1::uuid[]) AS n (tenant_id)
CROSS JOIN LATERAL (
    SELECT l.seq, l.hash FROM audit_log l WHERE l.tenant_id = n.tenant_id ORDER BY l.seq DESC LIMIT 1
) head

-- name: seal
INSERT INTO audit_log (tenant_id, seq, id, at, actor_kind, actor_id, actor_name, action, target, outcome,
    before_digest, after_digest, detail, correlation_id, origin, previous, hash)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::timestamptz[], $5::text[], $6::uuid[], $7::text[],
    $8::text[], $9::text[], $10::text[], $11::bytea[], $12::bytea[], $13::text[]::jsonb[], $14::text[], $15::text[],
    $16::bytea[], $17::bytea[])

-- name: unsealed
SELECT count(*) AS waiting, coalesce(extract(epoch FROM headrace_now() - min(at)), 0)::float8 AS oldest_seconds
FROM (SELECT at FROM audit_inbox LIMIT 100000) a

-- name: newest
-- Newest first. Each filter has its index, in this order; the planner takes the most selective.
SELECT tenant_id, seq, id, at, actor_kind, actor_id, actor_name, action, target, outcome, before_digest, after_digest,
    detail, correlation_id, origin, previous, hash
FROM audit_log
WHERE tenant_id = $1
  AND ($2::text IS NULL OR action = $2) AND ($3::text IS NULL OR actor_name = $3)
  AND ($4::text IS NULL OR target = $4) AND ($5::text IS NULL OR outcome = $5)
  AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)
  AND ($8::timestamptz IS NULL OR (at, seq) < ($8, $9))
ORDER BY at DESC, seq DESC
LIMIT $10

-- name: chain
SELECT tenant_id, seq, id, at, actor_kind, actor_id, actor_name, action, target, outcome, before_digest, after_digest,
    detail, correlation_id, origin, previous, hash
FROM audit_log WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3

-- name: head
SELECT seq, hash, at FROM audit_log WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1

-- name: record_refused_logins
SELECT headrace_record_refused_logins($1, $2, $3, $4, $5, $6)

-- name: no_sealer_meanwhile
SELECT pg_advisory_xact_lock(hashtext('headrace_audit_sealer'))

-- name: next_tenant
SELECT tenant_id FROM audit_log WHERE tenant_id > $1 ORDER BY tenant_id LIMIT 1

-- name: prunable
-- The last of the first $3 records before which all are older than $2, and the first; none unless the first is older by
-- another day, so that a chain is not pruned for each record that comes of age.
WITH oldest AS (
    SELECT seq, at, hash FROM audit_log WHERE tenant_id = $1 ORDER BY seq LIMIT $3
),
first AS (SELECT seq, at FROM oldest ORDER BY seq LIMIT 1)
SELECT last.seq, last.hash, first.seq AS first, headrace_now() AS now
FROM first
CROSS JOIN LATERAL (
    SELECT o.seq, o.hash FROM oldest o
    WHERE o.seq < coalesce((SELECT min(b.seq) FROM oldest b WHERE b.at >= headrace_now() - $2::interval), o.seq + 1)
    ORDER BY o.seq DESC
    LIMIT 1
) last
WHERE first.at < headrace_now() - $2::interval - interval '1 day'

-- name: prune
SELECT headrace_prune_audit($1, $2)
