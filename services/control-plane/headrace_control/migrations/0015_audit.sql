-- The audit: what the inbox of 0014 holds is sealed into one chain for each tenant, and stays there.

-- Who seals acts as a role of its own, which can add to the chains and change nothing in them.
DO $$
BEGIN
    BEGIN
        CREATE ROLE headrace_audit NOLOGIN NOBYPASSRLS;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
    END;
    BEGIN
        GRANT headrace_audit TO CURRENT_USER;
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
END
$$;

-- Starts are recorded hundreds of times a second: each would lock its tenant's row. The tenant is the transaction's own
-- by row-level security, or comes from a locked run.
ALTER TABLE audit_inbox DROP CONSTRAINT audit_inbox_tenant_id_fkey;
-- Whoever records has no business to read what others did.
REVOKE SELECT ON audit_inbox FROM headrace_api, headrace_worker;
GRANT SELECT, DELETE ON audit_inbox TO headrace_audit;
CREATE POLICY sealer ON audit_inbox TO headrace_audit USING (true);
-- FORCE binds even the owner, which records what bootstrap does, and refused log-ins.
CREATE POLICY owner_records ON audit_inbox FOR INSERT TO CURRENT_USER WITH CHECK (true);

-- One record after another, without a gap: `hash` is over the record and `previous`, which is the hash of the record
-- before (32 zero bytes for the first). See headrace.audit_chain.
CREATE TABLE audit_log (
    tenant_id      uuid NOT NULL,
    seq            bigint NOT NULL CHECK (seq > 0),
    id             uuid NOT NULL,
    at             timestamptz NOT NULL,
    actor_kind     text NOT NULL,
    actor_id       uuid NOT NULL,
    actor_name     text NOT NULL,
    action         text NOT NULL,
    target         text NOT NULL,
    outcome        text NOT NULL,
    before_digest  bytea,
    after_digest   bytea,
    detail         jsonb NOT NULL,
    correlation_id text NOT NULL,
    origin         text,
    previous       bytea NOT NULL CHECK (octet_length(previous) = 32),
    hash           bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (tenant_id, seq),
    -- A record has one successor: a fork of the chain can not be written down.
    UNIQUE (tenant_id, previous)
);
SELECT headrace_confine('audit_log');
-- For searches: newest first, within a time, by what was done, by whom, to what.
CREATE INDEX audit_log_at ON audit_log (tenant_id, at, seq);
CREATE INDEX audit_log_action ON audit_log (tenant_id, action, at, seq);
CREATE INDEX audit_log_actor ON audit_log (tenant_id, actor_name, at, seq);
CREATE INDEX audit_log_target ON audit_log (tenant_id, target, at, seq);
GRANT SELECT ON audit_log TO headrace_api;
GRANT SELECT, INSERT ON audit_log TO headrace_audit;
CREATE POLICY sealer_reads ON audit_log FOR SELECT TO headrace_audit USING (true);
CREATE POLICY sealer_adds ON audit_log FOR INSERT TO headrace_audit WITH CHECK (true);

-- For the owner, a superuser and a replica's apply too: ALWAYS fires whatever session_replication_role says.
CREATE TRIGGER keep_audit BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION headrace_refuse_change();
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER keep_audit;
