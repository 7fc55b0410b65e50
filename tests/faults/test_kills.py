"""Real processes, killed; a journaling target says what was called."""

import asyncio

from designer import Designer, step
from fleet import Fleet
from target import Target

THREE = {
    "workflow": "three",
    "steps": [{"key": key, "action": f"shop/{key}", "input": {"n": 1}} for key in ("one", "two", "three")],
}


async def prepare(fleet: Fleet, target: Target) -> Designer:
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    for key in ("one", "two", "three"):
        await designer.action("shop", key, "POST", f"/{key}", idempotency={"mode": "KEY"})
    await designer.publish(THREE)
    return designer


async def test_a_killed_runners_run_finishes_on_another(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = await prepare(fleet, target)
    target.hold("/two")
    run_id = await designer.start("three")
    await target.called("/two")
    (victim,) = [s for s in fleet.services if s.name == "headrace_runner"]
    await victim.kill()
    target.release("/two")
    await fleet.runner()
    run = await designer.ended(run_id, seconds=60)
    assert run["status"] == "SUCCESS", run
    # P2: the reported step was not called again. P3: the one in doubt was, with the same key.
    assert len(target.of("/one")) == 1
    assert {call.key for call in target.of("/two")} == {f"{run_id}-two"}
    assert len(target.of("/two")) == 2
    assert len(target.of("/three")) == 1


async def test_an_unsafe_call_in_flight_is_never_repeated(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = await prepare(fleet, target)
    await designer.action("shop", "two", "POST", "/two", idempotency={"mode": "NONE"})
    await designer.publish(THREE)
    target.hold("/two")
    run_id = await designer.start("three")
    await target.called("/two")
    (victim,) = [s for s in fleet.services if s.name == "headrace_runner"]
    await victim.kill()
    await fleet.runner()
    run = await designer.ended(run_id, seconds=60, wanted={"WAITING", "FAILED", "SUCCESS"})
    assert (run["status"], run["waitReason"]) == ("WAITING", "IN_DOUBT")
    assert (len(target.of("/two")), len(target.of("/three"))) == (1, 0)
    # The attempt that nobody knows of is shown as what it is.
    assert step(run, "two")["attemptCount"] == 1
    assert [(a["number"], a["outcome"]) for a in step(run, "two")["attempts"]] == [(1, "UNKNOWN")]


async def test_a_stalled_runner_makes_no_call_beside_its_successor(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = await prepare(fleet, target)
    target.hold("/one")
    run_id = await designer.start("three")
    await target.called("/one")
    (stalled,) = [s for s in fleet.services if s.name == "headrace_runner"]
    stalled.stall()
    await fleet.runner()
    target.release("/one")
    run = await designer.ended(run_id, seconds=60)
    assert run["status"] == "SUCCESS"
    stalled.go_on()
    # It wakes, finds its lease over, and hears that the run is another's; its last words change nothing.
    again = await designer.start("three")
    assert (await designer.ended(again, seconds=60))["status"] == "SUCCESS"
    assert len(target.of("/two")) == len(target.of("/three")) == 2
    assert (await designer.run(run_id)) == run


async def test_a_killed_reporter_loses_nothing(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = await prepare(fleet, target)
    target.hold("/two")
    runs = [await designer.start("three") for _ in range(5)]
    await target.called("/two", times=5)
    (victim,) = [s for s in fleet.services if s.name == "headrace_reporter"]
    await victim.kill()
    target.release("/two")
    await target.called("/three", times=5)
    await fleet.reporter()
    for run_id in runs:
        assert (await designer.ended(run_id, seconds=60))["status"] == "SUCCESS"
    assert [len(target.of(path)) for path in ("/one", "/two", "/three")] == [5, 5, 5]


async def test_a_killed_control_plane_loses_nothing(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = await prepare(fleet, target)
    target.hold("/two")
    runs = [await designer.start("three") for _ in range(5)]
    await target.called("/two", times=5)
    (victim,) = [s for s in fleet.services if s.name == "headrace_control"]
    await victim.kill()
    target.release("/two")
    await fleet.control_plane()
    for run_id in runs:
        assert (await designer.ended(run_id, seconds=60))["status"] == "SUCCESS"
    assert [len(target.of(path)) for path in ("/one", "/two", "/three")] == [5, 5, 5]


async def test_runs_are_shared_out_among_runners(fleet: Fleet, target: Target) -> None:
    await fleet.start_all(runners=2, reporters=2)
    designer = await prepare(fleet, target)
    runs = await asyncio.gather(*(designer.start("three") for _ in range(30)))
    for run_id in runs:
        assert (await designer.ended(run_id))["status"] == "SUCCESS"
    assert len(target.calls) == 90
