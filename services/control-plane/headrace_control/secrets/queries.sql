-- name: hold_name
-- A row lock holds nobody who sets a secret for the first time.
SELECT pg_advisory_xact_lock(hashtextextended('secret ' || $1::uuid || ' ' || $2::text, 0))

-- name: reserve_secret
-- The id is needed to seal the value, which is bound to it; so the row's id is settled first.
SELECT id FROM secrets WHERE tenant_id = $1 AND name = $2 FOR UPDATE

-- name: put_secret
-- $7: the apps stay as they are where the secret is there.
INSERT INTO secrets AS s (tenant_id, id, name, key_id, sealed, apps) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, id)
DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed, updated_at = headrace_now(),
              apps = CASE WHEN $7 THEN s.apps ELSE excluded.apps END
RETURNING id, name, apps, created_at, updated_at

-- name: keep_apps
-- Nobody deletes one, or moves it to another host, until the transaction ends.
SELECT name FROM apps WHERE tenant_id = $1 AND name = ANY($2::text[]) ORDER BY id FOR SHARE

-- name: secret_named
SELECT id, name, apps, created_at, updated_at FROM secrets WHERE tenant_id = $1 AND name = $2

-- name: secrets_after
SELECT id, name, apps, created_at, updated_at FROM secrets
WHERE tenant_id = $1 AND name > $2
ORDER BY name
LIMIT $3

-- name: sealed_values
-- With their keys, in one statement: a rotation that deletes the key in between has nothing to come between.
SELECT s.id, s.name, s.key_id, s.sealed, k.provider, k.wrapped_by, k.wrapped,
       CASE WHEN s.apps IS NOT NULL THEN
         (SELECT coalesce(jsonb_object_agg(a.name, a.base_url), '{}') FROM apps a
          WHERE a.tenant_id = s.tenant_id AND a.name = ANY(s.apps)) END AS places
FROM secrets s JOIN data_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
WHERE s.tenant_id = $1 AND s.name = ANY($2::text[])

-- name: for_app
SELECT name FROM secrets WHERE tenant_id = $1 AND $2 = ANY(apps) ORDER BY name LIMIT $3

-- name: bounds
SELECT s.name, (SELECT coalesce(jsonb_object_agg(a.name, a.base_url), '{}') FROM apps a
                WHERE a.tenant_id = s.tenant_id AND a.name = ANY(s.apps)) AS places
FROM secrets s
WHERE s.tenant_id = $1 AND s.name = ANY($2::text[]) AND s.apps IS NOT NULL

-- name: runnable_versions
-- Those that start runs or have some under way, and those that they run as steps; the newest of each workflow first.
-- $3: base URLs by the names of apps; another spelling of the same host is for the reader to know.
WITH RECURSIVE runnable (id) AS (
    SELECT v.id FROM workflow_versions v
    WHERE v.tenant_id = $1
      AND (v.status = 'PUBLISHED'
           OR v.status = 'DEPRECATED'
              AND EXISTS (SELECT 1 FROM runs r
                          WHERE r.tenant_id = $1 AND r.version_id = v.id AND r.status = ANY($4::text[])))
    UNION
    SELECT (c.value ->> 'versionId')::uuid
    FROM runnable
    JOIN workflow_versions p ON p.tenant_id = $1 AND p.id = runnable.id
    CROSS JOIN LATERAL jsonb_each(p.resolved -> 'children') c
)
SELECT w.name AS workflow, v.version AS number, v.resolved,
       (SELECT coalesce(jsonb_object_agg(c.id, c.base_url), '{}')
        FROM jsonb_each_text(v.resolved -> 'connections') used
        JOIN connections c ON c.tenant_id = v.tenant_id AND c.id = used.value::uuid
        WHERE c.base_url IS NOT NULL) AS own_urls
FROM runnable
JOIN workflow_versions v ON v.tenant_id = $1 AND v.id = runnable.id
JOIN workflows w ON w.tenant_id = v.tenant_id AND w.id = v.workflow_id
WHERE EXISTS (SELECT 1 FROM jsonb_each(v.resolved -> 'document' -> 'env') e
              WHERE jsonb_typeof(e.value) = 'object' AND e.value ->> 'secret' = $2)
  AND EXISTS (SELECT 1 FROM jsonb_each(v.resolved -> 'actions') a
              WHERE a.value ->> 'baseUrl' IS DISTINCT FROM $3::jsonb ->> (a.value ->> 'app'))
ORDER BY row_number() OVER (PARTITION BY w.id ORDER BY v.version DESC), w.name

-- name: delete_secret
DELETE FROM secrets WHERE tenant_id = $1 AND id = $2
