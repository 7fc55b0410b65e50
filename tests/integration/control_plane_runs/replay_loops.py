"""The loops of control planes that work off replays."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from headrace.postgres.pool import API, WORKER, open_pool
from headrace_control.replays.loop import ReplayLoop
from headrace_control.replays.service import ReplayService
from headrace_control.reruns.service import RerunService
from headrace_control.vault.keys import OwnKeys
from headrace_control.vault.output_keys import OutputKeys
from headrace_control.vault.vault import Vault


@contextlib.asynccontextmanager
async def replays_of(database: str, key: bytes, planes: int = 1) -> AsyncIterator[ReplayService]:
    """So many control planes' loops with one master key, over pools of their own; the service of the last one."""
    async with contextlib.AsyncExitStack() as stack:
        loops = []
        for _ in range(planes):
            api, worker = await open_pool(database, API), await open_pool(database, WORKER)
            stack.push_async_callback(api.close)
            stack.push_async_callback(worker.close)
            keys = OutputKeys(api, Vault(OwnKeys([key])))
            service = ReplayService(api, RerunService(api, keys), keys)
            loops.append(asyncio.create_task(ReplayLoop(worker, service).run()))
        try:
            yield service
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
