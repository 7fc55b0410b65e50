-- name: workflow_named
SELECT id, name, created_at, pool FROM workflows WHERE tenant_id = $1 AND name = $2

-- name: workflows_by_id
SELECT id, name, created_at, pool FROM workflows WHERE tenant_id = $1 AND id = ANY($2::uuid[])

-- name: workflows_after
SELECT id, name, created_at, pool FROM workflows
WHERE tenant_id = $1 AND name > $2
ORDER BY name
LIMIT $3

-- name: lock_workflow
-- Makes the workflow when it is new, and locks its row either way: who numbers its versions waits here.
INSERT INTO workflows (tenant_id, id, name) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, name) DO UPDATE SET name = excluded.name
RETURNING id, name, created_at, pool

-- name: lock_workflow_of_version
SELECT w.id, w.name, w.created_at, w.pool
FROM workflows w
WHERE w.tenant_id = $1
  AND w.id = (SELECT v.workflow_id FROM workflow_versions v WHERE v.tenant_id = $1 AND v.id = $2)
FOR UPDATE

-- name: versions_by_id
SELECT id, workflow_id, version AS number, status, digest, note, created_at, created_by, published_at
FROM workflow_versions WHERE tenant_id = $1 AND id = ANY($2::uuid[])

-- name: versions_of_workflows
SELECT v.id FROM workflow_versions v JOIN workflows w ON w.tenant_id = v.tenant_id AND w.id = v.workflow_id
WHERE v.tenant_id = $1 AND v.id = ANY($2::uuid[]) AND w.name = ANY($3::text[])

-- name: version_numbered
SELECT v.id, v.workflow_id, v.version AS number, v.status, v.digest, v.note, v.created_at, v.created_by,
       v.published_at
FROM workflow_versions v
JOIN workflows w ON w.tenant_id = v.tenant_id AND w.id = v.workflow_id
WHERE v.tenant_id = $1 AND w.name = $2 AND v.version = $3

-- name: versions_below
-- A page of each wanted workflow's versions, newest first, all in one round trip.
SELECT wanted.n, v.*
FROM unnest($2::uuid[], $3::int[]) WITH ORDINALITY AS wanted (workflow_id, below, n)
CROSS JOIN LATERAL (
    SELECT id, workflow_id, version AS number, status, digest, note, created_at, created_by, published_at
    FROM workflow_versions
    WHERE tenant_id = $1 AND workflow_id = wanted.workflow_id AND version < wanted.below
    ORDER BY version DESC
    LIMIT $4
) v
ORDER BY wanted.n, v.number DESC

-- name: newest_of_status
-- Not of those that are held back: a start that names no version does not run them.
SELECT DISTINCT ON (workflow_id)
       id, workflow_id, version AS number, status, digest, note, created_at, created_by, published_at
FROM workflow_versions
WHERE tenant_id = $1 AND workflow_id = ANY($2::uuid[]) AND status = $3 AND NOT held_back
ORDER BY workflow_id, version DESC

-- name: document_texts
-- As text; of what together has more than $3 bytes the size alone. See `payloads` of headrace_control.runs.
WITH found AS MATERIALIZED (
    SELECT id, document, source, resolved
    FROM workflow_versions WHERE tenant_id = $1 AND id = ANY($2::uuid[])
),
together AS (
    SELECT coalesce(sum(octet_length(document::text) + coalesce(octet_length(source), 0)
        + coalesce(octet_length(resolved::text), 0)), 0)::bigint AS size
    FROM found
)
SELECT together.size, found.id, convert_to(found.document::text, 'UTF8') AS document, found.source,
       convert_to(found.resolved::text, 'UTF8') AS resolved
FROM together LEFT JOIN found ON together.size <= $3

-- name: marked_parameters
-- Of versions whose parameters hold the word $4, which marks what is sensitive in the input of their runs. As above.
WITH found AS MATERIALIZED (
    SELECT id, document
    FROM workflow_versions
    WHERE tenant_id = $1 AND id = ANY($2::uuid[]) AND strpos((document -> 'parameters')::text, $4) > 0
),
together AS (SELECT coalesce(sum(octet_length((document -> 'parameters')::text)), 0)::bigint AS size FROM found)
SELECT together.size, found.id, convert_to((found.document -> 'parameters')::text, 'UTF8') AS parameters
FROM together LEFT JOIN found ON together.size <= $3

-- name: documents
SELECT id, document, source, resolved FROM workflow_versions WHERE tenant_id = $1 AND id = ANY($2::uuid[])

-- name: classifications
-- Of versions that were published before they were classified, what their class can be found from.
SELECT id, classification, waiver
FROM workflow_versions WHERE tenant_id = $1 AND id = ANY($2::uuid[]) AND status <> 'DRAFT'

-- name: resolved
SELECT convert_to(resolved::text, 'UTF8') FROM workflow_versions WHERE tenant_id = $1 AND id = $2

-- name: edit_draft
UPDATE workflow_versions SET document = $3, source = $4, note = coalesce($5, note), created_by = $6
WHERE tenant_id = $1 AND workflow_id = $2 AND status = 'DRAFT'
RETURNING id, workflow_id, version AS number, status, digest, note, created_at, created_by, published_at

-- name: insert_draft
INSERT INTO workflow_versions (tenant_id, workflow_id, document, source, note, created_by, id, version, status)
SELECT $1, $2, $3, $4, coalesce($5, ''), $6, $7, coalesce(max(version), 0) + 1, 'DRAFT'
FROM workflow_versions WHERE tenant_id = $1 AND workflow_id = $2
RETURNING id, workflow_id, version AS number, status, digest, note, created_at, created_by, published_at

-- name: delete_draft
DELETE FROM workflow_versions WHERE tenant_id = $1 AND id = $2 AND status = 'DRAFT'

-- name: publish_draft
UPDATE workflow_versions
SET status = 'PUBLISHED', resolved = $3, digest = $4, published_at = headrace_now(), published_by = $5, held_back = $6,
    classification = $7, waiver = $8
WHERE tenant_id = $1 AND id = $2 AND status = 'DRAFT'
RETURNING id, workflow_id, version AS number, status, digest, note, created_at, created_by, published_at

-- name: move_draft_up
-- An open draft always has the highest number: a version published beside it takes that one.
UPDATE workflow_versions SET version = version + 1
WHERE tenant_id = $1 AND workflow_id = $2 AND status = 'DRAFT'

-- name: insert_published
INSERT INTO workflow_versions (tenant_id, workflow_id, document, source, note, created_by, id, resolved, digest,
    version, status, published_at, published_by, held_back, classification, waiver)
SELECT $1, $2, $3, $4, coalesce($5, ''), $6, $7, $8, $9,
       coalesce(max(version) FILTER (WHERE status <> 'DRAFT'), 0) + 1, 'PUBLISHED', headrace_now(), $6, $10, $11, $12
FROM workflow_versions WHERE tenant_id = $1 AND workflow_id = $2
RETURNING id, workflow_id, version AS number, status, digest, note, created_at, created_by, published_at

-- name: deprecate
UPDATE workflow_versions SET status = 'DEPRECATED'
WHERE tenant_id = $1 AND id = $2 AND status = 'PUBLISHED'
RETURNING id, workflow_id, version AS number, status, digest, note, created_at, created_by, published_at

-- name: versions_using
-- The published versions that use a connection ($2, its id) or a secret ($3, its name), or that run one that does: what
-- was deprecated goes on as a step of a published version. Deprecated ones start no run of their own.
WITH RECURSIVE children AS MATERIALIZED (
    SELECT p.id AS parent, (c.value ->> 'versionId')::uuid AS child
    FROM workflow_versions p CROSS JOIN LATERAL jsonb_each(p.resolved -> 'children') c
    WHERE p.tenant_id = $1 AND p.status <> 'DRAFT'
), users (id) AS (
    SELECT v.id FROM workflow_versions v
    WHERE v.tenant_id = $1 AND v.status <> 'DRAFT'
      AND (EXISTS (SELECT 1 FROM jsonb_each_text(v.resolved -> 'connections') c WHERE c.value = $2::text)
           OR EXISTS (SELECT 1 FROM jsonb_each(v.resolved -> 'document' -> 'env') e
                      WHERE jsonb_typeof(e.value) = 'object' AND e.value ->> 'secret' = $3::text))
    UNION
    SELECT children.parent FROM users JOIN children ON children.child = users.id
)
SELECT w.name, v.version
FROM users
JOIN workflow_versions v ON v.tenant_id = $1 AND v.id = users.id AND v.status = 'PUBLISHED'
JOIN workflows w ON w.tenant_id = v.tenant_id AND w.id = v.workflow_id
ORDER BY w.name, v.version
LIMIT 5

-- name: pinnable_actions
-- The newest revision of each wanted action.
SELECT p.name AS app, p.base_url, p.retry, a.name, r.id AS revision_id, r.revision, r.definition
FROM unnest($2::text[], $3::text[]) AS wanted (app, name)
JOIN apps p ON p.tenant_id = $1 AND p.name = wanted.app
JOIN actions a ON a.tenant_id = $1 AND a.app_id = p.id AND a.name = wanted.name
CROSS JOIN LATERAL (
    SELECT id, revision, definition FROM action_revisions
    WHERE tenant_id = $1 AND action_id = a.id
    ORDER BY revision DESC
    LIMIT 1
) r

-- name: action_names
-- For suggestions only.
SELECT p.name || '/' || a.name AS ref
FROM actions a JOIN apps p ON p.tenant_id = a.tenant_id AND p.id = a.app_id
WHERE a.tenant_id = $1
ORDER BY ref
LIMIT $2

-- name: connections
-- Those that are wanted, then others for suggestions.
SELECT c.name, c.id, p.name AS app
FROM connections c JOIN apps p ON p.tenant_id = c.tenant_id AND p.id = c.app_id
WHERE c.tenant_id = $1
ORDER BY c.name <> ALL($2::text[]), c.name
LIMIT $3

-- name: secret_names
SELECT name, apps FROM secrets
WHERE tenant_id = $1
ORDER BY name <> ALL($2::text[]), name
LIMIT $3

-- name: pinnable_workflows
-- Of each wanted workflow the published version of that number, or the newest that is not held back where there is no
-- number.
SELECT w.name, v.id, v.version, v.parameters, v.held_back
FROM unnest($2::text[], $3::int[]) AS wanted (name, version)
JOIN workflows w ON w.tenant_id = $1 AND w.name = wanted.name
CROSS JOIN LATERAL (
    SELECT id, version, document -> 'parameters' AS parameters, held_back FROM workflow_versions
    WHERE tenant_id = $1 AND workflow_id = w.id AND status = 'PUBLISHED'
      AND CASE WHEN wanted.version IS NULL THEN NOT held_back ELSE version = wanted.version END
    ORDER BY version DESC
    LIMIT 1
) v

-- name: published_workflow_names
-- For suggestions only.
SELECT w.name FROM workflows w
WHERE w.tenant_id = $1 AND EXISTS (
    SELECT FROM workflow_versions v
    WHERE v.tenant_id = $1 AND v.workflow_id = w.id AND v.status = 'PUBLISHED')
ORDER BY w.name
LIMIT $2

-- name: keep_connections
-- As a reference locks: who deletes one waits, and finds the version that names it then.
SELECT id FROM connections WHERE tenant_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR KEY SHARE

-- name: keep_secrets
SELECT name FROM secrets WHERE tenant_id = $1 AND name = ANY($2::text[]) ORDER BY name FOR KEY SHARE
