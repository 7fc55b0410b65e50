-- name: clock
SELECT clock_timestamp() AS at, coalesce(current_setting('headrace.clock_offset', true), '') AS set_off

-- name: contracts
SELECT name FROM schema_migrations

-- name: releases
-- Sessions of services by the newest migration that they know; 0: from before they said so.
SELECT split_part(split_part(application_name, '/', 1), ':', 2) AS who,
       coalesce(nullif(split_part(application_name, '/', 2), ''), '0')::int AS knows, count(*) AS sessions
FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'headrace:%'
GROUP BY 1, 2 ORDER BY 2, 1

-- name: months
-- The last month that has its tables, of the table that has the fewest.
SELECT min(coalesce(last, DATE '0001-01-01')) FROM (
    SELECT max(to_date(right(c.relname, 6), 'YYYYMM')) AS last
    FROM unnest(ARRAY['runs', 'step_runs', 'attempts', 'events', 'inbox', 'waits']) AS parent (name)
    LEFT JOIN pg_inherits i ON i.inhparent = to_regclass(parent.name)
    LEFT JOIN pg_class c ON c.oid = i.inhrelid
    GROUP BY parent.name) months

-- name: left_claims
-- Runs whose holder has no lease any more, and has had none for longer than a take-over needs.
SELECT count(*)
FROM runs r LEFT JOIN runners holder ON holder.id = r.claimed_by
WHERE r.claimed_by IS NOT NULL AND r.claimed_at < headrace_now() - interval '1 minute'
  AND (holder.id IS NULL OR holder.lease_until < headrace_now() - interval '1 minute')

-- name: partitions
SELECT coalesce(array_agg(partition ORDER BY partition) FILTER (WHERE until > headrace_now()), '{}') AS leased,
       coalesce(max(partition), -1) AS highest
FROM partition_leases

-- name: unsealed
SELECT count(*) AS waiting, coalesce(extract(epoch FROM headrace_now() - min(at)), 0)::float8 AS oldest_seconds
FROM (SELECT at FROM audit_inbox LIMIT 100000) a

-- name: dead_letters
SELECT count(*) AS open, count(*) FILTER (WHERE tenant_id IS NULL) AS nobodys
FROM (SELECT tenant_id FROM dead_letters WHERE status = 'OPEN' LIMIT 100000) d

-- name: size
SELECT pg_database_size(current_database()) AS bytes,
       (SELECT string_agg(format('%s %s', name, pg_size_pretty(bytes)), ', ') FROM (
            SELECT coalesce(parent.relname, c.relname) AS name, sum(pg_total_relation_size(c.oid))::bigint AS bytes
            FROM pg_class c
            LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class parent ON parent.oid = i.inhparent
            WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
            GROUP BY 1 ORDER BY 2 DESC LIMIT 3) largest) AS largest

-- name: slots
-- A slot that nobody reads keeps WAL for good.
SELECT slot_name AS name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS bytes
FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL

-- name: long_transactions
SELECT count(*) AS open, coalesce(extract(epoch FROM now() - min(xact_start)), 0)::float8 AS oldest_seconds
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < now() - interval '10 minutes'

-- name: tenants
SELECT id, name FROM tenants ORDER BY id LIMIT $1

-- name: data_keys
SELECT id, provider, wrapped_by, wrapped FROM data_keys WHERE tenant_id = $1 AND active

-- name: connections
SELECT name, token_error IS NOT NULL AS refused,
       authorization_ends_at < headrace_now() + $2::interval AS ends
FROM connections
WHERE tenant_id = $1 AND (token_error IS NOT NULL OR authorization_ends_at < headrace_now() + $2::interval)
ORDER BY name

-- name: deletions
-- Those that are due are looked for twice a minute.
SELECT count(*) FILTER (WHERE due_at < headrace_now() - interval '1 hour') AS overdue,
       coalesce(extract(epoch FROM headrace_now() - min(due_at)), 0)::float8 / 3600 AS oldest_hours,
       count(*) AS asked, min(due_at) AS next
FROM tenant_deletions WHERE done_at IS NULL

-- name: pools
SELECT name FROM pools WHERE name <> 'default' ORDER BY name
