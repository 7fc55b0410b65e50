-- name: lock_members
-- Two admins who demote each other at once would leave none; whoever changes admins takes turns.
SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE

-- name: invite
-- An invitation that was not accepted is made anew; who is a member already is left alone.
INSERT INTO members AS m (tenant_id, id, email, role, code_hash, code_expires_at, invited_by)
VALUES ($1, $2, $3, $4, $5, headrace_now() + $6, $7)
ON CONFLICT (tenant_id, email) WHERE status <> 'REMOVED' DO UPDATE
SET role = excluded.role, code_hash = excluded.code_hash, code_expires_at = excluded.code_expires_at,
    invited_by = excluded.invited_by
WHERE m.status = 'INVITED'
RETURNING id, email, name, role, status, invited_by, created_at, joined_at, removed_at, code_expires_at

-- name: find_member
SELECT id, email, name, role, status, invited_by, created_at, joined_at, removed_at, code_expires_at
FROM members WHERE tenant_id = $1 AND id = $2

-- name: list_members
SELECT id, email, name, role, status, invited_by, created_at, joined_at, removed_at, code_expires_at
FROM members
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) AND ($3::text IS NULL OR status = $3)
ORDER BY id DESC
LIMIT $4

-- name: accept
-- The code, once: whoever comes second finds it spent.
UPDATE members
SET status = 'ACTIVE', issuer = $4, subject = $5, name = $6, joined_at = headrace_now(),
    code_hash = NULL, code_expires_at = NULL
WHERE tenant_id = $1 AND id = $2 AND code_hash = $3 AND status = 'INVITED' AND code_expires_at > headrace_now()
RETURNING id, email, name, role, status, invited_by, created_at, joined_at, removed_at, code_expires_at

-- name: change_role
UPDATE members SET role = $3
WHERE tenant_id = $1 AND id = $2 AND status <> 'REMOVED'
RETURNING id, email, name, role, status, invited_by, created_at, joined_at, removed_at, code_expires_at

-- name: remove
UPDATE members SET status = 'REMOVED', removed_at = headrace_now(), code_hash = NULL, code_expires_at = NULL
WHERE tenant_id = $1 AND id = $2 AND status <> 'REMOVED'
RETURNING id, email, name, role, status, invited_by, created_at, joined_at, removed_at, code_expires_at

-- name: end_sessions
UPDATE sessions SET ended_at = headrace_now()
WHERE tenant_id = $1 AND member_id = $2 AND ended_at IS NULL AND expires_at > headrace_now()

-- name: has_other_admin
-- Somebody who can manage members, other than the one member: a person who can log in, or a key that is alive.
SELECT EXISTS (
    SELECT FROM members WHERE tenant_id = $1 AND id <> $2 AND status = 'ACTIVE' AND role = 'ADMIN'
) OR EXISTS (
    SELECT FROM api_keys
    WHERE tenant_id = $1 AND role = 'ADMIN' AND revoked_at IS NULL
      AND (expires_at IS NULL OR expires_at > headrace_now())
      AND (permissions IS NULL OR 'MANAGE_MEMBERS' = ANY (permissions))
)

-- name: unknown_deciders
-- With an @ it is a member's address, else a key's name: an address that is a key's name is nobody's.
SELECT wanted FROM unnest($2::text[]) AS wanted
WHERE CASE WHEN strpos(wanted, '@') > 0
    THEN NOT EXISTS (SELECT FROM members WHERE tenant_id = $1 AND email = lower(wanted) AND status <> 'REMOVED')
    ELSE NOT EXISTS (
        SELECT FROM api_keys
        WHERE tenant_id = $1 AND name = wanted AND revoked_at IS NULL
          AND (expires_at IS NULL OR expires_at > headrace_now()))
END
