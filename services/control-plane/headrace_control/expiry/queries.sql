-- name: expire_start_keys
-- Of all tenants, oldest first.
DELETE FROM start_keys d
USING (
    SELECT k.tenant_id, k.key FROM start_keys k
    WHERE k.created_at < headrace_now() - $1::interval
      AND NOT EXISTS (
          SELECT 1 FROM runs r WHERE r.tenant_id = k.tenant_id AND r.id = k.run_id AND r.finished_at IS NULL)
    ORDER BY k.created_at
    LIMIT $2
) old
WHERE d.tenant_id = old.tenant_id AND d.key = old.key
RETURNING d.tenant_id

-- name: expire_firings
-- What came of a schedule's firings. Those whose runs others have to mind are still needed; whether they have ended is
-- looked up here, for nobody marks it when the schedule or the backfill starts nothing more.
DELETE FROM schedule_firings d
USING (
    SELECT f.tenant_id, f.id FROM schedule_firings f
    WHERE f.created_at < headrace_now() - $1::interval
      AND NOT (f.open AND EXISTS (
          SELECT 1 FROM runs r WHERE r.tenant_id = f.tenant_id AND r.id = f.run_id AND r.finished_at IS NULL))
    ORDER BY f.created_at
    LIMIT $2
) old
WHERE d.tenant_id = old.tenant_id AND d.id = old.id
RETURNING d.tenant_id

-- name: expire_deliveries
DELETE FROM webhook_deliveries d
USING (
    SELECT l.tenant_id, l.id FROM webhook_deliveries l
    WHERE l.created_at < headrace_now() - $1::interval
    ORDER BY l.created_at
    LIMIT $2
) old
WHERE d.tenant_id = old.tenant_id AND d.id = old.id
RETURNING d.tenant_id

-- name: expire_dry_runs
DELETE FROM dry_runs d
USING (
    SELECT o.tenant_id, o.id FROM dry_runs o
    WHERE o.created_at < headrace_now() - $1::interval
    ORDER BY o.created_at
    LIMIT $2
) old
WHERE d.tenant_id = old.tenant_id AND d.id = old.id
RETURNING d.tenant_id

-- name: expire_hook_messages
DELETE FROM hook_messages d
USING (
    SELECT m.tenant_id, m.id FROM hook_messages m
    WHERE m.ended_at < headrace_now() - $1::interval
    ORDER BY m.ended_at
    LIMIT $2
) old
WHERE d.tenant_id = old.tenant_id AND d.id = old.id
RETURNING d.tenant_id

-- name: expire_cached_results
DELETE FROM cached_results d
USING (
    SELECT c.tenant_id, c.slot FROM cached_results c
    WHERE c.expires_at < headrace_now() - $1::interval
    ORDER BY c.expires_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) old
WHERE d.tenant_id = old.tenant_id AND d.slot = old.slot
RETURNING d.tenant_id

-- name: crowded_with_results
SELECT tenant_id, count(*) - $1::bigint AS over FROM cached_results GROUP BY tenant_id HAVING count(*) > $1::bigint

-- name: crowd_out_cached_results
-- Those that end first. One that is being written just now is not among them.
DELETE FROM cached_results d
USING (
    SELECT tenant_id, slot FROM cached_results
    WHERE tenant_id = $1 ORDER BY expires_at LIMIT $2
    FOR UPDATE SKIP LOCKED
) old
WHERE d.tenant_id = old.tenant_id AND d.slot = old.slot
RETURNING d.tenant_id

-- name: expire_forgotten_results
-- Nothing is kept that long.
DELETE FROM forgotten_results d
USING (SELECT tenant_id, action FROM forgotten_results WHERE at < headrace_now() - $1::interval LIMIT $2) old
WHERE d.tenant_id = old.tenant_id AND d.action = old.action
RETURNING d.tenant_id

-- name: expire_tokens
DELETE FROM approval_tokens d
USING (
    SELECT t.tenant_id, t.nonce FROM approval_tokens t
    WHERE t.expires_at < headrace_now() - $1::interval
      AND NOT EXISTS (
          SELECT 1 FROM runs r WHERE r.tenant_id = t.tenant_id AND r.id = t.run_id AND r.finished_at IS NULL)
    ORDER BY t.expires_at
    LIMIT $2
) old
WHERE d.tenant_id = old.tenant_id AND d.nonce = old.nonce
RETURNING d.tenant_id

-- name: expire_dead_letters
-- Of all tenants and of nobody, whatever became of them.
DELETE FROM dead_letters d
USING (
    SELECT l.id FROM dead_letters l
    WHERE l.created_at < headrace_now() - $1::interval
      AND NOT EXISTS (
          SELECT 1 FROM runs r WHERE r.tenant_id = l.tenant_id AND r.id = l.run_id AND r.finished_at IS NULL)
    ORDER BY l.created_at
    LIMIT $2
) old
WHERE d.id = old.id
RETURNING d.id

-- name: expire_replays
DELETE FROM dead_letter_replays d
USING (
    SELECT p.tenant_id, p.id FROM dead_letter_replays p
    WHERE p.created_at < headrace_now() - $1::interval AND p.status <> 'RUNNING'
    LIMIT $2
) old
WHERE d.tenant_id = old.tenant_id AND d.id = old.id
RETURNING d.id

-- name: drop_month
SELECT headrace_drop_month($1)
