"""`start`: starting runs, and nothing else meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import QUOTAS, Scene, ids, latency_of
from headrace_cli.bench.work import Work

_Start = Callable[[str, Mapping[str, Any]], Awaitable[str]]

_CALLERS = 16
_ONE_RUN = {"runsInFlight": 1}


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    work = Work(
        "start",
        [{"key": "only", "type": "transform", "input": 1}],
        (),
        calls=0,
        attempts=1,
        steps={"SUCCESS": 1},
    )
    tenant = await scene.tenant("bench")
    await scene.prepared(tenant, work)
    # With one run in flight the runner has next to nothing to do, and the rest waits until all have been started.
    await scene.platform.quotas(tenant.name, _ONE_RUN)
    since = await scene.now()
    await _singles(scene, tenant.driver.start, work, sizes["singles"])
    async with scene.measured("bulk") as phase:
        await scene.start_all([tenant], work, sizes["bulk"])
        phase.count, phase.unit = sizes["bulk"], "start"
    await scene.platform.quotas(tenant.name, QUOTAS)
    async with scene.measured("the runs themselves") as phase:
        await scene.watch.all_ended(ids([tenant]), since)
        phase.count = sizes["singles"] + sizes["bulk"]


async def _singles(scene: Scene, start: _Start, work: Work, starts: int) -> None:
    """So many starts, each a call of its own, by a few callers at once."""
    clock = asyncio.get_running_loop().time
    took: list[float] = []
    left = iter(range(starts))

    async def caller() -> None:
        for _ in left:
            began = clock()
            await start(work.name, work.given)
            took.append(clock() - began)

    async with scene.measured(f"single, {_CALLERS} callers") as phase:
        await asyncio.gather(*(caller() for _ in range(_CALLERS)))
        phase.count, phase.unit, phase.latency = starts, "start", latency_of(took)
    scene.truth.ran(work, starts)


SCENARIO = Scenario(
    "start",
    "Starts alone, one in a call and 500 in a call; their runs wait until all have been started.",
    play,
    {"singles": 4_000, "bulk": 20_000},
)
