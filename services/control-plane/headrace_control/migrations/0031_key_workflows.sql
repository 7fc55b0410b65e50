-- A key may be for runs of named workflows alone.

ALTER TABLE api_keys ADD COLUMN workflows text[];

DROP FUNCTION headrace_find_api_key(bytea);
CREATE FUNCTION headrace_find_api_key(key_hash bytea)
RETURNS TABLE (tenant_id uuid, id uuid, name text, role text, permissions text[], workflows text[], platform boolean,
               owner uuid)
LANGUAGE sql SECURITY DEFINER AS $$
    UPDATE api_keys k SET last_used_at = headrace_now()
    WHERE k.hash = key_hash AND k.revoked_at IS NULL
      AND (k.last_used_at IS NULL OR k.last_used_at < headrace_now() - interval '1 minute')
      AND (k.expires_at IS NULL OR k.expires_at > headrace_now());
    SELECT k.tenant_id, k.id, k.name, k.role, k.permissions, k.workflows, t.platform, k.owner
    FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
    WHERE k.hash = key_hash AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > headrace_now());
$$;
DO $$
BEGIN
    -- As 0007 does.
    EXECUTE format('ALTER FUNCTION headrace_find_api_key(bytea) SET search_path = %I, pg_temp', current_schema());
    REVOKE ALL ON FUNCTION headrace_find_api_key(bytea) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION headrace_find_api_key(bytea) TO headrace_api;
END
$$;
