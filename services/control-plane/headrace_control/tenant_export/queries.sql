-- name: tenant
SELECT id FROM tenants WHERE name = $1

-- name: columns
-- Of every table with tenants' rows; `mine`: the role that reads may see the column.
SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, NULL) AS type,
       has_column_privilege(c.oid, a.attnum, 'SELECT') AS mine
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND (c.relname = 'tenants' OR EXISTS (
      SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id' AND NOT t.attisdropped))
ORDER BY c.relname, a.attnum

-- name: record_export
INSERT INTO audit_inbox (tenant_id, id, actor_kind, actor_id, actor_name, action, target, outcome, detail)
VALUES ($1, $2, 'SERVICE', '00000000-0000-0000-0000-000000000000', 'operator', 'tenant.export', 'tenant', 'DONE',
    jsonb_build_object('rows', $3::bigint))
