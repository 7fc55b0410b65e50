"""What lasts, branches, repeats and is undone, on all services as processes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from designer import Designer
from fleet import Fleet
from target import Call, Target

KEYED = {"mode": "KEY"}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class World:
    """All services, the target of a workflow's calls, and who designs it."""

    fleet: Fleet
    target: Target
    designer: Designer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(module_fleet: Fleet) -> AsyncIterator[World]:
    async with Target() as target:
        await module_fleet.start_all()
        designer = Designer(module_fleet)
        await designer.app("shop", target.url)
        for name in ("book", "pay", "ship", "unbook", "unpay", "unship", "poll"):
            await designer.action("shop", name, "POST", f"/{name}", idempotency=KEYED)
        await designer.action("shop", "pay-once", "POST", "/pay", idempotency={"mode": "NONE"})
        await designer.action("shop", "look", "GET", "/look")
        yield World(module_fleet, target, designer)


@pytest.fixture
def world(deployed: World) -> World:
    deployed.target.calls.clear()
    deployed.target.answers.clear()
    return deployed


def step(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "action": f"shop/{key}", "input": {"n": 1}} | more


def undone(key: str, **more: Any) -> dict[str, Any]:
    return step(key, compensate={"action": f"shop/un{key}", "input": {"n": 1}}, **more)


async def test_what_was_done_is_undone_in_reverse(world: World) -> None:
    designer, target = world.designer, world.target
    await designer.publish(
        {
            "workflow": "trip",
            "steps": [
                undone("book"),
                undone("pay"),
                {"key": "nap", "type": "wait", "wait": {"forMs": 1500}},
                {"key": "stop", "type": "fail", "input": {"code": "NO_SEAT", "message": "sold out"}},
            ],
        }
    )
    run_id = await designer.start("trip")
    run = await designer.ended(run_id, seconds=60)
    await designer.verified(run["id"])
    assert (run["status"], run["error"]["code"]) == ("FAILED", "NO_SEAT")
    assert [call.path for call in target.calls] == ["/book", "/pay", "/unpay", "/unbook"]
    assert [call.key for call in target.calls][2:] == [f"{run_id}-pay.undo", f"{run_id}-book.undo"]
    statuses = {s["key"]: s["status"] for s in run["steps"]}
    assert statuses["book"] == statuses["pay"] == "COMPENSATED"
    assert statuses["nap"] == "SUCCESS"


@pytest.mark.parametrize("answers", [[504], [None, 503]], ids=["by a gateway", "before the last"])
async def test_a_call_that_may_have_been_made_is_asked_again_before_the_undoing(
    world: World, answers: list[int | None]
) -> None:
    """A gateway that had no answer does not tell whether the call was made; nor does an answer to a later one."""
    designer, target = world.designer, world.target
    once_more = {"strategy": "FIXED", "maxAttempts": 4, "initialDelayMs": 100, "maxDelayMs": 100}
    await designer.publish({"workflow": "maybe", "steps": [undone("pay", retry=once_more)]})
    left = list(answers)

    async def answer(call: Call) -> web.StreamResponse:
        status = left.pop(0) if left else 200
        if status is None:
            assert call.request is not None
            assert call.request.transport is not None
            call.request.transport.abort()
        # Longer than a runner waits for it: the run parks.
        return web.json_response(
            {}, status=status or 200, headers={} if status == 200 else {"retry-after": "6"}
        )

    target.answers["/pay"] = answer
    run_id = await designer.start("maybe")
    await designer.ended(run_id, wanted={"WAITING"})
    await designer.cancel(run_id)
    run = await designer.ended(run_id)
    await designer.verified(run_id)
    assert run["status"] == "CANCELED"
    assert [call.path for call in target.calls] == ["/pay"] * (len(answers) + 1) + ["/unpay"]


async def test_a_call_that_was_refused_is_not_made_again_after_a_cancel(world: World) -> None:
    designer, target = world.designer, world.target
    # Longer than from one renewal to the next, by which its runner hears of the cancel.
    once_more = {"strategy": "FIXED", "maxAttempts": 4, "initialDelayMs": 4500, "maxDelayMs": 4500}
    await designer.publish({"workflow": "refused", "steps": [undone("pay", retry=once_more)]})
    target.on("/pay", status=503)
    run_id = await designer.start("refused")
    await target.called("/pay")
    await designer.cancel(run_id)
    target.on("/pay")
    run = await designer.ended(run_id)
    await designer.verified(run_id)
    assert run["status"] == "CANCELED"
    assert [call.path for call in target.calls] == ["/pay"]


async def test_an_error_edge_carries_the_error_as_data(world: World) -> None:
    designer, target = world.designer, world.target
    target.on("/pay", 422)
    await designer.publish(
        {
            "workflow": "caught",
            "steps": [
                step("pay"),
                step("ship"),
                {"key": "told", "type": "transform", "input": {"code": "{{ steps.pay.error.code }}"}},
            ],
            "edges": [{"from": "pay", "to": "ship"}, {"from": "pay", "to": "told", "on": "error"}],
            "result": "{{ steps.told.output }}",
        }
    )
    run = await designer.ended(await designer.start("caught"), seconds=60)
    await designer.verified(run["id"])
    assert (run["status"], run["result"]) == ("SUCCESS", {"code": "HTTP_422"})
    assert {s["key"]: s["status"] for s in run["steps"]} == {
        "pay": "FAILED",
        "ship": "SKIPPED",
        "told": "SUCCESS",
    }


async def test_a_failure_that_no_error_edge_is_for_ends_the_run_and_is_undone(world: World) -> None:
    designer, target = world.designer, world.target
    target.on("/pay", 422)
    when = {"field": "error.code", "operator": "eq", "value": "HTTP_404"}
    await designer.publish(
        {
            "workflow": "uncaught",
            "steps": [
                undone("book"),
                step("pay"),
                step("ship"),
                {"key": "told", "type": "transform", "input": 1},
            ],
            "edges": [
                {"from": "book", "to": "pay"},
                {"from": "pay", "to": "ship"},
                {"from": "pay", "to": "told", "on": "error", "when": when},
            ],
        }
    )
    run = await designer.ended(await designer.start("uncaught"), seconds=60)
    await designer.verified(run["id"])
    assert (run["status"], run["error"]["code"]) == ("FAILED", "HTTP_422")
    assert [call.path for call in target.calls] == ["/book", "/pay", "/unbook"]
    letters = await designer.do("query { deadLetters(first: 50) { items { step run { id } } } }")
    assert [one["step"] for one in letters["deadLetters"]["items"] if one["run"]["id"] == run["id"]] == [
        "pay"
    ]


@pytest.mark.parametrize("every", [50, 2500])
async def test_a_repeat_polls_until_it_is_so(world: World, every: int) -> None:
    designer, target = world.designer, world.target
    await designer.publish(
        {
            "workflow": "polling",
            "steps": [
                step(
                    "poll", repeat={"until": "{{ output.body.n >= 3 }}", "everyMs": max(every, 100), "max": 5}
                )
            ],
        }
    )
    run_id = await designer.start("polling")
    run = await designer.ended(run_id, seconds=60)
    await designer.verified(run["id"])
    assert run["status"] == "SUCCESS"
    assert [call.key for call in target.of("/poll")] == [
        f"{run_id}-poll",
        f"{run_id}-poll-r1",
        f"{run_id}-poll-r2",
    ]


async def test_a_loop_gathers_its_items_in_order(world: World) -> None:
    designer, target = world.designer, world.target
    await designer.publish(
        {
            "workflow": "batch",
            "parameters": {"type": "object", "properties": {"names": {"type": "array"}}},
            "steps": [
                step(
                    "ship",
                    forEach={"items": "{{ input.names }}", "maxConcurrency": 3},
                    input={"n": "{{ index }}"},
                ),
                {
                    "key": "sum",
                    "type": "transform",
                    "input": {"x": "{{ steps.ship.output.results | length }}"},
                },
            ],
            "result": {"count": "{{ steps.sum.output.x }}"},
        }
    )
    run_id = await designer.start("batch", names=[f"n{i}" for i in range(25)])
    run = await designer.ended(run_id, seconds=60)
    await designer.verified(run["id"])
    assert (run["status"], run["result"]) == ("SUCCESS", {"count": 25})
    assert sorted(call.key for call in target.of("/ship")) == sorted(f"{run_id}-ship[{i}]" for i in range(25))
    await designer.publish({"workflow": "empty", "steps": [step("ship", forEach={"items": []})]})
    run = await designer.ended(await designer.start("empty"), seconds=60)
    await designer.verified(run["id"])
    assert run["steps"][0]["output"] == {"results": [], "failed": []}


async def test_a_child_run_is_a_step_and_is_undone_as_a_whole(world: World) -> None:
    designer, target = world.designer, world.target
    await designer.publish(
        {
            "workflow": "stay",
            "parameters": {
                "type": "object",
                "required": ["room"],
                "properties": {"room": {"type": "integer"}},
            },
            "steps": [undone("book", input={"n": "{{ input.room }}"}), undone("ship")],
            "result": {"booked": "{{ steps.book.output.body.n }}"},
        }
    )
    steps = [
        {"key": "stay", "type": "workflow", "workflow": "stay", "input": {"room": 7}},
        {"key": "seen", "type": "transform", "input": {"n": "{{ steps.stay.output.booked }}"}},
    ]
    await designer.publish({"workflow": "good", "steps": steps, "result": "{{ steps.seen.output }}"})
    run = await designer.ended(await designer.start("good"), seconds=60)
    await designer.verified(run["id"])
    assert (run["status"], run["result"]) == ("SUCCESS", {"n": 1})
    before = len(target.calls)
    end = {"key": "stop", "type": "fail", "input": {"code": "NO", "message": "no"}}
    await designer.publish({"workflow": "bad", "steps": [*steps, undone("pay"), end]})
    run = await designer.ended(await designer.start("bad"), seconds=60)
    await designer.verified(run["id"])
    assert (run["status"], run["error"]["code"]) == ("FAILED", "NO")
    assert [call.path for call in target.calls][before:] == [
        "/book",
        "/ship",
        "/pay",
        "/unpay",
        "/unship",
        "/unbook",
    ]
    assert {s["key"]: s["status"] for s in run["steps"]}["stay"] == "COMPENSATED"
    of_run = {call.path: call.key.removesuffix(f"-{call.path[1:]}") for call in target.calls[before:][:3]}
    undone_by = [call.key for call in target.calls[before:][3:]]
    child, parent = of_run["/book"], run["id"]
    assert (of_run["/ship"], of_run["/pay"], undone_by[0]) == (child, parent, f"{parent}-pay.undo")
    # By a run of its own: neither the child, which has ended, nor the parent.
    undoing = undone_by[1].removesuffix("-ship.undo")
    assert undone_by[2] == f"{undoing}-book.undo"
    assert undoing not in {child, parent}


async def test_a_cancel_reaches_children_and_undoes_what_they_did(world: World) -> None:
    designer, target = world.designer, world.target
    target.hold("/ship")
    await designer.publish({"workflow": "inner", "steps": [undone("book"), undone("ship")]})
    await designer.publish(
        {
            "workflow": "outer",
            "steps": [undone("pay"), {"key": "inner", "type": "workflow", "workflow": "inner"}],
        }
    )
    run_id = await designer.start("outer")
    await target.called("/ship")
    await designer.cancel(run_id)
    target.release("/ship")
    run = await designer.ended(run_id, seconds=60)
    await designer.verified(run["id"])
    assert run["status"] == "CANCELED"
    paths = [call.path for call in target.calls]
    assert paths[:3] == ["/pay", "/book", "/ship"]
    assert paths[-1] == "/unpay"
    assert sorted(paths[3:-1]) == sorted(["/unship", "/unbook"])


async def test_a_probe_settles_a_doubt(world: World) -> None:
    designer, target = world.designer, world.target
    probe = {"action": "shop/look", "done": "{{ output.body.paid }}", "output": {"seen": "$.body.paid"}}
    await designer.publish(
        {"workflow": "doubt", "steps": [step("pay", action="shop/pay-once", probe=probe), step("ship")]}
    )
    for paid, calls in ((True, 1), (False, 2)):
        target.on("/look", body={"paid": paid})
        target.calls.clear()
        target.hold("/pay")
        run_id = await designer.start("doubt")
        await target.called("/pay")
        (victim,) = [
            s for s in world.fleet.services if s.name == "headrace_runner" and s.process.returncode is None
        ]
        await victim.kill()
        target.release("/pay")
        await world.fleet.runner()
        run = await designer.ended(run_id, seconds=60)
        assert run["status"] == "SUCCESS", str(run)
        assert [len(target.of(path)) for path in ("/pay", "/look", "/ship")] == [calls, 1, 1]


async def test_people_and_messages_bring_a_run_on(world: World) -> None:
    designer, target = world.designer, world.target
    await designer.publish(
        {
            "workflow": "asked",
            "steps": [
                {"key": "early", "type": "signal"},
                {
                    "key": "sign",
                    "type": "approval",
                    "approval": {"title": "Room {{ steps.early.output.room }}?"},
                },
                step("ship", input={"n": "{{ steps.sign.output.reason }}"}),
                {"key": "late", "type": "signal", "signal": {"name": "paid"}},
            ],
            "result": "{{ steps.late.output }}",
        }
    )
    run_id = await designer.start("asked")
    await designer.signal(run_id, "paid", {"amount": 5})  # long before its wait
    await designer.signal(run_id, "early", {"room": 7})
    await designer.ended(run_id, wanted={"WAITING"})
    await waiting_for(designer, run_id, "APPROVAL")
    found = await designer.do("{ approvals { items { runId: run { id } step title mayDecide } } }")
    (approval,) = found["approvals"]["items"]
    assert approval["title"] == "Room 7?"
    await designer.decide(run_id, "sign", "APPROVE", "fine by me")
    run = await designer.ended(run_id)
    await designer.verified(run["id"])
    assert (run["status"], run["result"]) == ("SUCCESS", {"amount": 5})
    assert b"fine by me" in target.of("/ship")[0].body


async def waiting_for(designer: Designer, run_id: str, reason: str) -> None:
    """Wait until the run waits for that."""
    async with asyncio.timeout(30):
        while (await designer.run(run_id))["waitReason"] != reason:
            await asyncio.sleep(0.05)
