-- name: record
-- In the transaction of what is recorded. It gets its place in the tenant's chain later, so that no two transactions of
-- a tenant have to wait for each other.
INSERT INTO audit_inbox (tenant_id, id, actor_kind, actor_id, actor_name, action, target, outcome,
    before_digest, after_digest, detail, correlation_id, origin)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
