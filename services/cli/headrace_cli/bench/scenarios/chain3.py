"""`chain3`: three calls in a row, many runs at once and then one at a time."""

from collections.abc import Mapping

from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene
from headrace_cli.bench.work import chain3


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    work, tenant = chain3(), await scene.tenant("bench")
    await scene.prepared(tenant, work)
    await scene.burst([tenant], work, sizes["runs"])
    await scene.one_at_a_time(tenant, work, sizes["singles"])


SCENARIO = Scenario(
    "chain3",
    "Three HTTP steps in a row, each with the output of the one before: a burst, then one run at a time.",
    play,
    {"runs": 5_000, "singles": 300},
    references=True,
)
