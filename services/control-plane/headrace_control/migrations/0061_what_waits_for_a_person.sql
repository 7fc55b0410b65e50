-- phase: expand
-- transaction: none
-- What waits for a person is measured every few seconds, over all tenants. Whatever changes these columns of a run
-- changes who holds it, which has an index already: no update becomes dearer.

CREATE INDEX CONCURRENTLY runs_for_a_person ON runs (wait_reason, claimed_at)
    WHERE wait_reason IN ('IN_DOUBT', 'DEAD_LETTER');
CREATE INDEX CONCURRENTLY dead_letters_open ON dead_letters (source, created_at)
    WHERE status = 'OPEN' AND tenant_id IS NOT NULL;
