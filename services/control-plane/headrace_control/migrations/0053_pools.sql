-- phase: expand
-- Runner pools. Where a table says nothing (NULL) it is the default pool: rows of the release before mean that, and a
-- deployment without other pools stores nothing for them.

CREATE TABLE pools (
    name       text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]{0,39}$'),
    created_at timestamptz NOT NULL DEFAULT headrace_now()
);
INSERT INTO pools (name) VALUES ('default');
GRANT SELECT ON pools TO headrace_api;
GRANT SELECT, INSERT, DELETE ON pools TO headrace_worker;

-- Which pools a tenant's runs may be in. Its workflows are bound to these alone, and the foreign key of theirs makes
-- sure of it.
CREATE TABLE pool_grants (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    pool       text NOT NULL REFERENCES pools (name),
    granted_at timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, pool)
);
CREATE INDEX pool_grants_by_pool ON pool_grants (pool);
SELECT headrace_confine('pool_grants');
GRANT SELECT, INSERT, DELETE ON pool_grants TO headrace_api;
GRANT SELECT ON pool_grants TO headrace_worker;
CREATE POLICY worker ON pool_grants FOR SELECT TO headrace_worker USING (true);

-- Where the runs of a tenant go whose workflows say nothing.
ALTER TABLE tenants ADD COLUMN pool text;
ALTER TABLE workflows ADD COLUMN pool text;
-- Nothing that was there before has a pool, and the release before writes none.
-- squawk-ignore ban-new-write-restriction
ALTER TABLE workflows ADD CONSTRAINT workflows_pool_granted
    FOREIGN KEY (tenant_id, pool) REFERENCES pool_grants (tenant_id, pool) NOT VALID;
GRANT SELECT (pool) ON workflows TO headrace_worker;

-- Found when the run is started, and kept; a dispatch carries that of its run.
ALTER TABLE runs ADD COLUMN pool text;
ALTER TABLE dispatches ADD COLUMN pool text;
ALTER TABLE dry_runs ADD COLUMN pool text;

-- Of whom a runner is, as it said when it enrolled.
ALTER TABLE runner_sessions ADD COLUMN pool text;
ALTER TABLE runners ADD COLUMN pool text;

-- As 0052 has it, with the grants: workflows refer to them, and so go before.
CREATE OR REPLACE FUNCTION headrace_tenant_tables() RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY[
        'connection_secrets', 'secrets', 'callback_keys', 'output_keys', 'signing_secrets', 'data_keys',
        'api_keys', 'sessions', 'login_codes', 'authorizations', 'members',
        'schedule_firings', 'schedule_backfills', 'schedules', 'webhook_deliveries', 'webhooks', 'dry_runs',
        'dispatches', 'concurrency_turns', 'concurrency_slots', 'start_keys',
        'events', 'attempts', 'step_runs', 'inbox', 'waits', 'runs',
        'approval_tokens', 'cached_results', 'forgotten_results', 'dead_letter_replays', 'dead_letters',
        'hook_messages', 'hooks', 'log_records',
        'throttles', 'connections', 'action_revisions', 'actions', 'apps',
        'rollout_changes', 'rollouts', 'workflow_versions', 'workflows', 'pool_grants', 'policy_rules', 'quotas',
        'audit_inbox', 'audit_log', 'tenants']
$$;
