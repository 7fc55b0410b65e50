-- phase: expand
-- transaction: none
-- What started a run, `SCHEDULE:name` or `WEBHOOK:name`; null where somebody asked for it. It is said in `trigger`, too, but
-- no function that looks into JSON is leak-proof, so behind row-level security no index on it would be used.
-- Lists are read as those of a version. Runs that nothing triggered are not in the index and cost nothing more.

ALTER TABLE runs ADD COLUMN IF NOT EXISTS triggered_by text;
CREATE INDEX CONCURRENTLY runs_by_trigger ON runs (tenant_id, triggered_by, status, id DESC)
    WHERE triggered_by IS NOT NULL;
