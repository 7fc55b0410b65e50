"""Many runs at once, and a runner of two killed in the middle of them."""

from pathlib import Path

import pytest
from fleet import Backends, Fleet
from target import Target

from tests.faults.fault import Name
from tests.faults.ledger import Tally, Wanted
from tests.faults.scene import Scene, settings

RUNS, AT_ONCE = 5000, 1000
_START = """mutation ($items: [RunStart!]!) {
    startRuns(items: $items) { ... on StartedRuns { items { ... on Run { id } } } } }"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backends", ["production"], indirect=True)
async def test_thousands_of_runs_are_queued_and_a_runner_dies(
    backends: Backends, tmp_path: Path, tallies: list[Tally]
) -> None:
    own = {**settings(), "HEADRACE_UNCLAIMED_AFTER_SECONDS": "30"}
    async with Fleet(backends, tmp_path, own) as fleet, Target() as target:
        scene = Scene(fleet, target, tallies, {})
        await scene.prepare()
        step = {"key": "one", "action": "shop/one", "input": {"run": "{{ run.id }}"}}
        await scene.designer.publish({"workflow": "small", "steps": [step]})
        async with scene.scenario(f"{RUNS} runs queued, one of two runners killed") as scenario:
            await scene.services[Name.RUNNER].stop()
            for _ in range(0, RUNS, AT_ONCE):
                answer = await scene.designer.do(_START, items=[{"workflow": "small"}] * AT_ONCE)
                scenario.runs |= {started["id"]: Wanted() for started in answer["startRuns"]["items"]}
            await scene.begin(Name.RUNNER)
            await fleet.runner()
            await scenario.called("one", RUNS // 4)
            await scenario.kill(Name.RUNNER)
            await scenario.settle(seconds=200)
