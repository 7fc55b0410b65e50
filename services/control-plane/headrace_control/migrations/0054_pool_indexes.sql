-- phase: expand
-- transaction: none
-- The relay looks for each pool's due dispatches by themselves, however many wait in another. Of a deployment without
-- other pools the last two stay empty.

CREATE INDEX CONCURRENTLY dispatches_due_by_default ON dispatches (tenant_id, due_at)
    WHERE sent_at IS NULL AND pool IS NULL;
CREATE INDEX CONCURRENTLY dispatches_due_in_pools ON dispatches (pool, tenant_id, due_at)
    WHERE sent_at IS NULL AND pool IS NOT NULL;
CREATE INDEX CONCURRENTLY runs_in_pools ON runs (pool, id) WHERE pool IS NOT NULL AND finished_at IS NULL;
