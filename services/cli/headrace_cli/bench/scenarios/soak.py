"""`soak`: a steady load for a while, and what memory does."""

import asyncio
from collections.abc import Mapping

from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene, ids
from headrace_cli.bench.work import chain3

_PARTS = 5
_PER_SECOND = 50


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    work, tenant = chain3(), await scene.tenant("bench")
    await scene.prepared(tenant, work)
    seconds = max(sizes["seconds"] // _PARTS, 1)
    for part in range(_PARTS):
        async with scene.measured(f"part {part + 1} of {_PARTS}") as phase:
            since = await scene.now()
            for _ in range(seconds):
                # A second's starts, and the second: where starting takes longer, the load is what it can be.
                await asyncio.gather(scene.start_all([tenant], work, _PER_SECOND), asyncio.sleep(1))
            await scene.watch.all_ended(ids([tenant]), since)
            phase.count = seconds * _PER_SECOND
    first, last = scene.phases[0].peak_memory_mb, scene.phases[-1].peak_memory_mb
    for name in first.keys() & last.keys():
        scene.figure(f"grownMb.{name}", last[name] - first[name])


SCENARIO = Scenario(
    "soak",
    f"{_PER_SECOND} runs of chain3 a second for a quarter of an hour, in five parts: what memory grows by.",
    play,
    {"seconds": 900},
)
