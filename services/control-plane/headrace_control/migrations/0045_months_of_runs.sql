-- Runs that are kept for a time go by whole months, the oldest first: their tables are dropped, which costs nothing for
-- each row.

-- Who owns the tables looks at all tenants' rows here; row-level security is forced on owners, too.
CREATE POLICY owner_looks ON runs FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY owner_looks ON start_keys FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY owner_looks ON dead_letters FOR SELECT TO CURRENT_USER USING (true);

-- Drop the oldest month of runs, if it is over by `kept` and nobody needs it any more; its name, or null. A month stays
-- as a whole while a run of it has not ended, while a run that has not ended goes on from one of it, undoes one or is
-- of a lineage that began in it, and while a dead letter or a start's key names one. And while one before it stays: a
-- run's children and re-runs are younger than it is, and it may still have to undo or take over what they did.
CREATE FUNCTION headrace_drop_month(kept interval) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    month date;
    named text;
    lowest uuid;
    beyond uuid;
    parent text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('headrace_ensure_partitions'));
    SELECT min(to_date(right(c.relname, 6), 'YYYYMM')) INTO month
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'runs'::regclass;
    IF month IS NULL OR month + interval '1 month' > headrace_now() AT TIME ZONE 'UTC' - kept THEN
        RETURN NULL;
    END IF;
    named := to_char(month, 'YYYYMM');
    lowest := headrace_id_bound(month);
    beyond := headrace_id_bound((month + interval '1 month')::date);
    IF EXISTS (SELECT FROM start_keys WHERE run_id >= lowest AND run_id < beyond)
        OR EXISTS (SELECT FROM dead_letters WHERE run_id >= lowest AND run_id < beyond)
        OR headrace_month_needed(lowest, beyond) THEN
        RETURN NULL;
    END IF;
    -- Looked at again behind the locks, by index: somebody may have begun to go on from one of its runs meanwhile.
    -- Parents before their partitions, as every statement locks them; who holds one for long has the month left to it.
    LOCK TABLE runs, step_runs, attempts, events, inbox, waits IN ACCESS EXCLUSIVE MODE;
    IF headrace_month_needed(lowest, beyond) THEN
        RETURN NULL;
    END IF;
    FOREACH parent IN ARRAY ARRAY['runs', 'step_runs', 'attempts', 'events', 'inbox', 'waits'] LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', parent || '_' || named);
    END LOOP;
    RETURN named;
END
$$;

-- Unfinished runs are found by runs_by_status, tenant by tenant: their number counts, and not that of all runs.
CREATE FUNCTION headrace_month_needed(lowest uuid, beyond uuid) RETURNS boolean
LANGUAGE sql SECURITY DEFINER AS $$
    SELECT EXISTS (
        SELECT FROM tenants t
        CROSS JOIN unnest(ARRAY['QUEUED', 'RUNNING', 'WAITING', 'PAUSED', 'COMPENSATING']) AS unfinished (status)
        CROSS JOIN LATERAL (
            SELECT FROM runs r
            WHERE r.tenant_id = t.id AND r.status = unfinished.status
              AND ((r.id >= lowest AND r.id < beyond)
                OR (r.origin_run_id >= lowest AND r.origin_run_id < beyond)
                OR (r.undoes_run_id >= lowest AND r.undoes_run_id < beyond)
                OR (r.parent_run_id >= lowest AND r.parent_run_id < beyond)
                OR (r.lineage >= lowest AND r.lineage < beyond))
            LIMIT 1
        ) needs)
$$;

-- As 0007 does.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION headrace_drop_month(interval) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION headrace_month_needed(uuid, uuid) SET search_path = %I, pg_temp', current_schema());
END
$$;
-- Far below deadlock_timeout: whoever is at work goes on, and the month goes an hour later.
ALTER FUNCTION headrace_drop_month(interval) SET lock_timeout = '300ms';
REVOKE ALL ON FUNCTION headrace_drop_month(interval), headrace_month_needed(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION headrace_drop_month(interval) TO headrace_worker;
