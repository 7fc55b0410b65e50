-- Dead letters that are worked off: grouped by their causes, closed by a replay or by a person.

ALTER TABLE dead_letters
    ADD COLUMN status        text NOT NULL DEFAULT 'OPEN' CHECK (status IN ('OPEN', 'REPLAYED', 'DISCARDED')),
    ADD COLUMN workflow_id   uuid,
    -- `app/action` of the call, else the type of the step; '' where there is no step.
    ADD COLUMN action        text NOT NULL DEFAULT '',
    -- Stable: the failure's code.
    ADD COLUMN code          text NOT NULL DEFAULT 'UNKNOWN',
    -- The run that goes on from it.
    ADD COLUMN replayed_by   uuid,
    ADD COLUMN closed_at     timestamptz,
    ADD COLUMN closed_reason text,
    ADD CHECK ((status = 'OPEN') = (closed_at IS NULL));

UPDATE dead_letters d SET workflow_id = r.workflow_id, code = coalesce(d.body -> 'cause' ->> 'code', 'UNKNOWN')
FROM runs r WHERE r.id = d.run_id;

-- Each list is read off one of these, newest first.
CREATE INDEX dead_letters_newest ON dead_letters (tenant_id, status, id DESC);
CREATE INDEX dead_letters_by_workflow ON dead_letters (tenant_id, status, workflow_id, id DESC);
CREATE INDEX dead_letters_by_group ON dead_letters (tenant_id, status, source, action, code, id DESC)
    INCLUDE (workflow_id, created_at);
CREATE INDEX dead_letters_of_run ON dead_letters (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX dead_letters_by_age ON dead_letters (created_at);

-- A person looks into what their tenant has, and closes it; only the protocol's own role adds and purges.
GRANT UPDATE (status, replayed_by, closed_at, closed_reason) ON dead_letters TO headrace_api;

-- A replay of all entries of a group that were open when it was asked for.
CREATE TABLE dead_letter_replays (
    tenant_id   uuid NOT NULL REFERENCES tenants (id),
    id          uuid NOT NULL,
    source      text NOT NULL,
    action      text NOT NULL,
    code        text NOT NULL,
    workflow_id uuid,                    -- of this workflow alone
    patch       jsonb,                   -- JSON Merge Patch (RFC 7396) of each run's input, sealed
    version     integer,                 -- NULL: each run's own
    doubtful    boolean NOT NULL,        -- calls in doubt are made again, too
    per_second  integer NOT NULL CHECK (per_second BETWEEN 1 AND 100),
    status      text NOT NULL DEFAULT 'RUNNING' CHECK (status IN ('RUNNING', 'STOPPED', 'DONE')),
    -- Entries up to `last_id` are its own, and those up to `at_id` it has tried.
    last_id     uuid NOT NULL,
    at_id       uuid NOT NULL,
    total       integer NOT NULL,
    replayed    integer NOT NULL DEFAULT 0,
    refused     integer NOT NULL DEFAULT 0,
    refusal     jsonb,                   -- {code, message, letter}: the last one
    due_at      timestamptz NOT NULL DEFAULT headrace_now(),
    created_at  timestamptz NOT NULL DEFAULT headrace_now(),
    created_by  uuid NOT NULL,
    actor_kind  text NOT NULL,           -- who asked for it, as the audit has it
    actor_name  text NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX dead_letter_replays_due ON dead_letter_replays (due_at) WHERE status = 'RUNNING';
SELECT headrace_confine('dead_letter_replays');
GRANT SELECT, INSERT, UPDATE ON dead_letter_replays TO headrace_api;
GRANT SELECT, DELETE ON dead_letter_replays TO headrace_worker;
CREATE POLICY worker ON dead_letter_replays TO headrace_worker USING (true);
