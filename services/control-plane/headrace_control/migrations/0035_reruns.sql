-- Re-runs: new runs that take over what their origins have done.

ALTER TABLE runs
    -- Immutable: the ended run that this one goes on from, and the first run that both go back to.
    ADD COLUMN origin_run_id uuid,
    ADD COLUMN lineage       uuid,
    -- Immutable: {keys: {run id: [row keys that are sent under that run's idempotency keys]}, children: {row key: the
    -- same of the run that is begun for that row, with its `origin`, what it is to `take`, and which loops to `reopen`}}
    ADD COLUMN rerun         jsonb;
CREATE INDEX runs_by_lineage ON runs (tenant_id, lineage, id DESC) WHERE lineage IS NOT NULL;
CREATE INDEX runs_by_origin ON runs (tenant_id, origin_run_id) WHERE origin_run_id IS NOT NULL;

-- Whose work it is: the run that did it, where that is not this one.
ALTER TABLE step_runs ADD COLUMN taken_from uuid;

-- Copies what `run` takes over from `origin`. rule taken_before_own: epoch 0 is before every claim's, and the seq is the
-- rank among what is taken. A loop of which items are done again is under way; a child's step that was undone in name
-- alone is done.
CREATE FUNCTION headrace_take_over(tenant uuid, run uuid, origin uuid, take text[], reopen text[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO step_runs (tenant_id, run_id, key, status, input, output, error, started_at, finished_at, items,
        done_epoch, done_seq, taken_from)
    SELECT o.tenant_id, run, o.key, CASE WHEN again THEN 'RUNNING' WHEN o.status = 'COMPENSATED' THEN 'SUCCESS' ELSE o.status END, o.input,
           CASE WHEN NOT again THEN o.output END, CASE WHEN NOT again THEN o.error END, o.started_at,
           CASE WHEN NOT again THEN o.finished_at END, o.items, CASE WHEN placed THEN 0 END,
           CASE WHEN placed THEN row_number() OVER (ORDER BY NOT placed, o.done_epoch, o.done_seq) END,
           coalesce(o.taken_from, o.run_id)
    FROM step_runs o
    CROSS JOIN LATERAL (SELECT o.key = ANY(reopen) AS again) opened
    CROSS JOIN LATERAL (SELECT o.done_epoch IS NOT NULL AND NOT again AS placed) ranked
    WHERE o.tenant_id = tenant AND o.run_id = origin AND o.key = ANY(take)
$$;
REVOKE ALL ON FUNCTION headrace_take_over(uuid, uuid, uuid, text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION headrace_take_over(uuid, uuid, uuid, text[], text[]) TO headrace_api, headrace_worker;
-- Of its own tenant alone, and nothing that is there can be changed.
GRANT INSERT ON step_runs TO headrace_api;
