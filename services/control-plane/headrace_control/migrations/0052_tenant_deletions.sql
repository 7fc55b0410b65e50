-- phase: expand
-- The end of a tenant: asked for, taken back until its time is over, then carried out, lot by lot. The row stays, and says
-- that there was such a tenant; it has no name in it, and no reference to a tenant that is gone.

CREATE TABLE tenant_deletions (
    tenant_id uuid PRIMARY KEY,
    -- Not the API's to give: what it writes is due in a day at the soonest.
    asked_at  timestamptz NOT NULL DEFAULT headrace_now(),
    asked_by  uuid NOT NULL,             -- the key or member, and their tenant, which is a platform's
    asked_in  uuid NOT NULL,
    cancel_at timestamptz NOT NULL,      -- when runs that have not ended are canceled
    due_at    timestamptz NOT NULL,
    begun_at  timestamptz,               -- nobody takes it back any more
    done_at   timestamptz,
    counts    jsonb NOT NULL DEFAULT '{}',  -- rows that went, by table
    CHECK (due_at >= asked_at + interval '1 day'),
    CHECK (cancel_at <= due_at),
    CHECK (begun_at >= due_at),
    CHECK (done_at IS NULL OR begun_at IS NOT NULL)
);
CREATE INDEX tenant_deletions_open ON tenant_deletions (due_at) WHERE done_at IS NULL;
SELECT headrace_confine('tenant_deletions');
GRANT SELECT, INSERT (tenant_id, asked_by, asked_in, cancel_at, due_at) ON tenant_deletions TO headrace_api;
GRANT SELECT ON tenant_deletions TO headrace_worker;
CREATE POLICY worker ON tenant_deletions FOR SELECT TO headrace_worker USING (true);
-- FORCE binds even the owner, whom the functions below act as.
CREATE POLICY owner_ends ON tenant_deletions TO CURRENT_USER USING (true) WITH CHECK (true);

-- Take the deletion of the transaction's own tenant back, while its time is not over. False: there is none, or it is too late.
CREATE FUNCTION headrace_keep_tenant() RETURNS boolean
LANGUAGE sql SECURITY DEFINER AS $$
    WITH kept AS (
        DELETE FROM tenant_deletions
        WHERE tenant_id = headrace_tenant() AND begun_at IS NULL AND due_at > headrace_now()
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM kept)
$$;

-- For the platform: deletions of all tenants, newest tenants first; the name while there is one.
CREATE FUNCTION headrace_tenant_deletions(before_tenant uuid, most integer)
RETURNS TABLE (tenant_id uuid, name text, asked_at timestamptz, cancel_at timestamptz, due_at timestamptz,
               begun_at timestamptz, done_at timestamptz, counts jsonb)
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT d.tenant_id, t.name, d.asked_at, d.cancel_at, d.due_at, d.begun_at, d.done_at, d.counts
    FROM tenant_deletions d LEFT JOIN tenants t ON t.id = d.tenant_id
    WHERE before_tenant IS NULL OR d.tenant_id < before_tenant
    ORDER BY d.tenant_id DESC LIMIT most
$$;

-- ---------------------------------------------------------------------------------------------------------
-- What is a tenant's

-- Every table with rows of tenants, in the order in which they go: what is sealed and its keys first, then what lets
-- anybody in, what starts runs, the runs, what they refer to, and the audit last.
CREATE FUNCTION headrace_tenant_tables() RETURNS text[]
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
        'rollout_changes', 'rollouts', 'workflow_versions', 'workflows', 'policy_rules', 'quotas',
        'audit_inbox', 'audit_log', 'tenants']
$$;

-- Those of them whose rows are found by their run, and go with it: they have no index by tenant.
CREATE FUNCTION headrace_run_tables() RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['events', 'attempts', 'step_runs', 'inbox', 'waits']
$$;

-- ---------------------------------------------------------------------------------------------------------
-- The narrow way

-- What is immutable goes with its tenant: whoever deletes, there has to be a deletion of that tenant that has begun.
CREATE OR REPLACE FUNCTION headrace_keep_audit_record() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM audit_log p
        WHERE p.tenant_id = OLD.tenant_id AND p.action = 'audit.prune' AND p.seq > OLD.seq
          AND (p.detail ->> 'seq')::bigint >= OLD.seq
    ) AND NOT EXISTS (
        SELECT 1 FROM tenant_deletions d WHERE d.tenant_id = OLD.tenant_id AND d.begun_at IS NOT NULL
    ) THEN
        RAISE EXCEPTION '% is immutable', TG_TABLE_NAME;
    END IF;
    RETURN OLD;
END
$$;

CREATE OR REPLACE FUNCTION headrace_keep_published() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.status <> 'DRAFT' AND NOT EXISTS (
            SELECT 1 FROM tenant_deletions d WHERE d.tenant_id = OLD.tenant_id AND d.begun_at IS NOT NULL
        ) THEN
            RAISE EXCEPTION 'a published workflow version is immutable';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.status <> 'DRAFT' AND (
        NEW.document IS DISTINCT FROM OLD.document OR NEW.resolved IS DISTINCT FROM OLD.resolved
        OR NEW.source IS DISTINCT FROM OLD.source OR NEW.digest IS DISTINCT FROM OLD.digest
        OR NEW.version <> OLD.version OR NEW.workflow_id <> OLD.workflow_id OR NEW.status = 'DRAFT') THEN
        RAISE EXCEPTION 'a published workflow version is immutable';
    END IF;
    RETURN NEW;
END
$$;

-- Delete a lot of about `most` rows of a tenant whose time is over; how many went, 0 when none is left. Null: its time is
-- not over, or somebody else is deleting just now. The first lot makes that no key is made for it any more. One
-- transaction: the rows are gone and counted, or neither.
CREATE FUNCTION headrace_end_tenant(wanted uuid, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    ending tenant_deletions;
    target text;
    went integer;
    gone integer := 0;
    lot uuid[];
    confined text := coalesce(current_setting('headrace.tenant_id', true), '');
BEGIN
    SELECT * INTO ending FROM tenant_deletions d
    WHERE d.tenant_id = wanted AND d.due_at <= headrace_now() FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM tenants t WHERE t.id = wanted AND t.platform) THEN
        RAISE EXCEPTION 'a platform tenant is not deleted';
    END IF;
    -- Confined to this tenant by the same policies as the API: whatever is wrong below, no other one's row goes.
    IF NOT pg_has_role(current_user, 'headrace_api', 'USAGE') THEN
        RAISE EXCEPTION 'the owner of the tables needs the role headrace_api';
    END IF;
    PERFORM set_config('headrace.tenant_id', wanted::text, true);
    IF ending.begun_at IS NULL THEN
        UPDATE tenant_deletions d SET begun_at = headrace_now() WHERE d.tenant_id = wanted;
        UPDATE tenants t SET keys_shredded_at = coalesce(t.keys_shredded_at, headrace_now()) WHERE t.id = wanted;
    END IF;
    FOREACH target IN ARRAY headrace_tenant_tables() LOOP
        IF target = ANY (headrace_run_tables()) THEN
            CONTINUE;
        ELSIF target = 'runs' THEN
            -- In the order of their ids, as everybody who locks several of them.
            SELECT array_agg(r.id) INTO lot FROM (
                SELECT id FROM runs WHERE tenant_id = wanted ORDER BY id
                LIMIT greatest((most - gone) / 10, 1) FOR UPDATE
            ) r;
            IF lot IS NULL THEN
                CONTINUE;
            END IF;
            FOREACH target IN ARRAY headrace_run_tables() || 'runs'::text LOOP
                EXECUTE format('DELETE FROM %I WHERE tenant_id = $1 AND %I = ANY ($2)', target,
                    CASE target WHEN 'runs' THEN 'id' ELSE 'run_id' END) USING wanted, lot;
                GET DIAGNOSTICS went = ROW_COUNT;
                gone := gone + went;
                ending.counts := headrace_counted(ending.counts, target, went);
            END LOOP;
            EXIT;  -- there may be more of them, which refer to what comes next
        ELSIF target = 'tenants' THEN
            -- By itself: while anything refers to it, this is what fails, and nothing else with it.
            IF gone > 0 THEN
                CONTINUE;
            END IF;
            DELETE FROM logins l USING tenants t WHERE t.id = wanted AND l.tenant = t.name;
            DELETE FROM bus_messages m
            WHERE m.origin IS NOT NULL AND position(convert_to(wanted::text, 'UTF8') IN m.body) > 0;
            GET DIAGNOSTICS went = ROW_COUNT;
            ending.counts := headrace_counted(ending.counts, 'bus_messages', went);
            DELETE FROM tenants t WHERE t.id = wanted;
            GET DIAGNOSTICS gone = ROW_COUNT;
            ending.counts := headrace_counted(ending.counts, target, gone);
        ELSE
            EXECUTE format(
                'DELETE FROM %I WHERE tenant_id = $1 AND ctid = ANY (ARRAY(SELECT ctid FROM %I WHERE tenant_id = $1 LIMIT $2))',
                target, target) USING wanted, most - gone;
            GET DIAGNOSTICS went = ROW_COUNT;
            gone := gone + went;
            ending.counts := headrace_counted(ending.counts, target, went);
        END IF;
        EXIT WHEN gone >= most;
    END LOOP;
    UPDATE tenant_deletions d SET counts = ending.counts WHERE d.tenant_id = wanted;
    PERFORM set_config('headrace.tenant_id', confined, true);
    RETURN gone;
END
$$;

CREATE FUNCTION headrace_counted(counts jsonb, target text, went integer) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN went = 0 THEN counts ELSE
        counts || jsonb_build_object(target, coalesce((counts ->> target)::bigint, 0) + went) END
$$;

-- Note that a tenant is gone, and how many records of it went from a log store elsewhere. True: for the first time. Null:
-- there is something of it left.
CREATE FUNCTION headrace_tenant_ended(wanted uuid, elsewhere integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    ending tenant_deletions;
BEGIN
    SELECT * INTO ending FROM tenant_deletions d
    WHERE d.tenant_id = wanted AND d.begun_at IS NOT NULL FOR UPDATE;
    IF NOT FOUND OR EXISTS (SELECT FROM tenants t WHERE t.id = wanted) THEN
        RETURN NULL;
    END IF;
    UPDATE tenant_deletions d
    SET done_at = coalesce(d.done_at, headrace_now()),
        counts = headrace_counted(d.counts, 'log_store', elsewhere)
    WHERE d.tenant_id = wanted;
    RETURN ending.done_at IS NULL;
END
$$;

-- As 0007 does.
-- looked-at no row is touched
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT p.oid::regprocedure AS name, p.prosecdef AS definer FROM pg_proc p
        WHERE p.pronamespace = current_schema()::regnamespace AND p.proname IN (
            'headrace_keep_tenant', 'headrace_tenant_deletions', 'headrace_end_tenant', 'headrace_tenant_ended',
            'headrace_keep_audit_record', 'headrace_keep_published')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', found.name, current_schema());
        IF found.definer THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', found.name);
        END IF;
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION headrace_keep_tenant(), headrace_tenant_deletions(uuid, integer) TO headrace_api;
GRANT EXECUTE ON FUNCTION headrace_end_tenant(uuid, integer), headrace_tenant_ended(uuid, integer) TO headrace_worker;
