"""The port to the tenants' credentials, as claims need them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID


class GivenSecret(Protocol):
    """A secret's value, and the base URL of each app that it may be sent to; None: any may."""

    @property
    def value(self) -> str: ...

    @property
    def apps(self) -> Mapping[str, str] | None: ...


class RunCredentials(Protocol):
    """Opens what one run needs. Values are plain JSON for the runner's memory; nobody writes them anywhere."""

    async def current(
        self, tenant_id: UUID, connection_ids: Sequence[UUID]
    ) -> Mapping[UUID, Mapping[str, Any]]:
        """The credentials of these connections, or the `error` why one does not open; one that is gone is left
        out."""

    async def refresh(self, tenant_id: UUID, connection_id: UUID, seen_version: int) -> Mapping[str, Any]:
        """A newer access token than `seen_version`: one refresh for all who ask at once."""

    async def secrets(self, tenant_id: UUID, names: Sequence[str]) -> Mapping[str, GivenSecret]:
        """These secrets by name; one that is gone is left out."""

    async def output_keys(self, tenant_id: UUID, run_ids: Sequence[UUID]) -> Mapping[UUID, str] | None:
        """What these runs' sensitive outputs are sealed with, in base64; None when it does not open."""

    async def failure(self, tenant_id: UUID) -> Mapping[str, str] | None:
        """Why nothing of the tenant's opens for good, as `code` and `message`; None: it is not so."""
