"""`park`: many runs that wait for days."""

from collections.abc import Mapping

from headrace_cli.bench.calendar import pass_on
from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene, ids
from headrace_cli.bench.work import Work

_DAY = 86_400
_IDLE_SECONDS = 30


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    nap = {"key": "nap", "type": "wait", "wait": {"forMs": 10 * _DAY * 1000}}
    work = Work("park", [nap], (), calls=0, steps={"SUCCESS": 1})
    tenant = await scene.tenant("bench")
    await scene.prepared(tenant, work, warm=0)
    await scene.idle(_IDLE_SECONDS, "idle, none parked")
    async with scene.measured("park") as phase:
        since = await scene.start_all([tenant], work, sizes["runs"])
        await scene.watch.all_waiting(ids([tenant]), since)
        phase.count = sizes["runs"]
    # What parking left behind, autovacuum would clear up within the next minute: that is no cost of waiting.
    await scene.db.execute("VACUUM ANALYZE")
    await scene.idle(_IDLE_SECONDS, "idle, all parked")
    before, after = (phase.cpu_ms["total"] for phase in scene.phases if phase.name.startswith("idle"))
    scene.figure("cpuByNoneParked", after / before if before else 0.0)
    async with scene.measured("resume") as phase:
        await pass_on(scene.db, 11 * _DAY)
        await scene.watch.all_ended(ids([tenant]), since)
        phase.count = sizes["runs"]
    await scene.records_alike(work, sizes["runs"])


SCENARIO = Scenario(
    "park",
    "Runs that wait for ten days: what parking costs, what they cost while they wait, what resuming costs.",
    play,
    {"runs": 100_000},
)
