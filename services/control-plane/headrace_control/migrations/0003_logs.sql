-- The log store of the embedded profile. (Where the records are kept in MongoDB, this table stays empty.)

CREATE TABLE log_records (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    run_id     uuid NOT NULL,
    at         timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- The order of storing, which followers read by. Appends take turns, so numbers become visible in order.
    number     bigint GENERATED ALWAYS AS IDENTITY,
    attempt    integer,
    level      smallint NOT NULL,        -- severity: 10 DEBUG, 20 INFO, 30 WARN, 40 ERROR
    step       text,
    message    text NOT NULL,
    context    jsonb NOT NULL DEFAULT '{}',
    terms      text[] NOT NULL           -- the words of the message, its step, the levels that it reaches
);
CREATE INDEX log_records_newest ON log_records (tenant_id, at DESC, id DESC);
CREATE INDEX log_records_by_run ON log_records (tenant_id, run_id, at DESC, id DESC);
CREATE INDEX log_records_stored ON log_records (tenant_id, number);
CREATE INDEX log_records_expired ON log_records (expires_at);
-- A short pending list, because every search reads it whole.
CREATE INDEX log_records_terms ON log_records USING gin (terms) WITH (gin_pending_list_limit = 256);
-- Which index answers a search hangs on how common its terms are: keep more of them, and keep them fresh.
ALTER TABLE log_records ALTER COLUMN terms SET STATISTICS 500;
ALTER TABLE log_records SET (autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);
SELECT headrace_confine('log_records');

-- Search by terms. `@>` is not leakproof, so under a row-level policy Postgres lets no index answer it. This
-- function looks with its owner's eyes instead, and confines itself to the tenant of the transaction, which is
-- not a parameter. Each call is planned for its own terms: a common term is met while walking the newest
-- records, a rare one is looked up (log_records_terms) and what it finds is sorted.
CREATE FUNCTION headrace_search_logs(
    wanted_terms text[], wanted_level smallint, wanted_run uuid, wanted_step text, wanted_since timestamptz,
    wanted_until timestamptz, before_at timestamptz, before_id uuid, most integer
) RETURNS TABLE (
    id uuid, tenant_id uuid, run_id uuid, at timestamptz, level smallint, message text, step text,
    attempt integer, context jsonb
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path FROM CURRENT SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT r.id, r.tenant_id, r.run_id, r.at, r.level, r.message, r.step, r.attempt, r.context
    FROM log_records r
    WHERE r.tenant_id = headrace_tenant()
      AND (wanted_terms = '{}' OR r.terms @> wanted_terms)
      AND (wanted_level IS NULL OR r.level >= wanted_level)
      AND (wanted_run IS NULL OR r.run_id = wanted_run)
      AND (wanted_step IS NULL OR r.step = wanted_step)
      AND (wanted_since IS NULL OR r.at >= wanted_since)
      AND (wanted_until IS NULL OR r.at < wanted_until)
      AND (before_id IS NULL OR (r.at, r.id) < (before_at, before_id))
    ORDER BY r.at DESC, r.id DESC
    LIMIT most;
END
$$;
REVOKE ALL ON FUNCTION headrace_search_logs(text[], smallint, uuid, text, timestamptz, timestamptz, timestamptz,
    uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION headrace_search_logs(text[], smallint, uuid, text, timestamptz, timestamptz, timestamptz,
    uuid, integer) TO headrace_api;
-- FORCE binds even the owner, whom the function acts as.
CREATE POLICY owner_searches ON log_records FOR SELECT TO CURRENT_USER USING (true);

GRANT SELECT ON log_records TO headrace_api;
GRANT SELECT, INSERT, DELETE ON log_records TO headrace_worker;
CREATE POLICY worker ON log_records TO headrace_worker USING (true);
