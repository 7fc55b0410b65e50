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

-- name: lock_claim
-- The run, for the holder of its open claim who shows the claim's token.
SELECT version_id FROM runs
WHERE tenant_id = $1 AND id = $2 AND epoch = $3 AND claimed_by = $4 AND claim_token = $5
FOR UPDATE

-- name: action_of_row
-- What the row's step, its compensation ($4 = 'undo') or its probe calls, and what the pinned revision declares.
SELECT called.ref, v.resolved -> 'actions' -> called.ref -> 'definition' ->> 'approvalClass' AS declared
FROM workflow_versions v
CROSS JOIN LATERAL jsonb_path_query_first(
    v.resolved, '$.document.steps[*] ? (@.key == $key)', jsonb_build_object('key', $3::text)) AS step
CROSS JOIN LATERAL (
    SELECT CASE $4::text WHEN '' THEN step ->> 'action'
        WHEN 'undo' THEN step -> 'compensate' ->> 'action'
        ELSE step -> 'probe' ->> 'action' END AS ref
) called
WHERE v.tenant_id = $1 AND v.id = $2

-- name: keep_token
INSERT INTO approval_tokens (tenant_id, nonce, run_id, step, digest, seq, approved_by, approved_by_name, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: redeemed_tokens
SELECT digest, approved_by_name FROM approval_tokens
WHERE tenant_id = $1 AND run_id = $2 AND step = $3 AND redeemed_at IS NOT NULL

-- name: redeem_token
-- Once: under the lock of the run's row, and only while its time lasts.
UPDATE approval_tokens SET redeemed_at = headrace_now(), redeemed_epoch = $6
WHERE tenant_id = $1 AND nonce = $2 AND run_id = $3 AND step = $4 AND digest = $5 AND redeemed_at IS NULL
  AND expires_at > headrace_now()
RETURNING approved_by_name
