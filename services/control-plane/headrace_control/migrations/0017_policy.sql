-- The policy gate: what a tenant says of actions, who published a version, and approvals that are used once.

CREATE TABLE policy_rules (
    tenant_id        uuid NOT NULL REFERENCES tenants (id),
    app              text NOT NULL,
    action           text NOT NULL,              -- '' stands for all actions of the app
    approval_class   text NOT NULL CHECK (approval_class IN ('A', 'B', 'C')),
    two_person       boolean NOT NULL,
    approver_roles   text[] NOT NULL,
    expires_after_ms bigint NOT NULL CHECK (expires_after_ms > 0),
    reason           text NOT NULL,              -- '' of one that only tightens
    set_by           uuid NOT NULL,
    set_by_name      text NOT NULL,
    set_at           timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, app, action)
);
SELECT headrace_confine('policy_rules');
GRANT SELECT, INSERT, UPDATE, DELETE ON policy_rules TO headrace_api;
-- Claims hand rules over, as they are then.
GRANT SELECT ON policy_rules TO headrace_worker;
CREATE POLICY worker ON policy_rules FOR SELECT TO headrace_worker USING (true);

-- Under the rule of two persons who published a version does not approve its calls.
ALTER TABLE workflow_versions ADD COLUMN published_by uuid;

-- One for each approval of a gated call. A token is known by its nonce, and redeemed once: for the run, the row and the
-- call that the approver saw.
CREATE TABLE approval_tokens (
    tenant_id        uuid NOT NULL REFERENCES tenants (id),
    nonce            uuid NOT NULL,
    run_id           uuid NOT NULL,
    step             text NOT NULL,
    digest           bytea NOT NULL CHECK (octet_length(digest) = 32),
    seq              integer NOT NULL,           -- of the message that brought it
    approved_by      uuid NOT NULL,
    approved_by_name text NOT NULL,
    expires_at       timestamptz NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT headrace_now(),
    redeemed_at      timestamptz,
    redeemed_epoch   integer,
    PRIMARY KEY (tenant_id, nonce),
    CHECK ((redeemed_at IS NULL) = (redeemed_epoch IS NULL))
);
CREATE INDEX approval_tokens_by_run ON approval_tokens (tenant_id, run_id, step);
SELECT headrace_confine('approval_tokens');
GRANT SELECT, INSERT, UPDATE ON approval_tokens TO headrace_api;
