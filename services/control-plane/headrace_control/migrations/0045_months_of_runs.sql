-- Runs that are kept for a time go by whole months: their tables are dropped, which costs nothing for each row.

-- Drop the oldest month of runs that is over by `kept` and that nobody needs any more; its name, or null when there is
-- none. A month stays as a whole while a run of it has not ended, while a run that has not ended goes on from one of it
-- or undoes one, and while a dead letter or a start's key names one.
CREATE FUNCTION headrace_drop_month(kept interval) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    month date;
    named text;
    lowest uuid;
    beyond uuid;
    parent text;
    parents text[] := ARRAY['runs', 'step_runs', 'attempts', 'events', 'inbox', 'waits'];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('headrace_ensure_partitions'));
    FOR month IN
        SELECT to_date(right(c.relname, 6), 'YYYYMM') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'runs'::regclass
          AND to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month' <= headrace_now() AT TIME ZONE 'UTC' - kept
        ORDER BY 1
    LOOP
        named := to_char(month, 'YYYYMM');
        lowest := headrace_id_bound(month);
        beyond := headrace_id_bound((month + interval '1 month')::date);
        CONTINUE WHEN headrace_month_needed(lowest, beyond);
        -- Looked at again behind the locks: somebody may have begun to go on from one of its runs meanwhile. Who waits
        -- for these locks waits for moments; who holds one for long has this month left for another time.
        FOREACH parent IN ARRAY parents LOOP
            EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_' || named);
        END LOOP;
        CONTINUE WHEN headrace_month_needed(lowest, beyond);
        FOREACH parent IN ARRAY parents LOOP
            EXECUTE format('DROP TABLE %I', parent || '_' || named);
        END LOOP;
        RETURN named;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE FUNCTION headrace_month_needed(lowest uuid, beyond uuid) RETURNS boolean
LANGUAGE sql SECURITY DEFINER AS $$
    SELECT EXISTS (SELECT FROM runs WHERE id >= lowest AND id < beyond AND finished_at IS NULL)
        OR EXISTS (SELECT FROM start_keys WHERE run_id >= lowest AND run_id < beyond)
        OR EXISTS (SELECT FROM dead_letters WHERE run_id >= lowest AND run_id < beyond)
        OR EXISTS (
            SELECT FROM runs WHERE finished_at IS NULL AND (
                (origin_run_id >= lowest AND origin_run_id < beyond)
                OR (undoes_run_id >= lowest AND undoes_run_id < beyond)
                OR (parent_run_id >= lowest AND parent_run_id < beyond)))
$$;

-- As 0007 does.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION headrace_drop_month(interval) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION headrace_month_needed(uuid, uuid) SET search_path = %I, pg_temp', current_schema());
END
$$;
ALTER FUNCTION headrace_drop_month(interval) SET lock_timeout = '2s';
REVOKE ALL ON FUNCTION headrace_drop_month(interval), headrace_month_needed(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION headrace_drop_month(interval) TO headrace_worker;
