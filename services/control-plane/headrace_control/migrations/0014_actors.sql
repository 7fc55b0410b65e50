-- Who acts has a name; what was done is kept.

DROP FUNCTION headrace_find_api_key(bytea);
-- Who calls is asked before any tenant is known, so this one look-up steps over the policies.
CREATE FUNCTION headrace_find_api_key(key_hash bytea)
RETURNS TABLE (tenant_id uuid, id uuid, name text, role text, platform boolean)
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE api_keys k SET last_used_at = headrace_now()
    WHERE k.hash = key_hash AND k.revoked_at IS NULL
      AND (k.last_used_at IS NULL OR k.last_used_at < headrace_now() - interval '1 minute')
      AND (k.expires_at IS NULL OR k.expires_at > headrace_now());
    SELECT k.tenant_id, k.id, k.name, k.role, t.platform
    FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
    WHERE k.hash = key_hash AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > headrace_now());
$$;
REVOKE ALL ON FUNCTION headrace_find_api_key(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION headrace_find_api_key(bytea) TO headrace_api;
-- As 0007 does.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION headrace_find_api_key(bytea) SET search_path = %I, pg_temp', current_schema());
END
$$;

-- What was done, by the transactions that did it, until it gets its place in the tenant's chain.
CREATE TABLE audit_inbox (
    tenant_id      uuid NOT NULL REFERENCES tenants (id),
    id             uuid NOT NULL,
    at             timestamptz NOT NULL DEFAULT headrace_now(),
    actor_kind     text NOT NULL CHECK (actor_kind IN ('API_KEY', 'MEMBER', 'SERVICE', 'CALLBACK')),
    actor_id       uuid NOT NULL,
    actor_name     text NOT NULL,
    action         text NOT NULL,
    target         text NOT NULL,
    outcome        text NOT NULL CHECK (outcome IN ('DONE', 'REFUSED')),
    before_digest  bytea,
    after_digest   bytea,
    detail         jsonb NOT NULL DEFAULT '{}',
    correlation_id text NOT NULL DEFAULT '',
    origin         text,
    PRIMARY KEY (tenant_id, id)
);
SELECT headrace_confine('audit_inbox');
GRANT SELECT, INSERT ON audit_inbox TO headrace_api, headrace_worker;
CREATE POLICY worker ON audit_inbox TO headrace_worker USING (true);
