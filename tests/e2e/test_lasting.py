"""What lasts, branches, repeats and is undone, on all services as processes."""

from typing import Any

import pytest
from designer import Designer
from fleet import Fleet
from target import Target

KEYED = {"mode": "KEY"}


async def prepare(fleet: Fleet, target: Target) -> Designer:
    await fleet.start_all()
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    for name in ("book", "pay", "ship", "unbook", "unpay", "unship", "poll"):
        await designer.action("shop", name, "POST", f"/{name}", idempotency=KEYED)
    return designer


def step(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "action": f"shop/{key}", "input": {"n": 1}, **more}


def undone(key: str, **more: Any) -> dict[str, Any]:
    return step(key, compensate={"action": f"shop/un{key}", "input": {"n": 1}}, **more)


async def test_what_was_done_is_undone_in_reverse(fleet: Fleet, target: Target) -> None:
    designer = await prepare(fleet, target)
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
    assert (run["status"], run["error"]["code"]) == ("FAILED", "NO_SEAT")
    assert [call.path for call in target.calls] == ["/book", "/pay", "/unpay", "/unbook"]
    assert [call.key for call in target.calls][2:] == [f"{run_id}-pay.undo", f"{run_id}-book.undo"]
    statuses = {s["key"]: s["status"] for s in run["steps"]}
    assert statuses["book"] == statuses["pay"] == "COMPENSATED"
    assert statuses["nap"] == "SUCCESS"


async def test_an_error_edge_carries_the_error_as_data(fleet: Fleet, target: Target) -> None:
    designer = await prepare(fleet, target)
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
    assert (run["status"], run["result"]) == ("SUCCESS", {"code": "HTTP_422"})
    assert {s["key"]: s["status"] for s in run["steps"]} == {
        "pay": "FAILED",
        "ship": "SKIPPED",
        "told": "SUCCESS",
    }


@pytest.mark.parametrize("every", [50, 2500])
async def test_a_repeat_polls_until_it_is_so(fleet: Fleet, target: Target, every: int) -> None:
    designer = await prepare(fleet, target)
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
    assert run["status"] == "SUCCESS"
    assert [call.key for call in target.of("/poll")] == [
        f"{run_id}-poll",
        f"{run_id}-poll-r1",
        f"{run_id}-poll-r2",
    ]
