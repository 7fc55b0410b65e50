"""A runner for one run: it takes one job, sees the run through, and ends."""

import asyncio

import pytest
from designer import Designer
from fleet import Fleet
from target import Target

pytestmark = pytest.mark.parametrize("backends", ["production"], indirect=True)


async def test_a_runner_for_one_run_takes_one_and_no_more(fleet: Fleet, target: Target) -> None:
    designer = await _designer(fleet, target)
    runs = [await designer.start("calls") for _ in range(2)]

    assert await _ended(fleet) == 0
    assert len(target.calls) == 1
    async with asyncio.timeout(20):
        while "SUCCESS" not in (states := [(await designer.run(run))["status"] for run in runs]):
            await asyncio.sleep(0.05)  # the reporter is behind the runner
    assert sorted(states) == ["QUEUED", "SUCCESS"]

    by_command = await fleet.runner_once(by=("headrace_cli.main", "runner"))
    assert await by_command.process.wait() == 0
    for run in runs:
        assert (await designer.ended(run))["status"] == "SUCCESS"
    assert len(target.calls) == 2

    assert await _ended(fleet, wait_seconds=0.2) == 0
    assert len(target.calls) == 2


async def test_one_that_is_sent_away_leaves_its_run_to_the_next(fleet: Fleet, target: Target) -> None:
    designer = await _designer(fleet, target)
    target.hold("/read")
    run = await designer.start("calls")
    first = await fleet.runner_once(HEADRACE_DRAIN_SECONDS="0.2")
    await target.called("/read")
    first.process.terminate()
    assert await first.process.wait() == 0
    target.release("/read")

    assert await _ended(fleet) == 0
    assert (await designer.ended(run))["status"] == "SUCCESS"
    assert len(target.calls) == 2


async def _designer(fleet: Fleet, target: Target) -> Designer:
    """A workflow `calls` of one call, and no runner yet."""
    await fleet.control_plane()
    await fleet.reporter()
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    await designer.action("shop", "read", "GET", "/read")
    await designer.publish({"workflow": "calls", "steps": [{"key": "read", "action": "shop/read"}]})
    return designer


async def _ended(fleet: Fleet, wait_seconds: float = 20) -> int:
    """The exit status of a runner that takes one job."""
    once = await fleet.runner_once(wait_seconds)
    return await once.process.wait()
