-- Dry runs: a version walked by a runner with declared or recorded answers. They are no runs: nothing of them is in the
-- tables of runs, so that nothing counts, limits, lists or wakes for them.

CREATE TABLE dry_runs (
    tenant_id       uuid NOT NULL REFERENCES tenants (id),
    id              uuid NOT NULL,
    workflow        text NOT NULL,
    number          integer,             -- of the version; NULL: a document that is not published
    version_id      uuid NOT NULL,
    resolved        jsonb,               -- of a document that is not published
    base_version_id uuid,                -- the version of the recorded run
    run_id          uuid,                -- whose outputs answer
    given           jsonb NOT NULL,      -- {input, responses}, sealed
    opens           boolean NOT NULL,    -- whether what is sealed of the recorded run is opened for it
    status          text NOT NULL DEFAULT 'QUEUED' CHECK (status IN ('QUEUED', 'WALKING', 'DONE', 'FAILED')),
    -- A walk does nothing to anybody: whoever comes after its time does it again.
    token           bytea,
    taken_until     timestamptz,
    takes           integer NOT NULL DEFAULT 0,
    report          jsonb,
    failure         jsonb,               -- {code, message}
    created_at      timestamptz NOT NULL DEFAULT headrace_now(),
    created_by      uuid NOT NULL,
    finished_at     timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK ((status IN ('DONE', 'FAILED')) = (finished_at IS NOT NULL))
);
CREATE INDEX dry_runs_unfinished ON dry_runs (id) WHERE status IN ('QUEUED', 'WALKING');
CREATE INDEX dry_runs_by_age ON dry_runs (created_at);
SELECT headrace_confine('dry_runs');
GRANT SELECT, INSERT ON dry_runs TO headrace_api;
GRANT SELECT, UPDATE, DELETE ON dry_runs TO headrace_worker;
CREATE POLICY worker ON dry_runs TO headrace_worker USING (true);
