"""Three weeks of work, with people in it, while services are ended at random; rejected at its end, and undone."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import asyncpg
import pytest
from designer import Designer
from fleet import Fleet, Service
from movable_clock import Calendar
from target import Target

STREAMS = range(1, 6)
CALLS = ["begin", *(f"{part}{n}" for n in STREAMS for part in ("order", "use")), "bill"]
DAY = timedelta(days=1)
# When somebody gets round to what the run waits for.
ANSWERED = {"sign": 9 * DAY, "delivered": 14 * DAY, "accept": 20 * DAY}


def call(key: str) -> dict[str, Any]:
    undo = {"action": f"shop/un{key}", "input": {"id": f"{{{{ steps.{key}.output.body.n }}}}"}}
    return {"key": key, "action": f"shop/{key}", "input": {}, "compensate": undo}


def asked(key: str) -> dict[str, Any]:
    return {
        "key": key,
        "type": "approval",
        "approval": {"title": key, "deadlineMs": 30 * 86_400_000, "remindEveryMs": 86_400_000},
    }


def document() -> dict[str, Any]:
    """Five streams side by side, each of two calls with days between them; then two approvals and a signal."""
    steps = [call("begin")]
    edges = []
    for n in STREAMS:
        days = {"key": f"rest{n}", "type": "wait", "wait": {"forMs": (2 + n) * 86_400_000}}
        steps += [call(f"order{n}"), days, call(f"use{n}")]
        path = ["begin", f"order{n}", f"rest{n}", f"use{n}", "sign"]
        edges += [{"from": a, "to": b} for a, b in pairwise(path)]
    steps += [asked("sign"), {"key": "delivered", "type": "signal"}, call("bill"), asked("accept")]
    path = ["sign", "delivered", "bill", "accept"]
    edges += [{"from": a, "to": b} for a, b in pairwise(path)]
    return {"workflow": "three-weeks", "steps": steps, "edges": edges, "timeoutMs": 60 * 86_400_000}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("backends", ["production"], indirect=True)
async def test_three_weeks_of_work_are_undone_in_order(fleet: Fleet, target: Target) -> None:
    dice = random.Random(21)
    begin: dict[str, Callable[[], Awaitable[Service]]] = {
        "control plane": fleet.control_plane,
        "runner": fleet.runner,
        "reporter": fleet.reporter,
    }
    services = {"control plane": await fleet.control_plane()}
    services |= {"runner": await fleet.runner(), "reporter": await fleet.reporter()}
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    for key in CALLS:
        for name in (key, f"un{key}"):
            await designer.action("shop", name, "POST", f"/{name}", idempotency={"mode": "KEY"})
    await designer.publish(document())
    calendar = Calendar(fleet.backends.database_url)
    run_id = await designer.start("three-weeks")
    ended = dict.fromkeys(begin, 0)

    waits: set[str] = set()
    answered: set[str] = set()
    while (run := await at_rest(designer, run_id, answered))["status"] == "WAITING":
        waits.add(run["waitReason"])
        step = next(s["key"] for s in run["steps"] if s["status"] == "WAITING")
        if calendar.passed >= ANSWERED.get(step, 365 * DAY):
            if step == "delivered":
                await designer.signal(run_id, "delivered", {"boxes": 3})
            else:
                await designer.decide(run_id, step, "REJECT" if step == "accept" else "APPROVE", "as agreed")
            answered.add(step)
        name = dice.choice(list(begin))
        await services[name].kill()
        ended[name] += 1
        await calendar.pass_on(DAY * dice.uniform(1.2, 2.4))
        services[name] = await begin[name]()

    assert waits >= {"TIMER", "APPROVAL", "SIGNAL"}
    assert calendar.passed >= 20 * DAY
    assert all(ended.values()), ended
    assert (run["status"], run["error"]["code"]) == ("FAILED", "REJECTED")
    done = await completed(fleet.backends.database_url, run_id)
    assert sorted(done) == sorted(CALLS)
    undone = list(dict.fromkeys(c.path[3:] for c in target.calls if c.path.startswith("/un")))
    assert undone == done[::-1]
    assert {s["status"] for s in run["steps"] if s["key"] in CALLS} == {"COMPENSATED"}
    keys = {(c.path, c.key) for c in target.calls}
    assert len(keys) == 2 * len(CALLS), "one idempotency key per call and per undo"


async def at_rest(designer: Designer, run_id: str, answered: set[str]) -> Any:
    """The run once nobody is at work on it: it waits for what has not been answered, or has ended."""
    async with asyncio.timeout(90):
        while True:
            run = await designer.run(run_id)
            if run["status"] in ("SUCCESS", "FAILED", "CANCELED"):
                return run
            waiting = {s["key"] for s in run["steps"] if s["status"] == "WAITING"}
            at_work = run["waitReason"] in ("RETRY", "HANDED_BACK", "BLOCKED") or waiting & answered
            if run["status"] == "WAITING" and not at_work:
                return run
            await asyncio.sleep(0.1)


async def completed(url: str, run_id: str) -> list[str]:
    """The calls, in the order in which their completion was written."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        """SELECT key FROM step_runs WHERE run_id = $1 AND status = 'COMPENSATED' ORDER BY done_epoch, done_seq""",
        run_id,
    )
    await connection.close()
    return [row["key"] for row in rows]
