"""A runner is killed at each point of a run's life; another finishes the run."""

import pytest

from tests.faults.fault import Fault, Name, When
from tests.faults.kills import ONCE, Point, killed
from tests.faults.scene import Scene

pytestmark = pytest.mark.asyncio(loop_scope="session")

BEFORE, AFTER = When.BEFORE, When.AFTER
CLAIMS = "headrace_runner.control_plane:ControlPlane.claims"
CHECKPOINT = "headrace_runner.claims:Claimer.checkpoint"
CONFIRMED = "headrace_runner.reporting:RunReport.confirmed"
PUBLISH = "headrace_runner.reporting:Reporting._publish"
MAY_CALL = "headrace_runner.lease:Lease.may_call"
SEND = "headrace.outbound.client:OutboundClient.send"
ADVANCE = "headrace_runner.engine:Engine.advance"

TWICE = {**ONCE, "two": 2}
# Whether the third call's event goes ahead of the end, or with it, is a matter of chance.
TWO_ONCE = {"one": 1, "two": 1}


def at(place: str, when: When, nth: int = 1, *given: str) -> Fault:
    return Fault(Name.RUNNER, place, when, nth, given=given)


POINTS = [
    Point("before its claim is asked for", at(CLAIMS, BEFORE)),
    Point("with its claim, before the first event", at(CHECKPOINT, BEFORE)),
    Point("before the first event is published", at(PUBLISH, BEFORE, 1, "events.", '"started"')),
    Point("before the first call", at(MAY_CALL, AFTER)),
    Point("before a call, all before it confirmed", at(SEND, BEFORE, 2)),
    Point("after a call, before its event", at(SEND, AFTER, 2), TWICE),
    Point("with a call's event written", at(PUBLISH, BEFORE, 2, "events.", '"completed"'), TWICE),
    Point("with a call's event published", at(PUBLISH, AFTER, 2, "events.", '"completed"')),
    Point("after a confirm, before the next call", at(CONFIRMED, AFTER, 3)),
    Point("with the end written", at(PUBLISH, BEFORE, 1, "events.", '"finished"'), TWO_ONCE),
    Point("with the end confirmed, before the ack", at(ADVANCE, AFTER)),
]
CORE = [POINTS[1], POINTS[5], POINTS[7], POINTS[10]]


@pytest.mark.parametrize("scene", ["production"], indirect=True)
@pytest.mark.parametrize("point", POINTS, ids=str)
async def test_a_killed_runner(scene: Scene, point: Point) -> None:
    await killed(scene, point)


@pytest.mark.parametrize("scene", ["embedded"], indirect=True)
@pytest.mark.parametrize("point", CORE, ids=str)
async def test_a_killed_runner_on_one_machine(scene: Scene, point: Point) -> None:
    await killed(scene, point)
