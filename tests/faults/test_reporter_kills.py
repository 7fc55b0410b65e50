"""A reporter is killed at each point of applying a run's events; another goes on behind the fence."""

import pytest

from tests.faults.fault import Fault, Name, What, When
from tests.faults.kills import ONCE, Point, killed
from tests.faults.ledger import Wanted
from tests.faults.scene import Scene

pytestmark = pytest.mark.asyncio(loop_scope="session")

BEFORE, AFTER = When.BEFORE, When.AFTER
LEAVE = "headrace.postgres.pool:commit"
HANDLE = "headrace_reporter.consumer:EventConsumer.handle"
APPLY = "headrace_reporter.apply:Applier._apply"
TURN = "headrace_reporter.partitions:Partitions._turn"
LOGS = "headrace_reporter.consumer:LogConsumer.handle"


def at(place: str, when: When, nth: int = 1, within: str = "") -> Fault:
    return Fault(Name.REPORTER, place, when, nth, within=within)


POINTS = [
    Point("with events taken, before they are applied", at(HANDLE, BEFORE)),
    Point("before the commit", at(LEAVE, BEFORE, 1, APPLY)),
    Point("after the commit", at(LEAVE, AFTER, 1, APPLY)),
    Point("before the ack", at(HANDLE, AFTER)),
    Point("as it renews its partitions", at(LEAVE, BEFORE, 1, TURN)),
    Point("with log records stored, before the ack", at(LOGS, AFTER)),
]
CORE = [POINTS[1], POINTS[2]]


@pytest.mark.parametrize("scene", ["production"], indirect=True)
@pytest.mark.parametrize("point", POINTS, ids=str)
async def test_a_killed_reporter(scene: Scene, point: Point) -> None:
    await killed(scene, point)


@pytest.mark.parametrize("scene", ["embedded"], indirect=True)
@pytest.mark.parametrize("point", CORE, ids=str)
async def test_a_killed_reporter_on_one_machine(scene: Scene, point: Point) -> None:
    await killed(scene, point)


@pytest.mark.parametrize("scene", ["production"], indirect=True)
@pytest.mark.parametrize(
    "fault", [Fault(Name.REPORTER, LEAVE, BEFORE, 1, What.STOP, within=APPLY)], ids=["with rows locked"]
)
async def test_a_frozen_reporter_holds_nobody_up(scene: Scene, fault: Fault) -> None:
    """Nor does one whose machine is lost: its session stays where it was, with the rows that it has locked."""
    async with scene.scenario("reporter frozen with rows locked") as scenario:
        scenario.arm(fault)
        scenario.begin(wanted=Wanted(calls=ONCE))
        await scenario.struck(fault)
        frozen = scene.services.pop(Name.REPORTER)
        await scene.begin(Name.REPORTER)
        scenario.begin(count=4, wanted=Wanted(calls=ONCE))
        await scenario.settle()
        frozen.go_on()
        assert await frozen.stop() == 0


@pytest.mark.parametrize("scene", ["embedded"], indirect=True)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(Name.REPORTER, HANDLE, BEFORE, 1, What.STOP), id="with events in hand"),
        pytest.param(Fault(Name.REPORTER, HANDLE, AFTER, 1, What.STOP), id="before the ack"),
    ],
)
async def test_a_frozen_reporter_gives_its_partitions_up(scene: Scene, fault: Fault) -> None:
    """Its sessions stay with it, and one of them has the lock of a partition."""
    async with scene.scenario(f"reporter frozen {fault.when}") as scenario:
        scenario.arm(fault)
        scenario.begin(count=4, wanted=Wanted(calls=ONCE))
        await scenario.struck(fault)
        frozen = scene.services.pop(Name.REPORTER)
        await scene.begin(Name.REPORTER)
        scenario.begin(count=4, wanted=Wanted(calls=ONCE))
        before = await scenario.arrived()
        frozen.go_on()
        scenario.begin(count=4, wanted=Wanted(calls=ONCE))
        await scenario.settle()
        assert await frozen.stop() == 0
        after = await scenario.accounts()
        assert {run: after[run] for run in before} == before
