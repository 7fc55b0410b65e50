-- Lists of runs are read one status at a time, each from an index range of its own: then a rare status, or a
-- tenant that has been quiet for long, is found without reading what lies between. See runs/queries.sql.

DROP INDEX runs_newest;  -- the unique key (tenant_id, id) says the same
DROP INDEX runs_by_workflow;
CREATE INDEX runs_by_workflow ON runs (tenant_id, workflow_id, status, id DESC);
