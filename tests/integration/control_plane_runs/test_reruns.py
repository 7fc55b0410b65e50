"""Re-runs over the real schema: what they take over, what they do again, and what stands in their way."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from headrace.ids import new_id

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.rerunning import (
    PREVIEW,
    RERUN,
    call,
    completed,
    end,
    failed,
    fates,
    three_steps,
)

_START = """mutation($input: JSON!, $version: Int, $key: String) {
  startRun(workflow: "orders", input: $input, version: $version, idempotencyKey: $key) { __typename } }"""


async def test_a_rerun_takes_over_what_was_done(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    run = await three_steps(acme, fleet)
    preview = await acme(PREVIEW, run=run)
    assert fates(preview) == {"a": "TAKEN_OVER", "b": "AGAIN", "c": "AHEAD", "side": "TAKEN_OVER"}
    assert [s["keepsKey"] for s in preview["steps"]] == [False, True, False, False]
    again = await acme(RERUN, run=run)
    assert (again["status"], again["origin"]["id"], again["input"]) == ("QUEUED", run, {"order": "17"})
    rows = {step["key"]: step for step in again["steps"]}
    assert rows["a"] == {
        "key": "a",
        "status": "SUCCESS",
        "attemptCount": 0,
        "takenFrom": run,
        "output": {"n": 2},
    }
    assert (rows["b"]["status"], rows["b"]["takenFrom"]) == ("QUEUED", None)
    # In the order in which they were done, before all that a claim of this run can do.
    places = await admin.fetch(
        "SELECT key, done_epoch, done_seq FROM step_runs WHERE run_id = $1 ORDER BY done_seq",
        UUID(again["id"]),
    )
    assert [tuple(place) for place in places] == [("side", 0, 1), ("a", 0, 2)]
    kept = await admin.fetchval("SELECT rerun FROM runs WHERE id = $1", UUID(again["id"]))
    assert orjson.loads(kept)["keys"] == {run: ["b"]}


async def test_what_a_condition_dealt_with_is_taken_over(acme: Client, fleet: Fleet) -> None:
    """By the code that it failed by: nothing behind its error edge has begun."""
    when = {"field": "error.code", "operator": "eq", "value": "HTTP_404"}
    edges = [{"from": "a", "to": "b", "on": "error", "when": when}, {"from": "c", "to": "b"}]
    await publish(acme, orders(steps=[call(key) for key in ("a", "b", "c")], edges=edges, result=None))
    for code, fate in (("HTTP_404", "TAKEN_OVER"), ("HTTP_500", "AGAIN")):
        run = await started(acme)
        await fleet.claim(run)
        await fleet.apply(run, failed("a", code), failed("c"), end())
        preview = await acme(PREVIEW, run=run)
        assert fates(preview) == {"a": fate, "b": "AHEAD", "c": "AGAIN"}


async def test_a_rerun_of_a_rerun_keeps_the_first_keys_and_whose_work_it_is(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    run = await three_steps(acme, fleet)
    second = (await acme(RERUN, run=run))["id"]
    refused = await acme(RERUN, run=run)
    assert (refused["__typename"], second in refused["message"]) == ("Conflict", True)
    await fleet.claim(second)
    await fleet.apply(second, failed("b"), end())
    # What the second did, the first does not know.
    refused = await acme(RERUN, run=run)
    assert (refused["__typename"], second in refused["message"]) == ("Conflict", True)
    assert (await acme(RERUN, run=run, how={"whole": True}))["__typename"] == "Run"
    third = await acme(RERUN, run=second)
    assert {step["key"]: step["takenFrom"] for step in third["steps"]}["a"] == run
    kept = await admin.fetchval("SELECT rerun FROM runs WHERE id = $1", UUID(third["id"]))
    assert orjson.loads(kept)["keys"] == {run: ["b"]}


async def test_what_a_rerun_did_not_come_to_keeps_the_key_that_it_had(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    """Its call may have arrived in the first run."""
    run = await three_steps(acme, fleet)
    second = (await acme(RERUN, run=run, how={"steps": ["a"]}))["id"]
    await fleet.claim(second)
    await fleet.apply(second, failed("a"), end())
    preview = await acme(PREVIEW, run=second)
    assert {s["path"]: s["fate"] for s in preview["steps"] if s["keepsKey"]} == {"a": "AGAIN", "b": "AHEAD"}
    third = (await acme(RERUN, run=second))["id"]
    kept = await admin.fetchval("SELECT rerun FROM runs WHERE id = $1", UUID(third))
    assert orjson.loads(kept)["keys"] == {second: ["a"], run: ["b"]}


async def test_a_child_that_a_rerun_did_not_come_to_goes_on_in_the_next(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    inner = await publish(acme, orders(workflow="inner", steps=[call("first"), call("second")], result=None))
    part = {"key": "part", "type": "workflow", "workflow": "inner", "input": {"order": "1"}}
    steps = [call("start"), call("beside"), part]
    edges = [{"from": "start", "to": "beside"}, {"from": "start", "to": "part"}]
    await publish(acme, orders(steps=steps, edges=edges, result=None))
    run, child = await started(acme), str(new_id())
    wait = {"kind": "CHILD", "runId": child, "versionId": inner["version"]["id"], "input": {"order": "1"}}
    await fleet.claim(run)
    await fleet.apply(run, completed("start", output=1), ("waiting", "part", {"wait": wait}))
    await fleet.claim(child)
    await fleet.apply(child, completed("first", output=1), failed("second"), end())
    error = {"code": "HTTP_500", "message": "no"}
    await fleet.apply(run, completed("part", "FAILED", error=error), failed("beside"), end())
    second = (await acme(RERUN, run=run))["id"]
    await fleet.claim(second)
    await fleet.apply(second, failed("beside"), end())
    assert fates(await acme(PREVIEW, run=second)) == {
        "start": "TAKEN_OVER",
        "beside": "AGAIN",
        "part": "AHEAD",
        "part/first": "TAKEN_OVER",
        "part/second": "AGAIN",
    }
    third = (await acme(RERUN, run=second))["id"]
    kept = await admin.fetchval("SELECT rerun FROM runs WHERE id = $1", UUID(third))
    assert orjson.loads(kept)["children"]["part"]["origin"] == child


async def test_from_an_earlier_step_its_successors_are_done_again_under_new_keys(
    acme: Client, fleet: Fleet
) -> None:
    run = await three_steps(acme, fleet)
    preview = await acme(PREVIEW, run=run, how={"steps": ["a"]})
    assert fates(preview) == {"a": "AGAIN", "b": "AGAIN", "c": "AHEAD", "side": "TAKEN_OVER"}
    assert {s["path"] for s in preview["steps"] if s["keepsKey"]} == {"b"}
    whole = await acme(PREVIEW, run=run, how={"whole": True})
    assert set(fates(whole).values()) == {"AGAIN", "AHEAD"}


async def test_the_items_of_a_loop_that_succeeded_are_not_done_again(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    each = call("each", forEach={"items": [1, 2, 3]})
    await publish(acme, orders(steps=[each, call("after")], result=None))
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(
        run,
        ("started", "each", {"items": 3}),
        completed("each[0]", output=1),
        failed("each[1]"),
        completed("each[2]", output=3),
        completed("each", "FAILED", error={"code": "HTTP_500", "message": "an item failed"}),
        end(),
    )
    assert fates(await acme(PREVIEW, run=run)) == {"each": "AGAIN", "each[1]": "AGAIN", "after": "AHEAD"}
    again = (await acme(RERUN, run=run))["id"]
    rows = await admin.fetch("SELECT key, status FROM step_runs WHERE run_id = $1 ORDER BY key", UUID(again))
    assert [tuple(row) for row in rows] == [
        ("each", "RUNNING"),
        ("each[0]", "SUCCESS"),
        ("each[2]", "SUCCESS"),
    ]
    # Its list may be another one under an edited input.
    refused = await acme(RERUN, run=run, how={"patch": {"amount": 2}})
    assert refused["problems"][0]["path"] == "steps.each"


async def test_a_child_whose_loop_is_half_done_goes_on_with_its_own_input_alone(
    acme: Client, fleet: Fleet
) -> None:
    """Its input is made from its parent's, which the edit may change: so may its list."""
    each = call("each", forEach={"items": [1, 2]})
    inner = await publish(acme, orders(workflow="inner", steps=[each], result=None))
    part = {"key": "part", "type": "workflow", "workflow": "inner", "input": {"order": "{{ input.order }}"}}
    await publish(acme, orders(steps=[part], result=None))
    run = await started(acme)
    child, given = str(new_id()), {"order": "17"}
    wait = {"kind": "CHILD", "runId": child, "versionId": inner["version"]["id"], "input": given}
    await fleet.claim(run)
    await fleet.apply(run, ("waiting", "part", {"wait": wait}))
    await fleet.claim(child)
    await fleet.apply(
        child,
        ("started", "each", {"items": 2}),
        completed("each[0]", output=1),
        failed("each[1]"),
        completed("each", "FAILED", error={"code": "HTTP_500", "message": "an item failed"}),
        end(),
    )
    await fleet.apply(run, completed("part", "FAILED", error={"code": "HTTP_500", "message": "no"}), end())
    refused = await acme(RERUN, run=run, how={"patch": {"amount": 2}})
    assert [problem["path"] for problem in refused["problems"]] == ["steps.part/each"]
    named = await acme(RERUN, run=run, how={"patch": {"amount": 2}, "steps": ["part/each"]})
    assert named["__typename"] == "Run", named


async def test_an_undone_step_is_done_again_with_what_followed_it(acme: Client, fleet: Fleet) -> None:
    undo = {"action": "shop/get-order", "input": {"order": "1"}}
    steps = [call("book", compensate=undo), call("tell"), call("pay")]
    await publish(acme, orders(steps=steps, result=None))
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(
        run,
        completed("book", output=1),
        completed("tell", output=1),
        failed("pay"),
        ("compensating", None, {"outcome": "FAILED", "error": {"code": "HTTP_500", "message": "no"}}),
        completed("book.undo", output=1),
        end(),
    )
    preview = await acme(PREVIEW, run=run)
    assert fates(preview) == {"book": "AGAIN", "tell": "AGAIN", "pay": "AGAIN"}
    assert {s["path"] for s in preview["steps"] if s["keepsKey"]} == {"pay"}


async def test_an_edit_is_merged_and_checked(acme: Client, fleet: Fleet) -> None:
    run = await three_steps(acme, fleet)
    bad = await acme(RERUN, run=run, how={"patch": {"order": None}})
    assert (bad["__typename"], bad["problems"][0]["path"]) == ("InvalidInput", "input.order")
    refused = await acme.error(PREVIEW, run=run, how={"patch": [1]})
    assert refused["extensions"]["problems"][0]["path"] == "patch"
    good = await acme(RERUN, run=run, how={"patch": {"amount": 5}})
    assert good["input"] == {"order": "17", "amount": 5}


async def test_what_is_sealed_in_the_input_is_sealed_anew(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    pin = {"type": "string", "x-sensitive": True}
    parameters = {"type": "object", "properties": {"order": {"type": "string"}, "pin": pin}}
    await publish(acme, orders(parameters=parameters))
    run = await started(acme, input={"order": "17", "pin": "a-pin-of-this-test"})
    await fleet.claim(run)
    await fleet.apply(run, failed("fetch"), end())
    again = (await acme(RERUN, run=run, how={"patch": {"order": "18"}}))["id"]
    rows = await admin.fetch("SELECT input FROM runs WHERE id = ANY($1::uuid[])", [UUID(run), UUID(again)])
    old, new = sorted((orjson.loads(row["input"]) for row in rows), key=lambda given: given["order"])
    assert (new["order"], set(new["pin"])) == ("18", {"$sealed"})
    assert new["pin"] != old["pin"]


async def test_another_version_has_to_have_what_was_done(acme: Client, fleet: Fleet) -> None:
    run = await three_steps(acme, fleet)
    await publish(acme, orders(steps=[call("b"), call("c"), call("side")], result=None))
    refused = await acme(RERUN, run=run, how={"version": 2})
    assert [problem["path"] for problem in refused["problems"]] == ["steps.a"]
    await publish(acme, orders(steps=[call("a"), call("b"), call("side")], result=None))
    taken = await acme(RERUN, run=run, how={"version": 3})
    assert taken["__typename"] == "Run", taken


async def test_a_call_in_doubt_is_made_again_only_when_somebody_says_so(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    unknown = completed("fetch", "UNKNOWN", error={"code": "TIMEOUT", "message": "no answer"})
    await fleet.apply(run, unknown, ("canceled", None, {}))
    refused = await acme(RERUN, run=run)
    assert (refused["__typename"], "fetch" in refused["message"]) == ("Conflict", True)
    again = await acme(RERUN, run=run, how={"repeatInDoubt": True})
    assert again["__typename"] == "Run"


async def test_one_rerun_goes_on_from_a_run_that_failed_at_its_first_step(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders(steps=[call("a"), call("b")], result=None))
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(run, failed("a"), end())
    answers = await asyncio.gather(*(acme(RERUN, run=run) for _ in range(4)))
    assert sorted(one["__typename"] for one in answers) == ["Conflict"] * 3 + ["Run"]
    (first,) = [one["id"] for one in answers if one["__typename"] == "Run"]
    assert (await acme(RERUN, run=run, how={"whole": True}))["__typename"] == "Run"
    await fleet.claim(first)
    await fleet.apply(first, failed("a"), end())
    refused = await acme(RERUN, run=run)
    assert (refused["__typename"], first in refused["message"]) == ("Conflict", True)
    assert (await acme(RERUN, run=first))["__typename"] == "Run"


async def test_a_key_begins_one_rerun(acme: Client, fleet: Fleet) -> None:
    run = await three_steps(acme, fleet)
    first = await acme(RERUN, run=run, key="k")
    assert (await acme(RERUN, run=run, key="k"))["id"] == first["id"]
    assert (await acme(RERUN, run=run, key="another"))["__typename"] == "Conflict"
    other = await three_steps(acme, fleet)
    assert (await acme(RERUN, run=other, key="k"))["__typename"] == "Conflict"


@pytest.mark.parametrize("how", [{"steps": ["a"]}, {"steps": ["a", "side"]}, {"repeatInDoubt": True}, {}])
async def test_a_key_of_a_rerun_is_not_taken_for_another_way_to_rerun(
    acme: Client, fleet: Fleet, how: dict[str, Any]
) -> None:
    run = await three_steps(acme, fleet)
    first = await acme(RERUN, run=run, how={"whole": True}, key="k")
    assert first["__typename"] == "Run"
    assert (await acme(RERUN, run=run, how=how, key="k"))["__typename"] == "Conflict"
    assert (await acme(RERUN, run=run, how={"whole": True}, key="k"))["id"] == first["id"]


async def test_the_steps_of_a_rerun_are_the_same_in_any_order(acme: Client, fleet: Fleet) -> None:
    run = await three_steps(acme, fleet)
    first = await acme(RERUN, run=run, how={"steps": ["a", "side"]}, key="k")
    assert (await acme(RERUN, run=run, how={"steps": ["side", "a", "a"]}, key="k"))["id"] == first["id"]


async def test_a_key_of_a_rerun_is_not_taken_for_a_plain_start(acme: Client, fleet: Fleet) -> None:
    run = await three_steps(acme, fleet)
    again = await acme(RERUN, run=run, key="rerun")
    plain = {"input": again["input"], "version": 1}
    assert (await acme(_START, key="rerun", **plain))["__typename"] == "Conflict"
    assert (await acme(_START, key="plain", **plain))["__typename"] == "Run"
    await fleet.claim(again["id"])
    await fleet.apply(again["id"], failed("b"), end())
    assert (await acme(RERUN, run=again["id"], key="plain"))["__typename"] == "Conflict"


@pytest.mark.parametrize("path", ["nothing", "a/b", "a[0]", "a.undo", ""])
async def test_a_step_that_is_not_there_is_named(acme: Client, fleet: Fleet, path: str) -> None:
    run = await three_steps(acme, fleet)
    refused = await acme(RERUN, run=run, how={"steps": [path]})
    assert (refused["__typename"], refused["problems"][0]["path"][:5]) == ("InvalidInput", "steps")


async def test_what_has_not_ended_and_what_is_anothers_is_not_rerun(
    acme: Client, stranger: Client, fleet: Fleet
) -> None:
    await publish(acme, orders())
    run = await started(acme)
    assert (await acme(RERUN, run=run))["__typename"] == "Conflict"
    await fleet.claim(run)
    await fleet.finish(run)
    assert (await stranger(RERUN, run=run))["__typename"] == "NotFound"
