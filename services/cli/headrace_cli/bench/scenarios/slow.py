"""`slow`: a target that takes its time, and thousands of runs that wait for it on one runner."""

from collections.abc import Mapping

from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene
from headrace_cli.bench.work import chain3

_DELAY_MS = 50
_IN_FLIGHT = 2_000


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    quick, slow = chain3("quick"), chain3("slow", delay_ms=_DELAY_MS)
    tenant = await scene.tenant("bench")
    await scene.prepared(tenant, quick)
    await scene.prepared(tenant, slow)
    await scene.burst([tenant], quick, sizes["runs"], "quick target")
    await scene.burst([tenant], slow, sizes["runs"], "slow target")
    before, after = (phase.cpu_ms["total"] for phase in scene.phases)
    scene.figure("cpuByQuickTarget", after / before if before else 0.0)
    scene.figure("mostCallsAtOnce", (await scene.truth.journal())["mostInFlight"])


SCENARIO = Scenario(
    "slow",
    f"A target that takes {_DELAY_MS} ms, with up to 2,000 runs in flight on each runner; beside it a quick one.",
    play,
    {"runs": 5_000},
    settings={
        "HEADRACE_CAPACITY": str(_IN_FLIGHT),
        "HEADRACE_CONNECTIONS_PER_TENANT": str(_IN_FLIGHT),
        "HEADRACE_RELAY_WINDOW": str(_IN_FLIGHT // 2),
    },
)
