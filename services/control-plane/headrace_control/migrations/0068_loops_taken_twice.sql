-- phase: expand
-- A loop of which a re-run has done items again is that run's own work, also where a later one takes it over: its end has
-- a place among that run's events. What was taken over as it was has one before them all, or none.

CREATE OR REPLACE FUNCTION headrace_take_over(tenant uuid, run uuid, origin uuid, take text[], reopen text[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO step_runs (tenant_id, run_id, key, status, input, output, error, started_at, finished_at, items,
        done_epoch, done_seq, taken_from)
    SELECT o.tenant_id, run, o.key, CASE WHEN again THEN 'RUNNING' WHEN o.status = 'COMPENSATED' THEN 'SUCCESS' ELSE o.status END, o.input,
           CASE WHEN NOT again THEN o.output END, CASE WHEN NOT again THEN o.error END, o.started_at,
           CASE WHEN NOT again THEN o.finished_at END, o.items, CASE WHEN placed THEN 0 END,
           CASE WHEN placed THEN row_number() OVER (ORDER BY NOT placed, o.done_epoch, o.done_seq) END,
           CASE WHEN o.done_epoch > 0 THEN o.run_id ELSE coalesce(o.taken_from, o.run_id) END
    FROM step_runs o
    CROSS JOIN LATERAL (SELECT o.key = ANY(reopen) AS again) opened
    CROSS JOIN LATERAL (SELECT o.done_epoch IS NOT NULL AND NOT again AS placed) ranked
    WHERE o.tenant_id = tenant AND o.run_id = origin AND o.key = ANY(take)
$$;
