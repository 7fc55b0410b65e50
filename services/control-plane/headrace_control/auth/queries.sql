-- name: find_api_key
SELECT tenant_id, id, name, role, permissions, platform FROM headrace_find_api_key($1)
