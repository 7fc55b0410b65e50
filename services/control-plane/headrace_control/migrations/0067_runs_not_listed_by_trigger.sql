-- phase: expand
-- transaction: none
-- Runs that say what triggered them in `trigger` alone: those of before 0064, and of control planes of the release before.
-- Upkeep fills in their `triggered_by`, and so empties the index. No run that is started now is in it.

CREATE INDEX CONCURRENTLY runs_not_listed_by_trigger ON runs (id) WHERE trigger IS NOT NULL AND triggered_by IS NULL;
