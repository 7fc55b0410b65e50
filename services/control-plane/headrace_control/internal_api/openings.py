"""The credentials of claimed runs, opened as their tenants'."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Pool

from headrace_control.internal_api.credentials import GivenSecret, RunCredentials
from headrace_control.internal_api.secret_uses import HandedOut, record_secret_uses
from headrace_control.internal_api.side_by_side import by_tenant
from headrace_control.internal_api.versions import PublishedVersion

_Wanted = Sequence[tuple[UUID, PublishedVersion]]  # the runs of one tenant, with their versions


@dataclass(frozen=True, slots=True)
class _Opened:
    """What opens of one tenant's credentials, and why not all, if so."""

    connections: Mapping[UUID, Mapping[str, Any]] = field(repr=False)
    secrets: Mapping[str, GivenSecret] = field(repr=False)
    failure: Mapping[str, str] | None

    def of(self, version: PublishedVersion) -> dict[str, Any]:
        """The part of one version."""
        secrets = {env: self.secrets[name] for env, name in version.secrets.items() if name in self.secrets}
        return {
            "failure": self.failure,
            "connections": {
                str(i): self.connections[i] for i in version.connections if i in self.connections
            },
            "secrets": {env: secret.value for env, secret in secrets.items()},
            # Read with the values: none goes with the apps of another.
            "secret_apps": {env: secret.apps for env, secret in secrets.items() if secret.apps is not None},
        }


class Openings:
    """Opens what versions name, through the row-level security of each run's tenant."""

    def __init__(self, pool: Pool, credentials: RunCredentials) -> None:
        self._pool, self._credentials = pool, credentials

    async def add(
        self,
        rows: Sequence[Any],
        versions: Mapping[UUID, PublishedVersion],
        given: Mapping[UUID, dict[str, Any]],
    ) -> None:
        """Add to what is `given` to each run what its version may use, and why something does not open."""
        wanted: dict[UUID, list[tuple[UUID, PublishedVersion]]] = defaultdict(list)
        for row in rows:
            version = versions[row["version_id"]]
            if version.connections or version.secrets:
                wanted[row["tenant_id"]].append((row["id"], version))
        handed_out: HandedOut = {}
        for tenant_id, own in (await by_tenant(wanted, self._open)).items():
            for run_id, version in wanted[tenant_id]:
                given[run_id] |= own.of(version)
                for name in own.secrets.keys() & set(version.secrets.values()):
                    handed_out.setdefault((tenant_id, name), []).append(run_id)
        await record_secret_uses(self._pool, handed_out)

    async def _open(self, tenant_id: UUID, wanted: _Wanted) -> _Opened:
        connections = sorted({i for _, version in wanted for i in version.connections})
        names = sorted({name for _, version in wanted for name in version.secrets.values()})
        found = await self._credentials.current(tenant_id, connections)
        values = await self._credentials.secrets(tenant_id, names)
        lacking = len(values) < len(names) or any(one.get("error") for one in found.values())
        failure = await self._credentials.failure(tenant_id) if lacking else None
        return _Opened(found, values, failure)
