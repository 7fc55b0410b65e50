"""`history`: the tables of a deployment that has run for long."""

from collections.abc import Mapping
from importlib.resources import files

from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene
from headrace_cli.bench.work import chain3

_BATCH = 20_000
_FILL = files("headrace_cli.bench").joinpath("history.sql")


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    work, tenant = chain3(), await scene.tenant("bench")
    await scene.prepared(tenant, work)
    await scene.burst([tenant], work, sizes["runs"], "empty tables")
    await _fill(scene, tenant.id, sizes["finished"])
    await scene.burst([tenant], work, sizes["runs"], f"on {sizes['finished']:,} runs")
    empty, full = (phase.per_second for phase in scene.phases)
    scene.figure("rateByEmptyTables", full / empty)


async def _fill(scene: Scene, tenant_id: str, runs: int) -> None:
    """Finished runs by the hand of the owner, and the statistics that autovacuum would have made of them."""
    scene.tell(f"  {runs:,} finished runs ...")
    version = await scene.db.fetchval(
        "SELECT id FROM workflow_versions WHERE tenant_id = $1 LIMIT 1", tenant_id
    )
    for first in range(1, runs + 1, _BATCH):
        last = min(first + _BATCH - 1, runs)
        await scene.db.execute(_FILL.read_text(encoding="utf-8"), tenant_id, version, first, last, runs)
    await scene.db.execute("VACUUM ANALYZE runs, step_runs, attempts, events")


SCENARIO = Scenario(
    "history",
    "chain3 on empty tables, and on top of a million finished runs with their steps, attempts and events.",
    play,
    {"runs": 3_000, "finished": 1_000_000},
)
