-- What a tenant may use at most. A tenant without a row has no quota but its runs in flight (tenants.max_runs_in_flight).

CREATE TABLE quotas (
    tenant_id         uuid PRIMARY KEY REFERENCES tenants (id),
    unfinished_runs   integer CHECK (unfinished_runs >= 0),
    stored_runs       bigint CHECK (stored_runs >= 0),
    starts_per_minute integer CHECK (starts_per_minute >= 0),
    input_bytes       integer CHECK (input_bytes > 0),
    loop_items        integer CHECK (loop_items > 0),       -- of one loop
    log_records       integer CHECK (log_records > 0),      -- of one run, in one claim
    -- The bucket of starts: how many were left at that time. A minute's worth at most.
    starts_left       double precision NOT NULL DEFAULT 0,
    refilled_at       timestamptz NOT NULL DEFAULT '-infinity',
    -- How many runs are stored, as counted last.
    runs_counted      bigint NOT NULL DEFAULT 0,
    counted_at        timestamptz
);
SELECT headrace_confine('quotas');
GRANT SELECT, INSERT, UPDATE ON quotas TO headrace_api;
GRANT SELECT, UPDATE ON quotas TO headrace_worker;
CREATE POLICY worker ON quotas TO headrace_worker USING (true);
