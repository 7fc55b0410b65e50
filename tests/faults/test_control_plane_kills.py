"""The control plane is killed at each point of what it does for a run; another takes its place."""

import pytest

from tests.faults.fault import Fault, Name, When
from tests.faults.kills import Point, killed
from tests.faults.scene import Scene

pytestmark = pytest.mark.asyncio(loop_scope="session")

BEFORE, AFTER = When.BEFORE, When.AFTER
LEAVE = "headrace.postgres.pool:commit"
START = "headrace_control.runs.service:RunService.start"
CYCLE = "headrace_control.dispatch.relay:Relay._cycle"
RABBITMQ = "headrace.bus.rabbitmq.bus:RabbitmqBus.publish"
POSTGRES = "headrace.bus.postgres.bus:PostgresBus.publish"
CLAIM = "headrace_control.internal_api.claims:Claims.claim"


def at(place: str, when: When, within: str = "", since: str = "") -> Fault:
    return Fault(Name.CONTROL_PLANE, place, when, within=within, since=since)


POINTS = [
    Point("before a start's commit", at(LEAVE, BEFORE, START)),
    Point("after a start's commit, before its answer", at(LEAVE, AFTER, START)),
    Point("before the relay's publish", at(RABBITMQ, BEFORE)),
    Point("between publish and mark-sent", at(RABBITMQ, AFTER)),
    Point("before mark-sent's commit", at(LEAVE, BEFORE, CYCLE, RABBITMQ)),
    Point("after mark-sent's commit", at(LEAVE, AFTER, CYCLE, RABBITMQ)),
    Point("before a claim's commit", at(LEAVE, BEFORE, CLAIM)),
    Point("after a claim's commit", at(LEAVE, AFTER, CLAIM)),
    Point("before a claim's answer", at(CLAIM, AFTER)),
]
CORE = [
    Point("between publish and mark-sent", at(POSTGRES, AFTER)),
    Point("after a claim's commit", at(LEAVE, AFTER, CLAIM)),
]


@pytest.mark.parametrize("scene", ["production"], indirect=True)
@pytest.mark.parametrize("point", POINTS, ids=str)
async def test_a_killed_control_plane(scene: Scene, point: Point) -> None:
    await killed(scene, point)


@pytest.mark.parametrize("scene", ["embedded"], indirect=True)
@pytest.mark.parametrize("point", CORE, ids=str)
async def test_a_killed_control_plane_on_one_machine(scene: Scene, point: Point) -> None:
    await killed(scene, point)
