-- name: find_api_key
SELECT tenant_id, id, name, role, permissions, workflows, platform, owner FROM headrace_find_api_key($1)

-- name: find_session
SELECT tenant_id, id, name, role, platform FROM headrace_find_session($1, $2)
