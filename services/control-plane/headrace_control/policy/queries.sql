-- name: rules_of_apps
-- Few: one for each app, and one for each of its actions, at most.
SELECT app, action, approval_class, two_person, approver_roles, expires_after_ms, reason, set_by_name, set_at
FROM policy_rules WHERE tenant_id = $1 AND app = ANY($2::text[])

-- name: lock_rules_of_app
SELECT app, action, approval_class, two_person, approver_roles, expires_after_ms, reason, set_by_name, set_at
FROM policy_rules WHERE tenant_id = $1 AND app = $2
ORDER BY action
FOR UPDATE

-- name: rules_after
SELECT app, action, approval_class, two_person, approver_roles, expires_after_ms, reason, set_by_name, set_at
FROM policy_rules
WHERE tenant_id = $1 AND (app, action) > ($2, $3)
ORDER BY app, action
LIMIT $4

-- name: lock_app
-- Whoever changes rules of one app does so one after another.
SELECT id FROM apps WHERE tenant_id = $1 AND name = $2 FOR UPDATE

-- name: declared
-- What the newest revisions of an app's actions declare.
SELECT a.name, r.definition ->> 'approvalClass' AS declared
FROM actions a
JOIN apps p ON p.tenant_id = a.tenant_id AND p.id = a.app_id
CROSS JOIN LATERAL (
    SELECT definition FROM action_revisions
    WHERE tenant_id = $1 AND action_id = a.id
    ORDER BY revision DESC
    LIMIT 1
) r
WHERE a.tenant_id = $1 AND p.name = $2 AND ($3::text IS NULL OR a.name = $3)
ORDER BY a.name

-- name: count_rules
SELECT count(*) FROM policy_rules WHERE tenant_id = $1

-- name: put_rule
INSERT INTO policy_rules (tenant_id, app, action, approval_class, two_person, approver_roles, expires_after_ms, reason,
    set_by, set_by_name)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant_id, app, action) DO UPDATE
SET approval_class = excluded.approval_class, two_person = excluded.two_person,
    approver_roles = excluded.approver_roles, expires_after_ms = excluded.expires_after_ms,
    reason = excluded.reason, set_by = excluded.set_by, set_by_name = excluded.set_by_name,
    set_at = headrace_now()
RETURNING app, action, approval_class, two_person, approver_roles, expires_after_ms, reason, set_by_name, set_at

-- name: delete_rule
DELETE FROM policy_rules WHERE tenant_id = $1 AND app = $2 AND action = $3
