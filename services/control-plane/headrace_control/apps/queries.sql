-- name: insert_app
INSERT INTO apps (tenant_id, id, name, title, base_url, auth, retry, limits) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING id, name, title, base_url, auth, retry, limits, created_at, updated_at

-- name: app_named
SELECT id, name, title, base_url, auth, retry, limits, created_at, updated_at FROM apps WHERE tenant_id = $1 AND name = $2

-- name: keep_app
SELECT id, name, title, base_url, auth, retry, limits, created_at, updated_at FROM apps
WHERE tenant_id = $1 AND name = $2
FOR KEY SHARE

-- name: lock_app
SELECT id, name, title, base_url, auth, retry, limits, created_at, updated_at FROM apps
WHERE tenant_id = $1 AND name = $2
FOR UPDATE

-- name: apps_by_id
SELECT id, name, title, base_url, auth, retry, limits, created_at, updated_at FROM apps
WHERE tenant_id = $1 AND id = ANY($2::uuid[])

-- name: apps_after
SELECT id, name, title, base_url, auth, retry, limits, created_at, updated_at FROM apps
WHERE tenant_id = $1 AND name > $2
ORDER BY name
LIMIT $3

-- name: update_app
UPDATE apps SET title = $3, base_url = $4, auth = $5, retry = $6, limits = $7, updated_at = headrace_now()
WHERE tenant_id = $1 AND id = $2
RETURNING id, name, title, base_url, auth, retry, limits, created_at, updated_at

-- name: app_uses
SELECT EXISTS (SELECT 1 FROM connections c WHERE c.tenant_id = $1 AND c.app_id = $2) AS connections,
       EXISTS (SELECT 1 FROM actions a WHERE a.tenant_id = $1 AND a.app_id = $2) AS actions,
       EXISTS (SELECT 1 FROM secrets s JOIN apps p ON p.tenant_id = s.tenant_id AND p.name = ANY(s.apps)
               WHERE p.tenant_id = $1 AND p.id = $2) AS secrets

-- name: delete_app
DELETE FROM apps WHERE tenant_id = $1 AND id = $2

-- name: lock_action
-- Makes the action when it is new, and locks its row either way: who numbers its revisions waits here.
INSERT INTO actions (tenant_id, id, app_id, name) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, app_id, name) DO UPDATE SET name = excluded.name
RETURNING id

-- name: latest_revision
SELECT number, digest FROM (
    SELECT revision AS number, digest FROM action_revisions
    WHERE tenant_id = $1 AND action_id = $2
    ORDER BY revision DESC LIMIT 1) newest

-- name: insert_revision
INSERT INTO action_revisions (tenant_id, id, action_id, revision, definition, digest, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: actions_after
-- In the order of (app, action) by name; $2 narrows to one app.
SELECT a.id, a.app_id, p.name AS app, a.name, a.created_at,
       r.id AS revision_id, r.revision AS number, r.digest, r.created_at AS revised_at, r.created_by
FROM actions a
JOIN apps p ON p.tenant_id = a.tenant_id AND p.id = a.app_id
CROSS JOIN LATERAL (
    SELECT v.id, v.revision, v.digest, v.created_at, v.created_by
    FROM action_revisions v
    WHERE v.tenant_id = a.tenant_id AND v.action_id = a.id
    ORDER BY v.revision DESC LIMIT 1) r
WHERE a.tenant_id = $1 AND ($2::text IS NULL OR p.name = $2) AND (p.name, a.name) > ($3, $4)
ORDER BY p.name, a.name
LIMIT $5

-- name: actions_named
-- $2 and $3 are the apps' and the actions' names, in pairs.
SELECT a.id, a.app_id, p.name AS app, a.name, a.created_at,
       r.id AS revision_id, r.revision AS number, r.digest, r.created_at AS revised_at, r.created_by
FROM unnest($2::text[], $3::text[]) AS wanted (app, name)
JOIN apps p ON p.tenant_id = $1 AND p.name = wanted.app
JOIN actions a ON a.tenant_id = $1 AND a.app_id = p.id AND a.name = wanted.name
CROSS JOIN LATERAL (
    SELECT v.id, v.revision, v.digest, v.created_at, v.created_by
    FROM action_revisions v
    WHERE v.tenant_id = a.tenant_id AND v.action_id = a.id
    ORDER BY v.revision DESC LIMIT 1) r

-- name: definitions
-- As text; of what together has more than $3 bytes the size alone. See `payloads` of headrace_control.runs.
WITH found AS MATERIALIZED (
    SELECT id, definition
    FROM action_revisions WHERE tenant_id = $1 AND id = ANY($2::uuid[])
),
together AS (SELECT coalesce(sum(octet_length(definition::text)), 0)::bigint AS size FROM found)
SELECT together.size, found.id, convert_to(found.definition::text, 'UTF8') AS definition
FROM together LEFT JOIN found ON together.size <= $3

-- name: revisions_below
SELECT r.id AS revision_id, r.action_id, r.revision AS number, r.digest,
       r.created_at AS revised_at, r.created_by
FROM action_revisions r
JOIN actions a ON a.tenant_id = r.tenant_id AND a.id = r.action_id
JOIN apps p ON p.tenant_id = a.tenant_id AND p.id = a.app_id
WHERE r.tenant_id = $1 AND p.name = $2 AND a.name = $3 AND r.revision < $4
ORDER BY r.revision DESC
LIMIT $5
