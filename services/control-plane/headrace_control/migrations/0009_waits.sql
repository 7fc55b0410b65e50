-- Pauses, approvals as they are listed (newest first, one status at a time), and the keys that sign callback addresses.

-- A run that is paused while nobody holds it has no dispatch.
GRANT DELETE ON dispatches TO headrace_api;

DROP INDEX waits_open;
CREATE INDEX waits_newest ON waits (tenant_id, kind, status, opened_at DESC, run_id DESC, step DESC);

-- One for each tenant, sealed like every secret; made when the first address is.
CREATE TABLE callback_keys (
    tenant_id  uuid PRIMARY KEY REFERENCES tenants (id),
    key_id     uuid NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    FOREIGN KEY (tenant_id, key_id) REFERENCES data_keys (tenant_id, id)
);
SELECT headrace_confine('callback_keys');
GRANT SELECT, INSERT, UPDATE ON callback_keys TO headrace_api;
