-- name: begin_login
SELECT headrace_begin_login($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- name: take_login
SELECT nonce, verifier, tenant, invitation_hash, challenge, redirect, client_state FROM headrace_take_login($1, $2)

-- name: find_member
SELECT tenant_id, id FROM headrace_find_member($1, $2, $3)

-- name: find_invitation
SELECT tenant_id, id, email FROM headrace_find_invitation($1)

-- name: insert_login_code
INSERT INTO login_codes (tenant_id, hash, member_id, challenge, redirect, expires_at)
VALUES ($1, $2, $3, $4, $5, headrace_now() + $6)

-- name: take_login_code
SELECT tenant_id, member_id, challenge, redirect FROM headrace_take_login_code($1)

-- name: forget_old_sessions
DELETE FROM sessions
WHERE tenant_id = $1 AND member_id = $2 AND (expires_at <= headrace_now() OR ended_at IS NOT NULL)

-- name: insert_session
-- Of an active member: who was removed since the log-in gets none.
INSERT INTO sessions (tenant_id, id, member_id, hash, expires_at)
SELECT m.tenant_id, $2, m.id, $4, headrace_now() + $5
FROM members m WHERE m.tenant_id = $1 AND m.id = $3 AND m.status = 'ACTIVE'
RETURNING expires_at

-- name: end_session
UPDATE sessions SET ended_at = headrace_now()
WHERE tenant_id = $1 AND hash = $2 AND ended_at IS NULL
RETURNING id
