-- name: fill
-- Finished runs of one workflow, $3 and up to $4 among $5 that lie evenly in the ten days before the last hour, as an upgrade or a
-- year of use would leave them: a run, its three steps, an attempt of each, and eight events.
WITH made AS (
    SELECT n, headrace_now() - interval '1 hour' - interval '10 days' * (1 - n::float8 / $5) AS at FROM generate_series($3::int, $4::int) n
),
run AS (
    -- UUIDv7 of RFC 9562: 48 bits of milliseconds, the version, and digits that are as good as random here.
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(digits, 1, 3) || '8'
            || substr(digits, 4, 15))::uuid AS id, at
    FROM made CROSS JOIN LATERAL (SELECT md5(n::text) AS digits) d
),
runs_made AS (
    INSERT INTO runs (id, tenant_id, workflow_id, version_id, status, input, result, created_at, started_at, finished_at,
                      dispatch_id, epoch, fence_epoch, fence_seq)
    SELECT run.id, $1, v.workflow_id, v.id, 'SUCCESS', '{"n": 1}', '{"n": 4}', at, at, at + interval '50 ms', run.id,
           1, 1, 8
    FROM run, workflow_versions v WHERE v.tenant_id = $1 AND v.id = $2
),
steps_made AS (
    INSERT INTO step_runs (tenant_id, run_id, key, status, attempts, input, output, started_at, finished_at, done_epoch,
                           done_seq)
    SELECT $1, run.id, key, 'SUCCESS', 1, '{"n": 1}',
           '{"status": 200, "headers": {"content-type": "application/json"}, "body": {"n": 2}}', at, at, 1, place * 2
    FROM run, unnest('{one,two,three}'::text[]) WITH ORDINALITY AS s (key, place)
),
attempts_made AS (
    INSERT INTO attempts (tenant_id, run_id, step, number, epoch, outcome, http_status, address, started_at, duration_ms)
    SELECT $1, run.id, key, 1, 1, 'SUCCESS', 200, '127.0.0.1', at, 2 FROM run, unnest('{one,two,three}'::text[]) AS key
)
INSERT INTO events (tenant_id, run_id, epoch, seq, kind, step, at, data)
SELECT $1, run.id, 1, seq, 'completed', 'one', at, '{"status": "SUCCESS", "output": {"n": 2}}'
FROM run, generate_series(1, 8) AS seq
