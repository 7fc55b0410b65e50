-- phase: contract
-- needs: 0054
-- transaction: none
-- Releases that know pools look by dispatches_due_by_default and dispatches_due_in_pools.

DROP INDEX CONCURRENTLY IF EXISTS dispatches_due;
