-- name: events
-- A batch of a run's events, from a place on and up to another. What may be large of them, and is not needed to know
-- the states of its rows, stays where it is. Read off the primary key.
SELECT epoch, seq, kind, step, at,
       CASE WHEN kind = 'waiting' AND jsonb_typeof(data -> 'wait') = 'object' THEN
           jsonb_build_object('wait', jsonb_build_object('kind', data #> '{wait,kind}', 'until', data #> '{wait,until}',
               'name', data #> '{wait,name}'), 'inbox', data -> 'inbox', 'input', data ? 'input')
       ELSE data - ARRAY['input', 'output', 'result'] || jsonb_build_object('input', data ? 'input') END AS data
FROM events
WHERE tenant_id = $1 AND run_id = $2 AND (epoch, seq) > ($3, $4) AND (epoch, seq) <= ($5, $6)
ORDER BY epoch, seq
LIMIT $7

-- name: taken
-- The rows that a re-run began with, as they were then: one that was taken over as it was has its place before all
-- events (rule taken_before_own), or no event of its own; a loop that was opened again was under way.
SELECT s.key, s.status, s.error, s.started_at, s.finished_at, s.items, s.taken_from,
       s.items IS NOT NULL AND s.done_epoch IS DISTINCT FROM 0
       AND (s.status NOT IN ('SUCCESS', 'FAILED', 'SKIPPED', 'CACHED', 'COMPENSATED')
            OR EXISTS (SELECT 1 FROM events e WHERE e.tenant_id = $1 AND e.run_id = $2 AND e.step = s.key)) AS opened
FROM step_runs s WHERE s.tenant_id = $1 AND s.run_id = $2 AND s.taken_from IS NOT NULL

-- name: version_then
-- Of a run that was moved since then (behind the event at a place, or after a time, if one is given): the version that it
-- was moved from first.
SELECT (m.move ->> 'from')::uuid
FROM runs r CROSS JOIN LATERAL jsonb_array_elements(r.moves) WITH ORDINALITY AS m (move, n)
WHERE r.tenant_id = $1 AND r.id = $2
  AND CASE WHEN $5::timestamptz IS NULL THEN ((m.move ->> 'epoch')::int, (m.move ->> 'seq')::int) >= ($3::int, $4::int)
      ELSE (m.move ->> 'at')::timestamptz > $5 END
ORDER BY m.n
LIMIT 1

-- name: messages
-- Those that had come by a time, and were not used up.
SELECT seq, kind, step, name, created_at FROM inbox
WHERE tenant_id = $1 AND run_id = $2 AND seq > $3 AND ($4::timestamptz IS NULL OR created_at <= $4)
  AND NOT (seq = ANY($5::int[]))
ORDER BY seq
LIMIT $6

-- name: payloads
-- As text; of what together has more than $5 bytes the size alone. See `payloads` of headrace_control.runs.
WITH found AS MATERIALIZED (
    SELECT e.run_id, e.epoch, e.seq, e.data
    FROM events e
    JOIN unnest($2::uuid[], $3::int[], $4::int[]) AS wanted (run_id, epoch, seq) USING (run_id, epoch, seq)
    WHERE e.tenant_id = $1
),
together AS (
    SELECT coalesce(sum(coalesce(octet_length((data -> 'input')::text), 0)
        + coalesce(octet_length((data -> 'output')::text), 0)
        + coalesce(octet_length((data -> 'result')::text), 0)), 0)::bigint AS size
    FROM found
)
SELECT together.size, found.run_id, found.epoch, found.seq,
       convert_to((found.data -> 'input')::text, 'UTF8') AS input,
       convert_to((found.data -> 'output')::text, 'UTF8') AS output,
       convert_to((found.data -> 'result')::text, 'UTF8') AS result
FROM together LEFT JOIN found ON together.size <= $5
