-- A run's row is written four times and a step's twice. With room on their pages, what changes no index stays on its
-- page and touches none of them.

CREATE OR REPLACE FUNCTION headrace_ensure_partitions(months_ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    month date := date_trunc('month', headrace_now() AT TIME ZONE 'UTC')::date - interval '1 month';
    parent text;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('headrace_ensure_partitions'));
    WHILE month <= (headrace_now() AT TIME ZONE 'UTC')::date + make_interval(months => months_ahead) LOOP
        FOREACH parent IN ARRAY ARRAY['runs', 'step_runs', 'attempts', 'events', 'inbox', 'waits'] LOOP
            name := parent || '_' || to_char(month, 'YYYYMM');
            IF to_regclass(name) IS NULL THEN
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                    name, parent, headrace_id_bound(month), headrace_id_bound((month + interval '1 month')::date));
                EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
                EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
                IF parent IN ('runs', 'step_runs') THEN
                    EXECUTE format('ALTER TABLE %I SET (fillfactor = 60)', name);
                END IF;
            END IF;
        END LOOP;
        month := (month + interval '1 month')::date;
    END LOOP;
END
$$;
-- As 0007 does, for the function above was made anew.
DO $$
DECLARE
    there regclass;
BEGIN
    EXECUTE format('ALTER FUNCTION headrace_ensure_partitions(integer) SET search_path = %I, pg_temp', current_schema());
    FOR there IN
        SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent IN ('runs'::regclass, 'step_runs'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s SET (fillfactor = 60)', there);
    END LOOP;
END
$$;

-- Queues: a row lives for moments. They are cleared by what has died, not by a share of a table that is mostly empty.
ALTER TABLE dispatches SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE audit_inbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE runners SET (fillfactor = 50);
