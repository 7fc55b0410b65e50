"""The credentials of claimed runs, opened as their tenants', several tenants beside one another."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Pool

from headrace_control.internal_api.credentials import RunCredentials
from headrace_control.internal_api.secret_uses import HandedOut, record_secret_uses
from headrace_control.internal_api.versions import PublishedVersion

# Tenants at once: each takes a session of the pool that requests use, too.
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _Opened:
    """What opens of one tenant's credentials, and why not all, if so."""

    connections: Mapping[UUID, Mapping[str, Any]] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    failure: Mapping[str, str] | None

    def of(self, version: PublishedVersion) -> dict[str, Any]:
        """The part of one version."""
        return {
            "failure": self.failure,
            "connections": {
                str(i): self.connections[i] for i in version.connections if i in self.connections
            },
            "secrets": {
                env: self.secrets[name] for env, name in version.secrets.items() if name in self.secrets
            },
        }


class Openings:
    """Opens what versions name, through the row-level security of each run's tenant."""

    def __init__(self, pool: Pool, credentials: RunCredentials) -> None:
        self._pool, self._credentials = pool, credentials
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def add(
        self,
        rows: Sequence[Any],
        versions: Mapping[UUID, PublishedVersion],
        given: Mapping[UUID, dict[str, Any]],
    ) -> None:
        """Add to what is `given` to each run what its version may use, and why something does not open."""
        by_tenant: dict[UUID, list[tuple[UUID, PublishedVersion]]] = defaultdict(list)
        for row in rows:
            version = versions[row["version_id"]]
            if version.connections or version.secrets:
                by_tenant[row["tenant_id"]].append((row["id"], version))
        opened = await asyncio.gather(
            *(
                self._open(tenant_id, [version for _, version in runs])
                for tenant_id, runs in by_tenant.items()
            ),
            return_exceptions=True,
        )
        handed_out: HandedOut = {}
        for (tenant_id, runs), own in zip(by_tenant.items(), opened, strict=True):
            if isinstance(own, BaseException):
                raise own
            for run_id, version in runs:
                given[run_id] |= own.of(version)
                for name in own.secrets.keys() & set(version.secrets.values()):
                    handed_out.setdefault((tenant_id, name), []).append(run_id)
        await record_secret_uses(self._pool, handed_out)

    async def _open(self, tenant_id: UUID, versions: Sequence[PublishedVersion]) -> _Opened:
        """One tenant's, beside those of others: keys that are slow to come do not add up."""
        wanted = sorted({i for version in versions for i in version.connections})
        names = sorted({name for version in versions for name in version.secrets.values()})
        async with self._at_once:
            found = await self._credentials.current(tenant_id, wanted)
            values = await self._credentials.secrets(tenant_id, names)
            lacking = len(values) < len(names) or any(one.get("error") for one in found.values())
            failure = await self._credentials.failure(tenant_id) if lacking else None
        return _Opened(found, values, failure)
