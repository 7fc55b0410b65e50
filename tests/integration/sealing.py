"""Tenants who record what they do, sealers, and the check of what they sealed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from headrace.audit_chain import ChainCheck, Verdict
from headrace.ids import new_id
from headrace.postgres.pool import Pool, tenant_transaction
from headrace_control.audit.model import read_record
from headrace_control.audit.record import Act, Part, record
from headrace_control.audit.sealer import Sealer
from headrace_control.auth.caller import Actor, ActorKind, Origin

SOMEBODY = Actor(ActorKind.API_KEY, new_id(), "ci")


@dataclass(frozen=True)
class Audit:
    """Tenants who record, a sealer, and the database's superuser."""

    api: Pool
    sealer: Sealer
    other: Sealer
    admin: asyncpg.Connection

    async def tenant(self, name: str) -> UUID:
        tenant = new_id()
        await self.admin.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, name)
        return tenant

    async def act(self, tenant: UUID, *targets: str) -> None:
        for target in targets:
            async with tenant_transaction(self.api, tenant) as db:
                by = Part(tenant, SOMEBODY, Origin("192.0.2.1", "c" * 32))
                await record(db, by, Act("app.create", target, after=target, detail={"ünï": [1, None, "é"]}))

    async def entries(self, tenant: UUID) -> list[dict[str, Any]]:
        rows = await self.admin.fetch("SELECT * FROM audit_log WHERE tenant_id = $1 ORDER BY seq", tenant)
        return [
            {
                **read_record(row, row["seq"]).as_json(),
                "previous": row["previous"].hex(),
                "hash": row["hash"].hex(),
            }
            for row in rows
        ]

    async def waiting(self) -> int:
        return int(await self.admin.fetchval("SELECT count(*) FROM audit_inbox"))


def verified(entries: Sequence[Any], anchors: dict[int, bytes] | None = None) -> Verdict:
    check = ChainCheck(anchors)
    for entry in entries:
        check.add(entry)
    return check.verdict()
