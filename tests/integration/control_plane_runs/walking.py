"""Control planes that hand dry runs to runners, which walk them in this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from headrace.postgres.pool import API, WORKER, open_pool
from headrace.workflow.expressions.render import Templates
from headrace.workflow.schemas import Schemas
from headrace_control.dry_runs.taking import DryRunHandover
from headrace_control.internal_api.dry_run_reports import DryRunReport
from headrace_control.vault.keys import OwnKeys
from headrace_control.vault.output_keys import OutputKeys
from headrace_control.vault.vault import Vault
from headrace_runner.dry.taking import walked
from headrace_runner.dry.walk import WalkServices
from headrace_runner.pace import Pace


@dataclass(frozen=True)
class Walkers:
    """One runner for each plane. `taken` are the ids of what they took, in order."""

    planes: tuple[DryRunHandover, ...]
    taken: list[str]

    async def walk_all(self) -> None:
        """All that waits, by all of them at the same time."""
        await asyncio.gather(*map(self._walk, self.planes))

    async def _walk(self, plane: DryRunHandover) -> None:
        services = WalkServices(Templates(), Schemas(), Pace())
        while (job := await plane.take()) is not None:
            self.taken.append(str(job["id"]))
            given: dict[str, Any] = orjson.loads(orjson.dumps(job, default=str))  # as over HTTP
            told = DryRunReport.model_validate(await walked(given, services))
            await plane.report(UUID(given["id"]), given["token"], told)


@contextlib.asynccontextmanager
async def walkers(database: str, master_key: bytes) -> AsyncIterator[Walkers]:
    async with contextlib.AsyncExitStack() as stack:
        planes = []
        for _ in range(2):
            worker, api = [
                await stack.enter_async_context(await open_pool(database, role, max_size=2))
                for role in (WORKER, API)
            ]
            planes.append(DryRunHandover(worker, api, OutputKeys(api, Vault(OwnKeys([master_key])))))
        yield Walkers(tuple(planes), [])
