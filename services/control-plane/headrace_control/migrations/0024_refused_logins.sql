-- Keys and sessions that were refused are recorded, too: nobody knows whose they are, or the key's tenant alone.

CREATE INDEX api_keys_prefix ON api_keys (prefix);

-- In the tenant of the key whose prefix was shown, if there is one, else in the platform's. It adds records and answers
-- nothing, so that whoever may call it learns nothing of other tenants.
CREATE FUNCTION headrace_record_refused_logins(
    ids uuid[], kinds text[], prefixes text[], addresses text[], times integer[], seconds integer)
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO audit_inbox (tenant_id, id, actor_kind, actor_id, actor_name, action, target, outcome, detail, origin)
    SELECT coalesce(k.tenant_id, p.id), n.id, CASE n.kind WHEN 'session' THEN 'MEMBER' ELSE 'API_KEY' END,
        coalesce(k.id, '00000000-0000-0000-0000-000000000000'), coalesce(k.name, 'unknown'), n.kind || '.use',
        n.kind || coalesce('/' || coalesce(k.id::text, n.prefix), ''), 'REFUSED',
        jsonb_build_object('code', 'UNAUTHENTICATED', 'prefix', n.prefix, 'times', n.times, 'seconds', seconds),
        n.address
    FROM unnest(ids, kinds, prefixes, addresses, times) AS n (id, kind, prefix, address, times)
    LEFT JOIN LATERAL (
        SELECT a.tenant_id, a.id, a.name FROM api_keys a WHERE a.prefix = n.prefix ORDER BY a.id DESC LIMIT 1
    ) k ON true
    LEFT JOIN LATERAL (SELECT t.id FROM tenants t WHERE t.platform ORDER BY t.id LIMIT 1) p ON true
    WHERE coalesce(k.tenant_id, p.id) IS NOT NULL
$$;

DO $$
DECLARE
    name text := 'headrace_record_refused_logins(uuid[], text[], text[], text[], integer[], integer)';
BEGIN
    -- As 0007 does.
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', name, current_schema());
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO headrace_api', name);
END
$$;
