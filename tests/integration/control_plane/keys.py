"""API keys, as an admin makes them."""

from typing import Any

from headrace_control.auth.permissions import Permission
from headrace_control.auth.roles import Role

from tests.integration.control_plane.conftest import Client

CREATE = """
mutation($name: String! = "k", $role: Role!, $permissions: [Permission!], $expiresAt: DateTime) {
  createApiKey(name: $name, role: $role, permissions: $permissions, expiresAt: $expiresAt) {
    ... on IssuedApiKey { key apiKey { id role permissions expiresAt } }
    ... on Failure { code message } ... on InvalidInput { problems { path message mend } }
  }
}
"""


async def create(client: Client, role: Role, *permissions: Permission, **more: Any) -> Any:
    scope = {"permissions": list(permissions)} if permissions else {}
    return (await client(CREATE, role=role, **scope, **more))["createApiKey"]
