-- phase: expand
-- Results of calls that stand for later calls of the same kind: see the steps' `cache`. A slot is named by the control
-- plane, with a key of the tenant's: whoever reads the table learns nothing of the calls.

CREATE TABLE cached_results (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    slot       bytea NOT NULL CHECK (length(slot) = 32),
    action     text NOT NULL,
    run_id     uuid NOT NULL,            -- whose it is; that run may be gone by now
    step       text NOT NULL,
    output     jsonb,
    kept_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, slot)
);
CREATE INDEX cached_results_by_end ON cached_results (expires_at);
CREATE INDEX cached_results_of_tenant ON cached_results (tenant_id, expires_at);
CREATE INDEX cached_results_by_action ON cached_results (tenant_id, action);
SELECT headrace_confine('cached_results');
GRANT SELECT ON cached_results TO headrace_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON cached_results TO headrace_worker;
CREATE POLICY worker ON cached_results TO headrace_worker USING (true);

-- Until when results of an action stand for nothing any more; '*': of all. To forget is one row, however many results
-- there are, and holds up nobody who is keeping some.
CREATE TABLE forgotten_results (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    action    text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, action)
);
SELECT headrace_confine('forgotten_results');
GRANT SELECT, INSERT, UPDATE ON forgotten_results TO headrace_api;
GRANT SELECT, DELETE ON forgotten_results TO headrace_worker;
CREATE POLICY worker ON forgotten_results TO headrace_worker USING (true);
