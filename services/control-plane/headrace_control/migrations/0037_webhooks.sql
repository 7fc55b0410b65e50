-- Webhooks: signed messages from outside that start a workflow, and what came of them.

CREATE TABLE webhooks (
    tenant_id         uuid NOT NULL REFERENCES tenants (id),
    id                uuid NOT NULL,
    name              text NOT NULL,
    workflow_id       uuid NOT NULL,
    version           integer,                   -- NULL: the newest published one
    input             jsonb,                     -- texts in it may hold expressions over the message; NULL: its body
    schema            jsonb,                     -- NULL: any body
    tolerance_seconds integer NOT NULL CHECK (tolerance_seconds BETWEEN 1 AND 3600),
    answer            text NOT NULL CHECK (answer IN ('RUN_ID', 'RESULT')),
    result_seconds    integer NOT NULL CHECK (result_seconds BETWEEN 1 AND 30),
    -- For whom its runs start: who made it, or changed it last.
    acts_for          uuid NOT NULL,
    paused            boolean NOT NULL DEFAULT false,
    created_at        timestamptz NOT NULL DEFAULT headrace_now(),
    updated_at        timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id, workflow_id) REFERENCES workflows (tenant_id, id)
);
SELECT headrace_confine('webhooks');
GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks TO headrace_api;

-- What messages are signed with, sealed. The newest has no end; the one before it may still be used for a while.
CREATE TABLE signing_secrets (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    webhook_id uuid NOT NULL,
    key_id     uuid NOT NULL,
    sealed     bytea NOT NULL,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, key_id) REFERENCES data_keys (tenant_id, id)
);
CREATE UNIQUE INDEX signing_secrets_of_webhook ON signing_secrets (tenant_id, webhook_id) WHERE expires_at IS NULL;
CREATE INDEX signing_secrets_ending ON signing_secrets (tenant_id, webhook_id) WHERE expires_at IS NOT NULL;
CREATE INDEX signing_secrets_by_key ON signing_secrets (tenant_id, key_id);
SELECT headrace_confine('signing_secrets');
GRANT SELECT, INSERT, UPDATE, DELETE ON signing_secrets TO headrace_api;

-- A row for each run that a message started: written with it, so that no id starts two. Refusals are counted.
CREATE TABLE webhook_deliveries (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    webhook_id uuid NOT NULL,
    message_id text,
    digest     bytea,                            -- SHA-256 of the body
    run_id     uuid,
    error      jsonb,                            -- why it was refused: {code, message}
    times      integer NOT NULL DEFAULT 1 CHECK (times > 0),
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE,
    CHECK ((run_id IS NULL) = (error IS NOT NULL)),
    CHECK ((run_id IS NULL) = (message_id IS NULL)),
    CHECK ((run_id IS NULL) = (digest IS NULL))
);
CREATE UNIQUE INDEX webhook_deliveries_once ON webhook_deliveries (tenant_id, webhook_id, message_id)
    WHERE message_id IS NOT NULL;
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (tenant_id, webhook_id, id DESC);
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (created_at);
SELECT headrace_confine('webhook_deliveries');
GRANT SELECT, INSERT ON webhook_deliveries TO headrace_api;
GRANT SELECT, DELETE ON webhook_deliveries TO headrace_worker;
CREATE POLICY worker ON webhook_deliveries TO headrace_worker USING (true);

-- An external system acts, too, by what it has signed.
ALTER TABLE audit_inbox
    DROP CONSTRAINT audit_inbox_actor_kind_check,
    ADD CONSTRAINT audit_inbox_actor_kind_check
        CHECK (actor_kind IN ('API_KEY', 'MEMBER', 'SERVICE', 'CALLBACK', 'WEBHOOK'));
