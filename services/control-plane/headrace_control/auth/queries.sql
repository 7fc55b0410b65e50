-- name: find_api_key
SELECT tenant_id, id, name, role, platform FROM headrace_find_api_key($1)
