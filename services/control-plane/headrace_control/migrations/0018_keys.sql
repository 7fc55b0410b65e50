-- Keys: replaced online, for one tenant or for all, and deleted for good.

-- Old data keys go when nothing is sealed under them any more.
GRANT DELETE ON data_keys, callback_keys TO headrace_api;
CREATE INDEX connection_secrets_by_key ON connection_secrets (tenant_id, key_id);
CREATE INDEX secrets_by_key ON secrets (tenant_id, key_id);

-- The root of a tenant's keys for sensitive outputs, sealed like every secret: each run's own key is derived
-- from it, so that replacing the data key means sealing one value anew and no run's rows.
CREATE TABLE output_keys (
    tenant_id  uuid PRIMARY KEY REFERENCES tenants (id),
    key_id     uuid NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    FOREIGN KEY (tenant_id, key_id) REFERENCES data_keys (tenant_id, id)
);
SELECT headrace_confine('output_keys');
GRANT SELECT, INSERT, UPDATE, DELETE ON output_keys TO headrace_api;

-- When a tenant's data keys were deleted, for good: no new one is made.
ALTER TABLE tenants ADD COLUMN keys_shredded_at timestamptz;

-- Which wrapping keys are in use is asked across tenants, by the platform; these three step over the policies,
-- and show no key. FORCE binds even the owner, whom they act as: it gets a policy of its own.
CREATE POLICY owner_counts_keys ON data_keys FOR SELECT TO CURRENT_USER USING (true);

CREATE FUNCTION headrace_wrapping_keys()
RETURNS TABLE (provider text, wrapped_by text, data_keys bigint, tenants bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT k.provider, k.wrapped_by, count(*), count(DISTINCT k.tenant_id)
    FROM data_keys k GROUP BY k.provider, k.wrapped_by ORDER BY k.provider, k.wrapped_by
$$;

CREATE FUNCTION headrace_wrapped_otherwise(current_provider text, current_key text, after_tenant uuid, most integer)
RETURNS TABLE (tenant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT DISTINCT k.tenant_id FROM data_keys k
    WHERE (k.provider, k.wrapped_by) <> (current_provider, current_key) AND k.tenant_id > after_tenant
    ORDER BY k.tenant_id LIMIT most
$$;

CREATE FUNCTION headrace_tenant_named(wanted text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT t.id FROM tenants t WHERE t.name = wanted
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['headrace_wrapping_keys()',
                                'headrace_wrapped_otherwise(text, text, uuid, integer)',
                                'headrace_tenant_named(text)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO headrace_api', name);
    END LOOP;
END
$$;
