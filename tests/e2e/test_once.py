"""A runner for one run: it takes one job, sees the run through, and ends."""

import asyncio

import pytest
from designer import Designer
from fleet import Fleet
from target import Target


@pytest.mark.parametrize("backends", ["production"], indirect=True)
async def test_a_runner_for_one_run_takes_one_and_no_more(fleet: Fleet, target: Target) -> None:
    await fleet.control_plane()
    await fleet.reporter()
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    await designer.action("shop", "read", "GET", "/anything")
    await designer.publish({"workflow": "read", "steps": [{"key": "read", "action": "shop/read"}]})
    runs = [await designer.start("read") for _ in range(2)]

    assert await fleet.runner_once() == 0
    assert len(target.calls) == 1
    async with asyncio.timeout(20):
        while "SUCCESS" not in (states := [(await designer.run(run))["status"] for run in runs]):
            await asyncio.sleep(0.05)  # the reporter is behind the runner
    assert sorted(states) == ["QUEUED", "SUCCESS"]

    assert await fleet.runner_once() == 0
    for run in runs:
        assert (await designer.ended(run))["status"] == "SUCCESS"
    assert len(target.calls) == 2

    assert await fleet.runner_once(wait_seconds=0.2) == 0
    assert len(target.calls) == 2
