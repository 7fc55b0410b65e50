"""The main job on both profiles: design over GraphQL, run on a fleet, read status and logs."""

import asyncio
import json
from typing import Any

from designer import Designer, step
from fleet import Fleet, heartbeat_heard
from target import Target

CHAIN = {
    "workflow": "chain",
    "parameters": {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string"}, "amount": {"type": "number"}},
    },
    "steps": [
        {"key": "one", "action": "shop/get", "input": {"id": "{{ input.id }}"}},
        {
            "key": "two",
            "action": "shop/create",
            "input": {"n": "{{ steps.one.output.body.n }}", "from": "{{ steps.one.output.body.path }}"},
            "output": {"n": "$.body.n"},
        },
        {"key": "three", "type": "transform", "input": {"sum": "{{ steps.two.output.n + 1 }}"}},
    ],
    "result": {"sum": "{{ steps.three.output.sum }}", "id": "{{ input.id }}"},
}


async def shop(designer: Designer, target: Target, **create: Any) -> None:
    """An app whose `get` reads and whose `create` is keyed."""
    await designer.app("shop", target.url)
    await designer.action("shop", "get", "GET", "/items/{id}")
    keyed = {"idempotency": {"mode": "KEY"}, **create}
    await designer.action("shop", "create", "POST", "/items", **keyed)


async def test_a_workflow_runs_and_tells_its_story(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = Designer(fleet)
    await shop(designer, target)
    await designer.publish(CHAIN)
    run_id = await designer.start("chain", id="a b/ü")
    run = await designer.ended(run_id)
    assert (run["status"], run["result"]) == ("SUCCESS", {"sum": 2, "id": "a b/ü"}), run
    assert [c.method for c in target.calls] == ["GET", "POST"]
    assert target.calls[1].key == f"{run_id}-two"
    assert json.loads(target.calls[1].body) == {"n": 1, "from": "/items/a b/ü"}
    assert step(run, "two")["attempts"][0]["address"].startswith("127.0.0.1")
    async with asyncio.timeout(20):
        while True:  # log records have no promise of order with the run's status
            page = await designer.do(
                'query ($run: ID!) { logs(filter: {run: $run, words: "step succeeded"}) { items { message step } } }',
                run=run_id,
            )
            if len(page["logs"]["items"]) == 3:
                break
            await asyncio.sleep(0.1)
    assert {item["step"] for item in page["logs"]["items"]} == {"one", "two", "three"}


async def test_retries_failures_and_conditions(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = Designer(fleet)
    await shop(designer, target, retry={"strategy": "FIXED", "maxAttempts": 3, "initialDelayMs": 10})
    target.on("/items", status=503)
    target.on("/items/gone", status=404, body={"why": "gone"})
    document = {
        "workflow": "branches",
        "steps": [
            {"key": "get", "action": "shop/get", "input": {"id": "x"}},
            {"key": "gone", "action": "shop/get", "input": {"id": "gone"}, "onError": "continue"},
            {"key": "yes", "type": "transform", "input": {"code": "{{ steps.gone.error.code }}"}},
            {"key": "no", "type": "transform", "input": {"never": True}},
            {"key": "create", "action": "shop/create", "input": {"n": 1}},
        ],
        "edges": [
            {"from": "get", "to": "gone"},
            {
                "from": "gone",
                "to": "yes",
                "when": {"field": "error.code", "operator": "eq", "value": "HTTP_404"},
            },
            {"from": "gone", "to": "no", "when": {"field": "status", "operator": "eq", "value": "SUCCESS"}},
            {"from": "yes", "to": "create"},
        ],
    }
    await designer.publish(document)
    run = await designer.ended(await designer.start("branches"))
    assert run["status"] == "FAILED"
    assert run["error"]["code"] == "HTTP_503"
    assert {s["key"]: s["status"] for s in run["steps"]} == {
        "get": "SUCCESS",
        "gone": "FAILED",
        "yes": "SUCCESS",
        "no": "SKIPPED",
        "create": "FAILED",
    }
    assert [a["httpStatus"] for a in step(run, "create")["attempts"]] == [503, 503, 503]
    keys = {call.key for call in target.of("/items")}
    assert keys == {f"{run['id']}-create"}


async def test_a_long_retry_parks_and_comes_back(fleet: Fleet, target: Target) -> None:
    await fleet.control_plane()
    await asyncio.gather(fleet.reporter(), fleet.runner(HEADRACE_PARK_RETRIES_AFTER_SECONDS="0"))
    designer = Designer(fleet)
    await shop(designer, target, retry={"strategy": "FIXED", "maxAttempts": 2, "initialDelayMs": 3000})
    target.on("/items", status=503)
    await designer.publish(
        {"workflow": "w", "steps": [{"key": "create", "action": "shop/create", "input": {"n": 1}}]}
    )
    run_id = await designer.start("w")
    waiting = await designer.ended(run_id, wanted={"WAITING"})
    assert (waiting["waitReason"], step(waiting, "create")["status"]) == ("RETRY", "WAITING")
    target.on("/items", status=200)
    run = await designer.ended(run_id)
    assert run["status"] == "SUCCESS"
    assert len(target.of("/items")) == 2


async def test_a_cancel_reaches_a_running_and_a_waiting_run(fleet: Fleet, target: Target) -> None:
    await fleet.control_plane(HEADRACE_LEASE_SECONDS="3")  # renewed every second
    await asyncio.gather(fleet.reporter(), fleet.runner(HEADRACE_PARK_RETRIES_AFTER_SECONDS="0"))
    designer = Designer(fleet)
    await shop(designer, target, retry={"strategy": "FIXED", "maxAttempts": 2, "initialDelayMs": 10_000})
    target.hold("/items/held")
    await designer.publish(CHAIN)
    running = await designer.start("chain", id="held")
    await target.called("/items/held")
    target.on("/items", status=503)
    waiting = await designer.start("chain", id="other")
    await designer.ended(waiting, wanted={"WAITING"})
    for run_id in (running, waiting):
        await designer.mutate(
            "mutation ($id: ID!) { cancelRun(id: $id) { ok: __typename ...Failed } }", id=run_id
        )
    assert (await designer.ended(waiting))["status"] == "CANCELED"
    # The runner has heard of the cancel before its call is answered.
    await heartbeat_heard(fleet.backends.database_url)
    target.release("/items/held")
    assert (await designer.ended(running))["status"] == "CANCELED"
    assert len(target.of("/items")) == 1


async def test_a_runner_that_is_asked_to_leave_hands_back(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = Designer(fleet)
    await shop(designer, target)
    target.hold("/items/held")
    await designer.publish(CHAIN)
    run_id = await designer.start("chain", id="held")
    await target.called("/items/held")
    (runner,) = [s for s in fleet.services if s.name == "headrace_runner"]
    stopping = asyncio.create_task(runner.stop())
    target.release("/items/held")
    assert await stopping == 0
    await fleet.runner()
    run = await designer.ended(run_id)
    assert run["status"] == "SUCCESS"
    assert len(target.of("/items/held")) == 1


async def test_a_time_limit_leaves_an_unsafe_call_in_doubt(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = Designer(fleet)
    await shop(designer, target, idempotency={"mode": "NONE"})
    target.hold("/items")
    await designer.publish(
        {
            "workflow": "w",
            "timeoutMs": 3000,
            "steps": [{"key": "create", "action": "shop/create", "input": {"n": 1}}],
        }
    )
    run = await designer.ended(await designer.start("w"))
    assert (run["status"], run["error"]["code"]) == ("FAILED", "RUN_TIMEOUT")
    assert (step(run, "create")["status"], step(run, "create")["attemptCount"]) == ("UNKNOWN", 1)
    assert [a["outcome"] for a in step(run, "create")["attempts"]] == ["UNKNOWN"]
    assert len(target.of("/items")) == 1
