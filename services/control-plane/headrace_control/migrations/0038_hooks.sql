-- Hooks: addresses that tenants want to be told at what happens. The table where a fact is written tells it, by a trigger,
-- in the fact's own transaction, whoever writes it: a tenant without a hook pays one look at an index.

-- A UUIDv7 (RFC 9562, section 5.7) of the database's time.
CREATE FUNCTION headrace_new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM headrace_now()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
        52, 1), 53, 1), 'hex')::uuid
$$;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION headrace_new_id() SET search_path = %I, pg_temp', current_schema());
END
$$;

CREATE TABLE hooks (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    id         uuid NOT NULL,
    name       text NOT NULL,
    url        text NOT NULL,
    events     text[] NOT NULL CHECK (cardinality(events) > 0),
    paused     boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    updated_at timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);
SELECT headrace_confine('hooks');
GRANT SELECT, INSERT, UPDATE, DELETE ON hooks TO headrace_api;
GRANT SELECT ON hooks TO headrace_worker;
CREATE POLICY worker ON hooks FOR SELECT TO headrace_worker USING (true);

ALTER TABLE signing_secrets
    ALTER COLUMN webhook_id DROP NOT NULL,
    ADD COLUMN hook_id uuid,
    ADD FOREIGN KEY (tenant_id, hook_id) REFERENCES hooks (tenant_id, id) ON DELETE CASCADE,
    ADD CHECK (num_nonnulls(webhook_id, hook_id) = 1);
CREATE UNIQUE INDEX signing_secrets_of_hook ON signing_secrets (tenant_id, hook_id) WHERE expires_at IS NULL;
CREATE INDEX signing_secrets_of_hook_ending ON signing_secrets (tenant_id, hook_id) WHERE expires_at IS NOT NULL;

-- What is to be told, and what came of it. While somebody tries, `due_at` is when others may.
CREATE TABLE hook_messages (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    hook_id    uuid NOT NULL,
    event      text NOT NULL,
    data       jsonb NOT NULL,
    once       text,                               -- what is told once: not again while this row is kept
    status     text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'SENT', 'GIVEN_UP')),
    attempts   integer NOT NULL DEFAULT 0,
    due_at     timestamptz DEFAULT headrace_now(), -- infinity: its hook is paused
    error      jsonb,                              -- what came of the last attempt: {code, message}
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    ended_at   timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, hook_id, once),
    FOREIGN KEY (tenant_id, hook_id) REFERENCES hooks (tenant_id, id) ON DELETE CASCADE,
    CHECK ((status = 'PENDING') = (due_at IS NOT NULL)),
    CHECK ((status = 'PENDING') = (ended_at IS NULL))
);
CREATE INDEX hook_messages_due ON hook_messages (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX hook_messages_of_hook_due ON hook_messages (tenant_id, hook_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX hook_messages_newest ON hook_messages (tenant_id, hook_id, id DESC);
CREATE INDEX hook_messages_by_age ON hook_messages (ended_at) WHERE ended_at IS NOT NULL;
SELECT headrace_confine('hook_messages');
GRANT SELECT, INSERT, UPDATE, DELETE ON hook_messages TO headrace_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON hook_messages TO headrace_worker;
CREATE POLICY worker ON hook_messages TO headrace_worker USING (true);

-- Names of what is told of.
GRANT SELECT (tenant_id, id, name) ON workflows TO headrace_worker;
CREATE POLICY worker ON workflows FOR SELECT TO headrace_worker USING (true);
GRANT SELECT (name, authorization_ends_at) ON connections TO headrace_worker;

CREATE FUNCTION headrace_tell(tenant uuid, what text, about jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hook_messages (tenant_id, id, hook_id, event, data)
    SELECT h.tenant_id, headrace_new_id(), h.id, what, about
    FROM hooks h WHERE h.tenant_id = tenant AND NOT h.paused AND what = ANY (h.events);
    IF FOUND THEN
        PERFORM pg_notify('headrace_hooks', '');
    END IF;
END
$$;

-- Of a run that is nobody's step, when it ends.
CREATE FUNCTION headrace_tell_run() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    about jsonb;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM hooks h WHERE h.tenant_id = NEW.tenant_id) THEN
        RETURN NULL;
    END IF;
    about := jsonb_build_object('runId', NEW.id, 'status', NEW.status, 'startedAt', NEW.started_at,
        'finishedAt', NEW.finished_at, 'error', CASE WHEN NEW.error IS NOT NULL THEN jsonb_build_object(
            'code', NEW.error -> 'code', 'message', NEW.error -> 'message') END,
        'workflow', (SELECT w.name FROM workflows w WHERE w.tenant_id = NEW.tenant_id AND w.id = NEW.workflow_id));
    PERFORM headrace_tell(NEW.tenant_id, 'RUN_FINISHED', about);
    IF NEW.status = 'FAILED' THEN
        PERFORM headrace_tell(NEW.tenant_id, 'RUN_FAILED', about);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_end AFTER UPDATE OF finished_at ON runs FOR EACH ROW
    WHEN (NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL AND NEW.parent_run_id IS NULL)
    EXECUTE FUNCTION headrace_tell_run();

CREATE FUNCTION headrace_tell_approval() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM headrace_tell(NEW.tenant_id, 'APPROVAL_REQUESTED', jsonb_build_object('runId', NEW.run_id,
        'step', NEW.step, 'dueAt', NEW.due_at, 'byPolicy', coalesce(NEW.data ->> 'kind' = 'GATE', false)));
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_approval AFTER INSERT OR UPDATE OF opened_at ON waits FOR EACH ROW
    WHEN (NEW.kind = 'APPROVAL' AND NEW.status = 'OPEN') EXECUTE FUNCTION headrace_tell_approval();

CREATE FUNCTION headrace_tell_dead_letter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM headrace_tell(NEW.tenant_id, 'DEAD_LETTER', jsonb_build_object('deadLetterId', NEW.id,
        'runId', NEW.run_id, 'step', NEW.step, 'source', NEW.source, 'action', NEW.action, 'code', NEW.code));
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_dead_letter AFTER INSERT ON dead_letters FOR EACH ROW
    WHEN (NEW.tenant_id IS NOT NULL) EXECUTE FUNCTION headrace_tell_dead_letter();

-- When it opens; not again while it has not been closed.
CREATE FUNCTION headrace_tell_breaker() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM headrace_tell(NEW.tenant_id, 'BREAKER_OPEN', jsonb_build_object('connectionId', NEW.connection_id,
        'connection', (SELECT c.name FROM connections c
                       WHERE c.tenant_id = NEW.tenant_id AND c.id = NEW.connection_id),
        'openUntil', NEW.open_until));
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_breaker AFTER UPDATE OF open_until ON throttles FOR EACH ROW
    WHEN (NEW.open_until IS NOT NULL AND OLD.open_until IS NULL) EXECUTE FUNCTION headrace_tell_breaker();

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['headrace_tell(uuid, text, jsonb)', 'headrace_tell_run()', 'headrace_tell_approval()',
                                'headrace_tell_dead_letter()', 'headrace_tell_breaker()'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', name, current_schema());
    END LOOP;
END
$$;
