-- The core schema: who the tenants are, what they design, and the life of their runs.
--
-- Conventions: ids are UUIDv7, minted by the services. Every table with tenant data names tenant_id, keeps
-- composite keys (tenant_id, id) so that no row can point at another tenant's, and has row-level security
-- FORCED. Two roles act: headrace_api sees the tenant that its transaction names; headrace_worker (relay,
-- sweeper, claims, reporter) has policies on the tables of the run protocol only.

-- Roles belong to the cluster, not to the database: another database's migration may be making them now.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['headrace_api', 'headrace_worker', 'headrace_bus'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOBYPASSRLS', role_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        -- Whoever migrates may act as them; a production deployment grants them to its own logins.
        BEGIN
            EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
END
$$;

-- The one clock of the SQL. Tests shift it for their session or database; production never sets it.
CREATE FUNCTION headrace_now() RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT now() + coalesce(nullif(current_setting('headrace.clock_offset', true), ''), '0')::interval
$$;

-- nullif: after a SET LOCAL has ended, the setting reads as '', not as NULL.
CREATE FUNCTION headrace_tenant() RETURNS uuid
LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('headrace.tenant_id', true), '')::uuid
$$;

CREATE FUNCTION headrace_confine(target regclass, tenant_column text DEFAULT 'tenant_id') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format(
        'CREATE POLICY tenant_only ON %s TO headrace_api USING (%I = headrace_tenant()) WITH CHECK (%I = headrace_tenant())',
        target, tenant_column, tenant_column);
END
$$;

-- ---------------------------------------------------------------------------------------------------------
-- Tenants and their keys

CREATE TABLE tenants (
    id                 uuid PRIMARY KEY,
    name               text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    -- Admins of a platform tenant may create tenants.
    platform           boolean NOT NULL DEFAULT false,
    -- How many runs of this tenant may be sent or held at once; the rest wait in the table.
    max_runs_in_flight integer NOT NULL DEFAULT 500 CHECK (max_runs_in_flight > 0),
    created_at         timestamptz NOT NULL DEFAULT headrace_now()
);
SELECT headrace_confine('tenants', 'id');

CREATE TABLE api_keys (
    tenant_id    uuid NOT NULL REFERENCES tenants (id),
    id           uuid NOT NULL,
    name         text NOT NULL,
    role         text NOT NULL CHECK (role IN ('ADMIN', 'DESIGNER', 'OPERATOR', 'APPROVER', 'VIEWER')),
    -- The first characters of the key, to tell keys apart; the key itself is only hashed.
    prefix       text NOT NULL,
    hash         bytea NOT NULL UNIQUE,
    created_at   timestamptz NOT NULL DEFAULT headrace_now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
SELECT headrace_confine('api_keys');

-- Who calls is asked before any tenant is known, so this one look-up steps over the policies.
CREATE FUNCTION headrace_find_api_key(key_hash bytea)
RETURNS TABLE (tenant_id uuid, id uuid, role text, platform boolean)
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE api_keys k SET last_used_at = headrace_now()
    WHERE k.hash = key_hash AND k.revoked_at IS NULL
      AND (k.last_used_at IS NULL OR k.last_used_at < headrace_now() - interval '1 minute')
      AND (k.expires_at IS NULL OR k.expires_at > headrace_now());
    SELECT k.tenant_id, k.id, k.role, t.platform
    FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
    WHERE k.hash = key_hash AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > headrace_now());
$$;
REVOKE ALL ON FUNCTION headrace_find_api_key(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION headrace_find_api_key(bytea) TO headrace_api;
-- FORCE binds even the owner, so the owner (whom the function acts as) gets a policy of its own.
CREATE POLICY owner_finds_keys ON api_keys TO CURRENT_USER USING (true);
CREATE POLICY owner_finds_keys ON tenants TO CURRENT_USER USING (true);

-- ---------------------------------------------------------------------------------------------------------
-- What people design

CREATE TABLE apps (
    tenant_id   uuid NOT NULL REFERENCES tenants (id),
    id          uuid NOT NULL,
    name        text NOT NULL,
    title       text NOT NULL DEFAULT '',
    base_url    text NOT NULL,
    auth        jsonb NOT NULL,          -- {kind, ...}: how its connections authenticate
    created_at  timestamptz NOT NULL DEFAULT headrace_now(),
    updated_at  timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);
SELECT headrace_confine('apps');

CREATE TABLE actions (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    app_id     uuid NOT NULL,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, app_id, name),
    FOREIGN KEY (tenant_id, app_id) REFERENCES apps (tenant_id, id)
);
SELECT headrace_confine('actions');

CREATE TABLE action_revisions (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    action_id  uuid NOT NULL,
    revision   integer NOT NULL CHECK (revision > 0),
    definition jsonb NOT NULL,
    digest     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    created_by uuid,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, action_id, revision),
    FOREIGN KEY (tenant_id, action_id) REFERENCES actions (tenant_id, id)
);
SELECT headrace_confine('action_revisions');

CREATE TABLE workflows (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    id         uuid NOT NULL,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);
SELECT headrace_confine('workflows');

CREATE TABLE workflow_versions (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    workflow_id  uuid NOT NULL,
    version      integer NOT NULL CHECK (version > 0),
    status       text NOT NULL CHECK (status IN ('DRAFT', 'PUBLISHED', 'DEPRECATED')),
    document     jsonb NOT NULL,         -- as the designer wrote it
    resolved     jsonb,                  -- with action revisions pinned, connections named: what runners get
    digest       text,                   -- SHA-256 of `resolved`
    note         text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT headrace_now(),
    created_by   uuid,
    published_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, workflow_id, version),
    FOREIGN KEY (tenant_id, workflow_id) REFERENCES workflows (tenant_id, id),
    CHECK ((status = 'DRAFT') = (published_at IS NULL)),
    CHECK (status = 'DRAFT' OR (resolved IS NOT NULL AND digest IS NOT NULL))
);
SELECT headrace_confine('workflow_versions');

CREATE FUNCTION headrace_keep_published() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'DRAFT' AND (
        NEW.document IS DISTINCT FROM OLD.document OR NEW.resolved IS DISTINCT FROM OLD.resolved
        OR NEW.digest IS DISTINCT FROM OLD.digest OR NEW.version <> OLD.version
        OR NEW.workflow_id <> OLD.workflow_id OR NEW.status = 'DRAFT') THEN
        RAISE EXCEPTION 'a published workflow version is immutable';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_published BEFORE UPDATE ON workflow_versions
    FOR EACH ROW EXECUTE FUNCTION headrace_keep_published();

CREATE FUNCTION headrace_refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is immutable', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER keep_revision BEFORE UPDATE ON action_revisions
    FOR EACH ROW EXECUTE FUNCTION headrace_refuse_change();

-- ---------------------------------------------------------------------------------------------------------
-- Credentials: every value is sealed under a tenant's data key, which is wrapped by a key provider

CREATE TABLE data_keys (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    id         uuid NOT NULL,
    provider   text NOT NULL,            -- which key provider wrapped it
    wrapped_by text NOT NULL,            -- the provider's key id
    wrapped    bytea NOT NULL,
    active     boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX data_keys_one_active ON data_keys (tenant_id) WHERE active;
SELECT headrace_confine('data_keys');

CREATE TABLE connections (
    tenant_id        uuid NOT NULL,
    id               uuid NOT NULL,
    app_id           uuid NOT NULL,
    name             text NOT NULL,
    base_url         text,               -- instead of the app's
    config           jsonb NOT NULL DEFAULT '{}',  -- what is not secret: user name, client id, scopes
    created_at       timestamptz NOT NULL DEFAULT headrace_now(),
    updated_at       timestamptz NOT NULL DEFAULT headrace_now(),
    -- OAuth2: which access token is current. A runner that saw an older one refused asks for the newer.
    token_version    integer NOT NULL DEFAULT 0,
    token_expires_at timestamptz,
    token_error      text,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id, app_id) REFERENCES apps (tenant_id, id)
);
SELECT headrace_confine('connections');

CREATE TABLE connection_secrets (
    tenant_id     uuid NOT NULL,
    connection_id uuid NOT NULL,
    field         text NOT NULL,         -- api_key, password, client_secret, refresh_token, access_token, ...
    key_id        uuid NOT NULL,
    sealed        bytea NOT NULL,
    updated_at    timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, connection_id, field),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, key_id) REFERENCES data_keys (tenant_id, id)
);
SELECT headrace_confine('connection_secrets');

CREATE TABLE secrets (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    id         uuid NOT NULL,
    name       text NOT NULL,
    key_id     uuid NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    updated_at timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id, key_id) REFERENCES data_keys (tenant_id, id)
);
SELECT headrace_confine('secrets');

-- ---------------------------------------------------------------------------------------------------------
-- The life of a run

CREATE TABLE runs (
    id                uuid NOT NULL,
    tenant_id         uuid NOT NULL,
    workflow_id       uuid NOT NULL,
    version_id        uuid NOT NULL,
    status            text NOT NULL DEFAULT 'QUEUED'
        CHECK (status IN ('QUEUED', 'RUNNING', 'WAITING', 'PAUSED', 'COMPENSATING', 'SUCCESS', 'FAILED', 'CANCELED')),
    wait_reason       text,              -- why it is WAITING
    input             jsonb NOT NULL DEFAULT '{}',
    result            jsonb,
    error             jsonb,             -- {code, message}
    cancel_requested  boolean NOT NULL DEFAULT false,
    created_at        timestamptz NOT NULL DEFAULT headrace_now(),
    started_at        timestamptz,
    finished_at       timestamptz,
    created_by        uuid,
    -- The one current dispatch of an unfinished run; changed only by the transaction that parks it.
    dispatch_id       uuid NOT NULL,
    -- The open claim: its epoch, who holds it, and the number of the holder's claim call that got it.
    epoch             integer NOT NULL DEFAULT 0,
    claimed_by        uuid,
    claimed_in_call   bigint,
    claimed_at        timestamptz,
    -- The fence: (epoch, seq) of the last event APPLIED.
    fence_epoch       integer NOT NULL DEFAULT 0,
    fence_seq         integer NOT NULL DEFAULT 0,
    -- Take-overs since the last event that changed something.
    fruitless_claims  integer NOT NULL DEFAULT 0,
    PRIMARY KEY (id),
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, version_id) REFERENCES workflow_versions (tenant_id, id),
    CHECK ((finished_at IS NOT NULL) = (status IN ('SUCCESS', 'FAILED', 'CANCELED'))),
    CHECK (status NOT IN ('SUCCESS', 'FAILED', 'CANCELED') OR claimed_by IS NULL)
) PARTITION BY RANGE (id);
CREATE INDEX runs_newest ON runs (tenant_id, id DESC);
CREATE INDEX runs_by_status ON runs (tenant_id, status, id DESC);
CREATE INDEX runs_by_workflow ON runs (tenant_id, workflow_id, id DESC);
CREATE INDEX runs_held ON runs (claimed_by) WHERE claimed_by IS NOT NULL;
SELECT headrace_confine('runs');

-- An idempotency key of a start. A table of its own, because uniqueness does not cross partitions.
CREATE TABLE start_keys (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    key        text NOT NULL,
    run_id     uuid NOT NULL,
    digest     text NOT NULL,            -- of workflow, version and input: the same key with other words is refused
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, key)
);
SELECT headrace_confine('start_keys');

-- One row per unfinished run that will be advanced: outbox and timer at once. `sent_at` is set when the bus
-- has confirmed the job; the row stays until the run parks or ends, so that what is in flight can be counted
-- and what was lost can be made due again, under the same id.
CREATE TABLE dispatches (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    run_id     uuid NOT NULL UNIQUE,
    due_at     timestamptz NOT NULL,
    sent_at    timestamptz,
    created_at timestamptz NOT NULL DEFAULT headrace_now()
);
CREATE INDEX dispatches_due ON dispatches (tenant_id, due_at) WHERE sent_at IS NULL;
CREATE INDEX dispatches_next ON dispatches (due_at) WHERE sent_at IS NULL;
CREATE INDEX dispatches_sent ON dispatches (tenant_id) WHERE sent_at IS NOT NULL;
SELECT headrace_confine('dispatches');

-- A runner's lease: until when, and which runs it named. A claim is live while the lease is, and names it,
-- or while the claim is younger than the naming (its call number is above `calls_settled`).
CREATE TABLE runners (
    id            uuid PRIMARY KEY,
    lease_until   timestamptz NOT NULL,
    held          uuid[] NOT NULL DEFAULT '{}',
    calls_settled bigint NOT NULL DEFAULT 0,
    capacity      integer NOT NULL DEFAULT 0,
    started_at    timestamptz NOT NULL DEFAULT headrace_now()
);

-- step_runs, attempts and events are written by the reporter alone, with the tenant of the locked run row;
-- a foreign key would cost on every event and stand in the way of dropping old partitions.
CREATE TABLE step_runs (
    tenant_id   uuid NOT NULL,
    run_id      uuid NOT NULL,
    key         text NOT NULL,
    status      text NOT NULL CHECK (status IN ('QUEUED', 'RUNNING', 'WAITING', 'SUCCESS', 'FAILED', 'SKIPPED',
        'CACHED', 'UNKNOWN', 'CANCELED', 'COMPENSATED')),
    attempts    integer NOT NULL DEFAULT 0,
    input       jsonb,
    output      jsonb,
    error       jsonb,
    in_flight   boolean NOT NULL DEFAULT false,
    retry_at    timestamptz,
    started_at  timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (run_id, key)
) PARTITION BY RANGE (run_id);
SELECT headrace_confine('step_runs');

CREATE TABLE attempts (
    tenant_id   uuid NOT NULL,
    run_id      uuid NOT NULL,
    step        text NOT NULL,
    number      integer NOT NULL,
    epoch       integer NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('SUCCESS', 'FAILED', 'UNKNOWN')),
    http_status integer,
    error       jsonb,
    address     text,                    -- the address that was dialled
    started_at  timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    PRIMARY KEY (run_id, step, number)
) PARTITION BY RANGE (run_id);
SELECT headrace_confine('attempts');

CREATE TABLE events (
    tenant_id  uuid NOT NULL,
    run_id     uuid NOT NULL,
    epoch      integer NOT NULL,
    seq        integer NOT NULL,
    kind       text NOT NULL,
    step       text,
    at         timestamptz NOT NULL,
    data       jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (run_id, epoch, seq)
) PARTITION BY RANGE (run_id);
SELECT headrace_confine('events');

-- What was given up, with what is needed to look into it. Bodies are already redacted.
CREATE TABLE dead_letters (
    id         uuid PRIMARY KEY,
    tenant_id  uuid,
    run_id     uuid,
    source     text NOT NULL,
    reason     text NOT NULL,
    body       jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT headrace_now()
);
SELECT headrace_confine('dead_letters');

-- Which reporter subscribes to which partition of events: leases, so that no reporter takes them all.
CREATE TABLE partition_leases (
    partition   integer PRIMARY KEY,
    reporter_id uuid NOT NULL,
    until       timestamptz NOT NULL
);

CREATE TABLE reporters (
    id    uuid PRIMARY KEY,
    until timestamptz NOT NULL
);

-- A month of runs by the time in their ids. Called by the migration and by the control plane every day.
CREATE FUNCTION headrace_ensure_partitions(months_ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    month date := date_trunc('month', headrace_now() AT TIME ZONE 'UTC')::date - interval '1 month';
    parent text;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('headrace_ensure_partitions'));
    WHILE month <= (headrace_now() AT TIME ZONE 'UTC')::date + make_interval(months => months_ahead) LOOP
        FOREACH parent IN ARRAY ARRAY['runs', 'step_runs', 'attempts', 'events'] LOOP
            name := parent || '_' || to_char(month, 'YYYYMM');
            IF to_regclass(name) IS NULL THEN
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                    name, parent, headrace_id_bound(month), headrace_id_bound((month + interval '1 month')::date));
                EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
                EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
            END IF;
        END LOOP;
        month := (month + interval '1 month')::date;
    END LOOP;
END
$$;

-- The smallest UUIDv7 of a day (RFC 9562, section 5.7: 48 bits of Unix milliseconds come first).
CREATE FUNCTION headrace_id_bound(day date) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM day) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

SELECT headrace_ensure_partitions(3);
REVOKE ALL ON FUNCTION headrace_ensure_partitions(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION headrace_ensure_partitions(integer) TO headrace_worker;

-- ---------------------------------------------------------------------------------------------------------
-- Who may do what

GRANT SELECT, INSERT, UPDATE ON tenants, api_keys, apps, actions, workflows, connections, connection_secrets,
    secrets, data_keys, workflow_versions, runs, dispatches TO headrace_api;
GRANT SELECT, INSERT ON action_revisions, start_keys TO headrace_api;
GRANT SELECT ON step_runs, attempts, events, dead_letters TO headrace_api;
GRANT DELETE ON api_keys, apps, actions, connections, connection_secrets, secrets, workflow_versions TO headrace_api;

GRANT SELECT ON tenants, workflow_versions TO headrace_worker;
GRANT SELECT, INSERT, UPDATE ON runs, step_runs, attempts, events TO headrace_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON dispatches, runners, partition_leases, reporters, dead_letters
    TO headrace_worker;
CREATE POLICY worker ON tenants FOR SELECT TO headrace_worker USING (true);
CREATE POLICY worker ON workflow_versions FOR SELECT TO headrace_worker USING (true);
CREATE POLICY worker ON runs TO headrace_worker USING (true);
CREATE POLICY worker ON step_runs TO headrace_worker USING (true);
CREATE POLICY worker ON attempts TO headrace_worker USING (true);
CREATE POLICY worker ON events TO headrace_worker USING (true);
CREATE POLICY worker ON dispatches TO headrace_worker USING (true);
CREATE POLICY worker ON dead_letters TO headrace_worker USING (true);
