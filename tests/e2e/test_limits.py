"""Limits of connections, breakers and retry budgets, with runners that know of each other only by the control plane."""

import asyncio
import time
from typing import Any

from aiohttp import web
from designer import Designer, step
from fleet import Fleet
from target import Call, Target

RATE, BURST, RUNS = 5, 2, 14

_CONNECT = """mutation ($input: ConnectionInput!) { createConnection(input: $input) {
                ok: __typename ...Failed } }"""
_BREAKER = '{ connection(name: "shop-main") { breaker openUntil } }'


def one_call(workflow: str, **more: Any) -> dict[str, Any]:
    return {
        "workflow": workflow,
        "steps": [{"key": "a", "action": f"shop/{workflow}", "connection": "shop-main"}],
        **more,
    }


async def test_runners_keep_to_one_limit_and_leave_a_target_in_trouble_alone(
    fleet: Fleet, target: Target
) -> None:
    await fleet.start_all(runners=2)
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    for name in ("fine", "busy"):
        await designer.action("shop", name, "GET", f"/{name}")
        limits = {"requestsPerSecond": RATE, "burst": BURST}
        if name == "fine":
            await designer.mutate(_CONNECT, input={"app": "shop", "name": "shop-main", "limits": limits})
        await designer.publish(one_call(name))

    arrived: list[float] = []

    async def note(_: Call) -> web.StreamResponse:
        arrived.append(time.monotonic())
        return web.json_response({})

    target.answers["/fine"] = note
    runs = await asyncio.gather(*(designer.start("fine") for _ in range(RUNS)))
    ended = await asyncio.gather(*(designer.ended(run) for run in runs))
    assert {run["status"] for run in ended} == {"SUCCESS"}
    assert {step(run, "a")["attemptCount"] for run in ended} == {1}
    for begin in arrived:
        for window in (1, 2):
            # A permit is good for a second.
            calls = sum(begin <= at <= begin + window for at in arrived)
            assert calls <= BURST + RATE * (window + 1)
    assert arrived[-1] - arrived[0] > (RUNS - BURST) / RATE - 1.5

    target.on("/busy", 503, headers={"Retry-After": "3600"})
    failed = await designer.ended(await designer.start("busy"))
    assert (failed["status"], len(target.of("/busy"))) == ("FAILED", 1)
    async with asyncio.timeout(20):
        while (await designer.do(_BREAKER))["connection"]["breaker"] != "OPEN":
            await asyncio.sleep(0.05)  # the report is on its way behind the answer
    blocked = await designer.start("busy")
    waiting = await designer.ended(blocked, wanted={"WAITING"})
    assert waiting["waitReason"] == "BLOCKED"
    assert step(waiting, "a")["attemptCount"] == 0
    assert len(target.of("/busy")) == 1
    await designer.do("mutation ($id: ID!) { cancelRun(id: $id) { __typename } }", id=blocked)
    assert (await designer.ended(blocked))["status"] == "CANCELED"

    await designer.action("shop", "down", "GET", "/down", retry={"strategy": "FIXED", "initialDelayMs": 1})
    target.on("/down", 500)
    steps = [{"key": key, "action": "shop/down", "onError": "continue"} for key in ("one", "two", "three")]
    await designer.publish({"workflow": "down", "retryBudget": 3, "steps": steps})
    run = await designer.ended(await designer.start("down"))
    assert [step(run, key)["attemptCount"] for key in ("one", "two", "three")] == [3, 2, 1]
    assert len(target.of("/down")) == 6
    assert "retry budget is used up" not in step(run, "one")["error"]["message"]
    assert step(run, "three")["error"]["code"] == "HTTP_500"
    assert "retry budget is used up" in step(run, "three")["error"]["message"]
