-- phase: expand
-- transaction: none
-- Lists of a version's runs are read as those of a workflow's: one status at a time, each from an index range of its own.
-- A version is one tenant's, which need not stand in front of it.

CREATE INDEX CONCURRENTLY runs_by_version ON runs (version_id, status, id DESC);
