"""A runner dies around an approved call: the person is not asked again, and nothing is called that was not approved."""

import asyncio

import pytest
from headrace.json_types import JsonMapping

from tests.faults.fault import Fault, Name, When
from tests.faults.kills import ONCE, Point
from tests.faults.ledger import Wanted
from tests.faults.scene import Scene, chain

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("scene", ["production"], indirect=True),
]

APPROVAL = "headrace_runner.control_plane:ControlPlane.approval"
SEND = "headrace_runner.sending:Sender.send"
POINTS = [
    Point("before it redeems an approval", Fault(Name.RUNNER, APPROVAL, When.BEFORE)),
    Point("as an approval is redeemed", Fault(Name.RUNNER, APPROVAL, When.AFTER)),
    Point(
        "after an approved call",
        Fault(Name.RUNNER, SEND, When.AFTER),
        calls={**ONCE, "two": 2},
    ),
]
_ASKED = "{ approvals { items { run { id } step } } }"
_WAITS = """query ($id: ID!) { run(id: $id) { events(first: 100) { items { kind step data } } } }"""


@pytest.mark.parametrize("point", POINTS, ids=str)
async def test_the_next_runner_makes_the_call_that_was_approved(scene: Scene, point: Point) -> None:
    keyed = {"mode": "KEY"}
    await scene.designer.action("shop", "two-held", "POST", "/two", idempotency=keyed, approvalClass="B")
    await scene.designer.publish(chain("held", two={"action": "shop/two-held"}))
    async with scene.scenario(str(point)) as scenario:
        scenario.begin("held", wanted=Wanted(calls=point.calls))
        (run_id,) = await scenario.begun()
        await asked(scene, run_id)
        assert not [call for call in scene.target.of("/two") if (call.key or "").startswith(run_id)]
        scenario.arm(point.fault)
        await scene.designer.decide(run_id, "two", "APPROVE")
        await scenario.struck(point.fault)
        await scene.begin(Name.RUNNER)
        await scenario.settle()
    events = (await scene.designer.do(_WAITS, id=run_id))["run"]["events"]["items"]
    assert len([event for event in events if is_gate(event["data"])]) == 1


async def asked(scene: Scene, run_id: str) -> None:
    """Wait until a person is asked."""
    async with asyncio.timeout(60):
        while True:
            found = (await scene.designer.do(_ASKED))["approvals"]["items"]
            if any(one["run"]["id"] == run_id for one in found):
                return
            await asyncio.sleep(0.1)  # asked from outside, as a person would


def is_gate(data: JsonMapping) -> bool:
    wait = data.get("wait")
    return isinstance(wait, dict) and wait.get("kind") == "GATE"
