"""What the internal API hands to runners: credentials and secrets as plain JSON."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from headrace_control.connections.credentials import Credentials
from headrace_control.secrets.model import OpenedSecret
from headrace_control.secrets.service import SecretService
from headrace_control.vault.envelope import KeysShredded, SecretUnreadable
from headrace_control.vault.output_keys import OutputKeys
from headrace_control.vault.shredding import KeyShredding


class OpenedForRuns:
    """The internal API's `RunCredentials`, over the services of connections and secrets."""

    def __init__(
        self,
        credentials: Credentials,
        secrets: SecretService,
        output_keys: OutputKeys,
        shredding: KeyShredding,
    ) -> None:
        self._credentials, self._secrets = credentials, secrets
        self._output_keys, self._shredding = output_keys, shredding

    async def current(
        self, tenant_id: UUID, connection_ids: Sequence[UUID]
    ) -> Mapping[UUID, Mapping[str, Any]]:
        found = await self._credentials.current(tenant_id, connection_ids)
        return {one: credential.as_json() for one, credential in found.items()}

    async def refresh(self, tenant_id: UUID, connection_id: UUID, seen_version: int) -> Mapping[str, Any]:
        return (await self._credentials.refresh(tenant_id, connection_id, seen_version)).as_json()

    async def secrets(self, tenant_id: UUID, names: Sequence[str]) -> Mapping[str, OpenedSecret]:
        return await self._secrets.values(tenant_id, names)

    async def output_keys(self, tenant_id: UUID, run_ids: Sequence[UUID]) -> Mapping[UUID, str] | None:
        try:
            found = await self._output_keys.of(tenant_id, run_ids)
        except (SecretUnreadable, KeysShredded):
            return None
        return {run_id: b64encode(key).decode() for run_id, key in found.items()}

    async def failure(self, tenant_id: UUID) -> Mapping[str, str] | None:
        if not await self._shredding.was_shredded(tenant_id):
            return None
        return {"code": KeysShredded.code, "message": KeysShredded.MESSAGE}
