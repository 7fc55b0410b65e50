-- What services refuse is recorded, too: messages of the bus, callbacks, sessions of runners.

-- In the tenant that is named, if there is one, else in the platform's: whoever calls knows by itself whose it is, or
-- names none. It adds records and answers nothing, so that whoever may call it learns nothing of other tenants.
CREATE FUNCTION headrace_record_refusals(
    ids uuid[], tenants uuid[], actor_kinds text[], actor_ids uuid[], actor_names text[], actions text[],
    targets text[], codes text[], reasons text[], addresses text[], times integer[], seconds integer)
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO audit_inbox (tenant_id, id, actor_kind, actor_id, actor_name, action, target, outcome, detail, origin)
    SELECT coalesce(t.id, p.id), n.id, n.actor_kind, n.actor_id, n.actor_name, n.action, n.target, 'REFUSED',
        jsonb_strip_nulls(
            jsonb_build_object('code', n.code, 'reason', n.reason, 'times', n.times, 'seconds', seconds)),
        n.address
    FROM unnest(ids, tenants, actor_kinds, actor_ids, actor_names, actions, targets, codes, reasons, addresses, times)
        AS n (id, tenant_id, actor_kind, actor_id, actor_name, action, target, code, reason, address, times)
    LEFT JOIN tenants t ON t.id = n.tenant_id
    LEFT JOIN LATERAL (SELECT o.id FROM tenants o WHERE o.platform ORDER BY o.id LIMIT 1) p ON true
    WHERE coalesce(t.id, p.id) IS NOT NULL
$$;

DO $$
DECLARE
    name text := 'headrace_record_refusals(uuid[], uuid[], text[], uuid[], text[], text[], text[], text[], text[],'
        ' text[], integer[], integer)';
BEGIN
    -- As 0007 does.
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', name, current_schema());
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO headrace_api, headrace_worker', name);
END
$$;
