"""Two control planes' schedule loops on one database, whose clock a test moves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from headrace.ids import new_id
from headrace.postgres.listen import Listener
from headrace.postgres.pool import API, WORKER, Pool, open_pool
from headrace_control.auth.caller import Actor, ActorKind, Caller
from headrace_control.auth.roles import Role
from headrace_control.backfills.service import BackfillService
from headrace_control.schedules.loop import ScheduleLoop
from headrace_control.schedules.model import Terms
from headrace_control.schedules.service import ScheduleService
from headrace_control.vault.keys import OwnKeys
from headrace_control.vault.output_keys import OutputKeys
from headrace_control.vault.vault import Vault

TERMS = Terms("orders", "0 * * * *", "UTC", {"order": "{{ input.firingAt }}"})


@dataclass(frozen=True)
class Planes:
    """Services and loops over sessions whose offset `at` sets: one session for each role of each plane."""

    admin: asyncpg.Connection
    pools: tuple[Pool, ...]
    loops: tuple[ScheduleLoop, ...]
    listeners: tuple[Listener, ...]
    schedules: ScheduleService
    backfills: BackfillService
    caller: Caller

    async def at(self, moment: str | datetime) -> None:
        """From now on the database's clock shows this and goes on from there."""
        wanted = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        offset = f"{(wanted - datetime.now(UTC)).total_seconds()} seconds"
        for session in (*self.pools, self.admin):
            await session.execute("SELECT set_config('headrace.clock_offset', $1, false)", offset)
        await self.admin.execute("SELECT headrace_ensure_partitions(0)")

    async def turn(self) -> None:
        """Both planes do what is due, at the same time, until neither finds anything."""
        while any(await asyncio.gather(*(loop.turn() for loop in self.loops))):
            pass

    async def fire_at(self, *moments: str | datetime) -> None:
        for moment in moments:
            await self.at(moment)
            await self.turn()

    async def schedule(self, name: str = "hourly", tenant: str = "acme", **terms: Any) -> None:
        await self.schedules.create(await self.caller_of(tenant), name, replace(TERMS, **terms))

    async def caller_of(self, tenant: str) -> Caller:
        tenant_id = await self.admin.fetchval("SELECT id FROM tenants WHERE name = $1", tenant)
        return replace(self.caller, tenant_id=tenant_id)

    async def outcomes(self, name: str = "hourly", tenant: str = "acme") -> list[tuple[str, str]]:
        """When (day, hour, minute in UTC) and what came of it, oldest first."""
        found = (await self.schedules.firings(await self.caller_of(tenant), name, 200, None)).items
        return [(f"{one.at:%d %H:%M}", one.outcome.value) for one in sorted(found, key=lambda one: one.at)]

    async def runs(self, name: str = "hourly") -> list[asyncpg.Record]:
        """The schedule's runs, by the firing that they are of."""
        return list(
            await self.admin.fetch(
                """SELECT id, status, cancel_requested, input ->> 'order' AS input,
                          (trigger ->> 'firingAt')::timestamptz AS at
                   FROM runs WHERE trigger ->> 'name' = $1 ORDER BY at, id""",
                name,
            )
        )

    async def end_runs(self) -> None:
        """As if every run had come to its end."""
        await self.admin.execute(
            """WITH ended AS (UPDATE runs SET status = 'SUCCESS', finished_at = headrace_now()
                              WHERE finished_at IS NULL RETURNING id)
               DELETE FROM dispatches d USING ended WHERE d.run_id = ended.id"""
        )


@contextlib.asynccontextmanager
async def two_planes(
    database: str, admin: asyncpg.Connection, master_key: bytes, sessions: int = 1
) -> AsyncIterator[Planes]:
    """With more than one of the `sessions` of each pool, the clock is not to be moved."""
    tenant: UUID = await admin.fetchval("SELECT id FROM tenants WHERE name = 'acme'")
    caller = Caller(tenant, Actor(ActorKind.API_KEY, new_id(), "k"), Role.ADMIN)
    async with contextlib.AsyncExitStack() as stack:
        pools: list[Pool] = []
        loops, listeners = [], []
        for _ in range(2):
            worker, api = [
                await stack.enter_async_context(await open_pool(database, role, max_size=sessions))
                for role in (WORKER, API)
            ]
            pools += (worker, api)
            keys = OutputKeys(api, Vault(OwnKeys([master_key])))
            listeners.append(Listener(database))
            loops.append(ScheduleLoop(worker, api, keys, listeners[-1]))
        yield Planes(
            admin,
            tuple(pools),
            tuple(loops),
            tuple(listeners),
            ScheduleService(pools[1]),
            BackfillService(pools[1]),
            caller,
        )
