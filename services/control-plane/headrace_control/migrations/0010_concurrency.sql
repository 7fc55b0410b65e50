-- How many runs of a workflow may be unfinished at once.

-- Whether the run takes a turn (below): said on its own row, so that runs without a limit cost no look elsewhere.
ALTER TABLE runs ADD COLUMN limited boolean NOT NULL DEFAULT false;

-- What is limited together: the runs of one workflow whose inputs have the same key. The row is the lock under which
-- turns are written; it is there for as long as there are any. `key` is the SHA-256 of the path and what it finds.
CREATE TABLE concurrency_slots (
    tenant_id   uuid NOT NULL,
    workflow_id uuid NOT NULL,
    key         bytea NOT NULL,
    PRIMARY KEY (tenant_id, workflow_id, key)
);
SELECT headrace_confine('concurrency_slots');

-- One row for each unfinished run with a limit. It waits until it is admitted: then its dispatch is inserted. A table
-- of its own and not columns of `runs`, because whoever ends a run admits another without locking that one's row.
CREATE TABLE concurrency_turns (
    tenant_id   uuid NOT NULL,
    workflow_id uuid NOT NULL,
    key         bytea NOT NULL,
    run_id      uuid PRIMARY KEY,
    place       bigint GENERATED ALWAYS AS IDENTITY,        -- in the line
    dispatch_id uuid NOT NULL,
    max_runs    integer NOT NULL CHECK (max_runs > 0),  -- as the run's own version says
    admitted    boolean NOT NULL DEFAULT false,
    FOREIGN KEY (tenant_id, workflow_id, key) REFERENCES concurrency_slots (tenant_id, workflow_id, key)
);
CREATE INDEX concurrency_line ON concurrency_turns (tenant_id, workflow_id, key, admitted, place);
SELECT headrace_confine('concurrency_turns');

GRANT SELECT, INSERT, UPDATE, DELETE ON concurrency_slots, concurrency_turns TO headrace_api, headrace_worker;
CREATE POLICY worker ON concurrency_slots TO headrace_worker USING (true);
CREATE POLICY worker ON concurrency_turns TO headrace_worker USING (true);
