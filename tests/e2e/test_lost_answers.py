"""A call that may not be made twice, and whose answer a gateway or a redirect has lost."""

import pytest
from aiohttp import web
from designer import Designer, step
from fleet import Fleet
from target import Call, Target

# What a target answers is the runner's matter alone: which bus carries what it tells makes no difference.
pytestmark = pytest.mark.parametrize("backends", ["embedded"], indirect=True)

AGAIN = {"strategy": "FIXED", "maxAttempts": 3, "initialDelayMs": 100, "maxDelayMs": 100}


async def designing(fleet: Fleet, target: Target) -> Designer:
    await fleet.start_all()
    designer = Designer(fleet)
    await designer.app("bank", target.url)
    for name in ("pay", "unpay"):
        await designer.action("bank", name, "POST", f"/{name}", idempotency={"mode": "NONE"})
    await designer.action("bank", "look", "GET", "/look")
    return designer


async def test_a_gateway_without_an_answer_leaves_a_doubt_that_the_probe_settles(
    fleet: Fleet, target: Target
) -> None:
    """Behind the gateway the money has moved: the probe finds it, and it is undone with the run."""
    designer = await designing(fleet, target)
    target.on("/pay", 504)
    target.on("/look", body={"paid": True})
    await designer.publish(
        {
            "workflow": "refund",
            "steps": [
                {
                    "key": "pay",
                    "action": "bank/pay",
                    "input": {"n": 1},
                    "retry": AGAIN,
                    "probe": {"action": "bank/look", "done": "{{ output.body.paid }}"},
                    "compensate": {"action": "bank/unpay", "input": {"n": 1}},
                },
                {"key": "stop", "type": "fail", "input": {"code": "CLOSED", "message": "too late"}},
            ],
        }
    )
    run = await designer.ended(await designer.start("refund"))
    await designer.verified(run["id"])
    assert [call.path for call in target.calls] == ["/pay", "/look", "/unpay"]
    assert (run["status"], run["error"]["code"]) == ("FAILED", "CLOSED")
    pay = step(run, "pay")
    assert pay["status"] == "COMPENSATED"
    assert [attempt["outcome"] for attempt in pay["attempts"]] == ["UNKNOWN"]


async def test_what_a_redirect_says_is_done_is_not_done_again(fleet: Fleet, target: Target) -> None:
    """The target has taken the payment and sends on to its page, which can not be read."""
    designer = await designing(fleet, target)

    async def taken(_: Call) -> web.StreamResponse:
        return web.Response(status=303, headers={"Location": "/payments/1"})

    target.answers["/pay"] = taken
    target.on("/payments/1", 503)
    await designer.publish(
        {
            "workflow": "once",
            "steps": [{"key": "pay", "action": "bank/pay", "input": {"n": 1}, "retry": AGAIN}],
        }
    )
    run = await designer.ended(await designer.start("once"))
    await designer.verified(run["id"])
    assert [call.path for call in target.calls] == ["/pay", "/payments/1"]
    assert (run["status"], run["error"]["code"]) == ("FAILED", "HTTP_503")
