"""A tenant's secrets as its runs would have them."""

from collections.abc import Sequence
from uuid import UUID

from headrace_control.secrets.service import SecretService


async def secret_values(secrets: SecretService, tenant_id: UUID, names: Sequence[str]) -> dict[str, str]:
    """Those that open, by name."""
    found = await secrets.values(tenant_id, names)
    return {name: secret.value for name, secret in found.items()}
