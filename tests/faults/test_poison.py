"""A run that ends whichever process advances it: it is tried alone, then set aside; its neighbours finish."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from fleet import Backends, Fleet
from headrace_control.internal_api.judging import SUSPECT_AFTER
from headrace_control.internal_api.setting_aside import MAX_FRUITLESS_CLAIMS
from target import Target

from tests.faults.fault import injected
from tests.faults.ledger import Tally, Wanted
from tests.faults.scene import SETTINGS, Scenario, Scene

PLUGIN = """
import os

from headrace.workflow.document import RetryPolicy
from headrace_runner.steps.protocol import Prepared


class Kill:
    def __init__(self, services):
        pass

    def prepare(self, context):
        return Prepared(None, side_effect=False, unsafe=False, retry=RetryPolicy(), work=None)

    async def attempt(self, context, prepared):
        try:
            bytes(1 << 30)
        except MemoryError:
            refused = "refused"
        else:
            refused = "had"
        with open(os.environ["ACME_MEMORY"], "a") as file:
            print(refused, file=file)
        os._exit(70)
"""


def install(folder: Path) -> Path:
    """The step type `acme.kill`, as an installer leaves it."""
    (folder / "acme_kill.py").write_text(PLUGIN)
    metadata = folder / "acme_kill-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-kill\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[headrace.steps]\nacme.kill = acme_kill:Kill\n")
    return folder


@asynccontextmanager
async def restarted(fleet: Fleet) -> AsyncIterator[list[int]]:
    """One runner, started again whenever it dies, as a supervisor would; the exit statuses so far."""
    deaths: list[int] = []

    async def keep() -> None:
        while True:
            deaths.append(await (await fleet.runner()).process.wait())

    keeping = asyncio.create_task(keep())
    yield deaths
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("backends", ["production"], indirect=True)
async def test_a_poisonous_run_is_set_aside_and_a_long_call_beside_it_is_not(
    backends: Backends, target: Target, tmp_path: Path, tallies: list[Tally]
) -> None:
    # The usual pause between sweeps: as long as a suspect's process takes to start, each sweep sends its job again.
    own = {**SETTINGS, **injected({})}
    own["PYTHONPATH"] += f":{install(tmp_path)}"
    memory = tmp_path / "memory"
    own["ACME_MEMORY"] = str(memory)
    async with Fleet(backends, tmp_path, own) as fleet:
        await asyncio.gather(fleet.control_plane(), fleet.reporter())
        scene = Scene(fleet, target, tallies, {})
        await scene.design()
        await scene.designer.publish({"workflow": "poison", "steps": [{"key": "kill", "type": "acme.kill"}]})
        scenario = Scenario(scene, "poisonous run beside a long call")
        async with restarted(fleet) as deaths:
            # In a long call all the time: it makes no more progress than the poisonous run beside it.
            neighbour = await scenario.in_the_call(wanted=Wanted(calls={"one": 1, "three": 1}))
            scenario.begin("poison", wanted=Wanted("WAITING", "DEAD_LETTER"))
            (poison,) = set(await scenario.begun()) - {neighbour}
            await scenario.now_under_way()
            await scene.designer.ended(poison, seconds=90, wanted={"WAITING"})
            # It took runners down until it was a suspect; then only what it was alone in.
            assert deaths == [70] * (SUSPECT_AFTER + 1)
            # And there it could not have what would have taken the runner's container down.
            alone = MAX_FRUITLESS_CLAIMS - SUSPECT_AFTER
            assert memory.read_text().split() == ["had"] * (SUSPECT_AFTER + 1) + ["refused"] * alone
            assert await letters(backends) == [
                f"claimed {MAX_FRUITLESS_CLAIMS + 1} times in a row without progress"
            ]
            assert (await scene.designer.run(neighbour))["status"] == "RUNNING"
            # Asked to leave, the runner takes along the process in which the neighbour is tried.
            calls = len(target.of("/two"))
            assert await fleet.services[-1].stop() == 0
            await scenario.called("two", calls + 1)
            scenario.release("two")
            scenario.begin(count=5, wanted=Wanted(calls={"one": 1, "two": 1, "three": 1}))
            await scenario.settle()


async def letters(backends: Backends) -> list[str]:
    connection = await asyncpg.connect(backends.database_url)
    rows = await connection.fetch("SELECT reason FROM dead_letters ORDER BY created_at")
    await connection.close()
    return [row["reason"] for row in rows]
