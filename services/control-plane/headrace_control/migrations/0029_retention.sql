-- What was kept for ever: the audit's records, the keys of starts, the tokens of approvals.

-- A record of the audit may be taken away when a later record of the same chain says so: `audit.prune` tells up to which
-- place, and the hash that stood there, so that what is left can still be verified.
CREATE FUNCTION headrace_keep_audit_record() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM audit_log p
        WHERE p.tenant_id = OLD.tenant_id AND p.action = 'audit.prune' AND p.seq > OLD.seq
          AND (p.detail ->> 'seq')::bigint >= OLD.seq
    ) THEN
        RAISE EXCEPTION '% is immutable', TG_TABLE_NAME;
    END IF;
    RETURN OLD;
END
$$;
DROP TRIGGER keep_audit ON audit_log;
CREATE TRIGGER keep_audit BEFORE UPDATE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION headrace_refuse_change();
CREATE TRIGGER keep_audit_record BEFORE DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION headrace_keep_audit_record();
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER keep_audit;
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER keep_audit_record;

-- FORCE binds even the owner, whom this acts as. The role that seals has no right to delete: this is its only way.
CREATE POLICY owner_prunes ON audit_log FOR DELETE TO CURRENT_USER USING (true);
CREATE POLICY owner_reads ON audit_log FOR SELECT TO CURRENT_USER USING (true);
CREATE FUNCTION headrace_prune_audit(tenant uuid, up_to bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DELETE FROM audit_log WHERE tenant_id = tenant AND seq <= up_to
$$;

DO $$
BEGIN
    -- As 0007 does.
    EXECUTE format('ALTER FUNCTION headrace_keep_audit_record() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION headrace_prune_audit(uuid, bigint) SET search_path = %I, pg_temp',
        current_schema());
    REVOKE ALL ON FUNCTION headrace_prune_audit(uuid, bigint) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION headrace_prune_audit(uuid, bigint) TO headrace_audit;
END
$$;

CREATE INDEX start_keys_by_age ON start_keys (created_at);
GRANT SELECT, DELETE ON start_keys TO headrace_worker;
CREATE POLICY worker ON start_keys TO headrace_worker USING (true);

CREATE INDEX approval_tokens_by_expiry ON approval_tokens (expires_at);
GRANT SELECT, DELETE ON approval_tokens TO headrace_worker;
CREATE POLICY worker ON approval_tokens TO headrace_worker USING (true);
