"""Runs that failed are gone on with: what was done is not done again, and nothing is called under another key."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from designer import Designer
from fleet import Fleet
from headrace_cli.runs.history import children_of
from target import Call

from tests.e2e.rerunning import World, call, opened_world

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # What is taken over lies in Postgres; the bus has no part in it.
    pytest.mark.parametrize("module_fleet", ["embedded"], indirect=True, scope="module"),
]
RUNS = 300

_GROUPS = "{ deadLetterGroups { group { source action code } count example } }"
_REPLAY = """mutation ($id: ID!, $how: ReplayInput) { replayDeadLetter(id: $id, how: $how) {
  ok: __typename ... on Run { id } ...Failed } }"""
_ITEMS = "query ($id: ID!) { run(id: $id) { steps { key items { items { key } } } } }"
_FAILED = "fragment Failed on Failure { code message }"
_LETTERS = "query ($workflow: String!) { deadLetters(filter: {workflow: $workflow}) { items { id step } } }"
_MOVE = """mutation ($ids: [ID!]!) { moveRuns(ids: $ids, version: 2) { ok: __typename
  ... on MovedRuns { items { ok: __typename ... on Run { version { number } } ...Failed } } ...Failed } }"""
_COUNT = "query ($f: RunFilter) { runs(filter: $f, first: 200) { items { id } pageInfo { hasNextPage } } }"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(module_fleet: Fleet) -> AsyncIterator[World]:
    async with opened_world(module_fleet) as world:
        yield world


@pytest.fixture
def world(deployed: World) -> World:
    deployed.target.calls.clear()
    deployed.target.answers.clear()
    return deployed


async def test_two_causes_are_replayed_and_nothing_is_done_twice(world: World) -> None:
    down = True

    async def charge(call: Call) -> web.StreamResponse:
        amount = orjson.loads(call.body)["amount"]
        if amount == 0:
            return web.json_response({"error": "an amount is needed"}, status=422)
        return web.json_response({"ok": not down}, status=503 if down else 200)

    world.target.answers["/charge"] = charge
    designer = world.designer
    charging = call("charge", input={"amount": "{{ input.amount }}"})
    await designer.publish({"workflow": "order", "steps": [call("reserve"), charging, call("confirm")]})
    started = await designer.mutate(
        """mutation ($items: [RunStart!]!) { startRuns(items: $items) { ok: __typename
             ... on StartedRuns { items { ... on Run { id } } } ...Failed } }""",
        items=[{"workflow": "order", "input": {"amount": n % 2}} for n in range(RUNS)],
    )
    runs = [run["id"] for run in started["items"]]
    await world.target.called("/charge", RUNS, seconds=60)
    # A dead letter is written with the step that failed; nothing can go on from it before its run has ended, too.
    await _all_ended(designer)
    groups = await _groups(designer)
    assert {code: one["count"] for code, one in groups.items()} == {
        "HTTP_422": RUNS // 2,
        "HTTP_503": RUNS // 2,
    }
    # One of a group first, to see that the edit is the right one.
    tried = await designer.mutate(_REPLAY, id=groups["HTTP_422"]["example"], how={"patch": {"amount": 5}})
    assert (await designer.ended(tried["id"]))["status"] == "FAILED"  # the bank is down all the same
    down = False
    mended = await world.replayed(groups["HTTP_422"]["group"], patch={"amount": 5})
    assert (mended["replayed"], mended["refused"]) == (RUNS // 2 - 1, 0)
    both = await world.replayed(groups["HTTP_503"]["group"])
    assert (both["replayed"], both["refused"]) == (RUNS // 2 + 1, 0)  # with the one that was tried
    await world.target.called("/confirm", RUNS, seconds=60)
    await _all_ended(designer)
    assert await _groups(designer) == {}
    # Each was reserved once; each charge was made again under the key that it had; each is confirmed once.
    assert sorted(map(str, world.keys("/reserve"))) == sorted(f"{run}-reserve" for run in runs)
    assert {*world.keys("/charge")} == {f"{run}-charge" for run in runs}
    assert len(world.keys("/charge")) == 2 * RUNS + 1
    assert len({*world.keys("/confirm")}) == len(world.keys("/confirm")) == RUNS


async def _all_ended(designer: Designer) -> None:
    going = {"workflow": "order", "status": ["QUEUED", "RUNNING"]}
    async with asyncio.timeout(60):
        while (await designer.do(_COUNT, f=going))["runs"]["items"]:
            await asyncio.sleep(0.1)  # the reporter writes them down


async def _groups(designer: Designer) -> dict[str, Any]:
    return {one["group"]["code"]: one for one in (await designer.do(_GROUPS))["deadLetterGroups"]}


async def test_the_items_and_children_that_failed_go_on_and_the_others_stay_done(world: World) -> None:
    down = True

    async def charge(call: Call) -> web.StreamResponse:
        broken = down and orjson.loads(call.body)["n"] == 1
        return web.json_response({"ok": not broken}, status=503 if broken else 200)

    world.target.answers["/charge"] = charge
    charging = call("charge", input={"n": "{{ input.n }}"})
    await world.designer.publish({"workflow": "part", "steps": [call("reserve"), charging]})
    each = {
        "key": "each",
        "type": "workflow",
        "workflow": "part",
        "input": {"n": "{{ item }}"},
        "forEach": {"items": [0, 1, 2]},
    }
    await world.designer.publish({"workflow": "parts", "steps": [each, call("confirm")]})
    run = await world.designer.start("parts")
    assert (await world.designer.ended(run))["status"] == "FAILED"
    first = {*world.keys("/charge")}
    down = False
    again = await world.rerun(run)
    ended = await world.designer.ended(again)
    assert (ended["status"], len(world.keys("/reserve"))) == ("SUCCESS", 3)
    (key,) = [call.key for call in world.target.of("/charge") if orjson.loads(call.body)["n"] == 1][1:]
    assert (key in first, len(world.keys("/charge")), len(world.keys("/confirm"))) == (True, 4, 1)
    await world.designer.verified(again)
    # From a chosen step of a chosen child: it, and all that follows, under new keys.
    chosen = await world.rerun(again, steps=["each[2]/charge"])
    assert (await world.designer.ended(chosen))["status"] == "SUCCESS"
    assert [len(world.keys(path)) for path in ("/reserve", "/charge", "/confirm")] == [3, 5, 2]
    assert len({*world.keys("/charge")}) == 4
    await world.designer.verified(chosen)


async def test_what_was_taken_over_is_undone_in_its_order_when_the_rerun_fails(world: World) -> None:
    world.target.on("/confirm", 503)

    def undone(name: str) -> dict[str, Any]:
        return call(name, compensate={"action": f"shop/undo-{name}", "input": {"n": 1}})

    document = {"workflow": "undone", "steps": [undone("reserve"), undone("charge"), call("confirm")]}
    await world.designer.publish({**document, "compensateOn": ["cancel"]})
    run = await world.designer.start("undone")
    assert (await world.designer.ended(run))["status"] == "FAILED"
    assert world.keys("/undo-reserve") == []
    await world.designer.publish(document)
    again = await world.rerun(run, version=2)
    assert (await world.designer.ended(again))["status"] == "FAILED"
    assert [call.path for call in world.target.calls][-3:] == ["/confirm", "/undo-charge", "/undo-reserve"]
    assert world.keys("/confirm") == [f"{run}-confirm"] * 2
    for one in (run, again):
        await world.designer.verified(one)


async def test_a_loop_that_a_rerun_came_to_the_end_of_is_its_own_work(world: World) -> None:
    """Also where a re-run of that one takes it over."""
    broken = {"/reserve", "/confirm"}

    async def answer(call: Call) -> web.StreamResponse:
        fails = call.path in broken and orjson.loads(call.body)["n"] == 1
        return web.json_response({"ok": not fails}, status=503 if fails else 200)

    world.target.answers |= {"/reserve": answer, "/confirm": answer}
    each = call("reserve", input={"n": "{{ item }}"}, forEach={"items": [0, 1]})
    await world.designer.publish({"workflow": "twice", "steps": [each, call("confirm")]})
    runs = [await world.designer.start("twice")]
    for path in ("/reserve", "/confirm"):
        assert (await world.designer.ended(runs[-1]))["status"] == "FAILED"
        broken.discard(path)
        runs.append(await world.rerun(runs[-1]))
    assert (await world.designer.ended(runs[-1]))["status"] == "SUCCESS"
    assert len(world.keys("/reserve")) == 3
    for run in runs:
        await world.designer.verified(run)


async def test_the_items_that_were_undone_are_done_again(world: World) -> None:
    down = True

    async def confirm(call: Call) -> web.StreamResponse:
        return web.json_response({"ok": not down}, status=503 if down else 200)

    world.target.answers["/confirm"] = confirm
    undo = {"action": "shop/undo-reserve", "input": {"n": "{{ item }}"}}
    each = call("reserve", input={"n": "{{ item }}"}, forEach={"items": [0, 1]}, compensate=undo)
    await world.designer.publish({"workflow": "undone-items", "steps": [each, call("confirm")]})
    run = await world.designer.start("undone-items")
    ended = await world.designer.ended(run)
    assert (ended["status"], len(world.keys("/undo-reserve"))) == ("FAILED", 2)
    assert ended["steps"][0]["status"] == "COMPENSATED"
    down = False
    again = await world.rerun(run)
    assert (await world.designer.ended(again))["status"] == "SUCCESS"
    assert {*world.keys("/reserve")} == {f"{i}-reserve[{n}]" for i in (run, again) for n in (0, 1)}
    for one in (run, again):
        await world.designer.verified(one)


async def test_a_child_behind_a_step_that_was_undone_is_done_again_from_its_beginning(world: World) -> None:
    """What it did before it failed was made of a result that no longer holds."""
    down = True

    async def confirm(call: Call) -> web.StreamResponse:
        return web.json_response({"ok": not down}, status=503 if down else 200)

    world.target.answers["/confirm"] = confirm
    inner = {"key": "inner", "type": "workflow", "workflow": "label"}
    await world.designer.publish({"workflow": "label", "steps": [call("charge"), call("confirm")]})
    await world.designer.publish({"workflow": "shipping", "steps": [inner]})
    part = {"key": "part", "type": "workflow", "workflow": "shipping"}
    reserve = call("reserve", compensate={"action": "shop/undo-reserve", "input": {"n": 1}})
    await world.designer.publish({"workflow": "sold", "steps": [reserve, part]})
    run = await world.designer.start("sold")
    assert (await world.designer.ended(run))["status"] == "FAILED"
    assert len(world.keys("/undo-reserve")) == 1
    down = False
    again = await world.rerun(run)
    assert (await world.designer.ended(again))["status"] == "SUCCESS"
    assert len({*world.keys("/reserve")}) == len({*world.keys("/charge")}) == 2
    # It was not carried out, as far as is known: under its old key it is not carried out twice.
    assert (len(world.keys("/confirm")), len({*world.keys("/confirm")})) == (2, 1)
    for one in (run, again):
        await world.designer.verified(one)


async def test_a_child_is_undone_by_the_version_that_it_ran_on(world: World) -> None:
    """Another version of the parent may pin one of the child that has nothing to undo any more."""
    world.target.on("/confirm", 503)
    reserve = call("reserve", compensate={"action": "shop/undo-reserve", "input": {"n": 1}})
    await world.designer.publish({"workflow": "kept-part", "steps": [reserve]})
    document = {
        "workflow": "whole",
        "steps": [{"key": "part", "type": "workflow", "workflow": "kept-part"}, call("confirm")],
    }
    await world.designer.publish({**document, "compensateOn": ["cancel"]})
    run = await world.designer.start("whole")
    assert (await world.designer.ended(run))["status"] == "FAILED"
    await world.designer.publish({"workflow": "kept-part", "steps": [call("charge")]})
    await world.designer.publish(document)
    again = await world.rerun(run, version=2)
    assert (await world.designer.ended(again))["status"] == "FAILED"
    assert [call.path for call in world.target.calls] == ["/reserve", "/confirm", "/confirm", "/undo-reserve"]
    await world.designer.verified(again)


async def test_what_undoes_the_items_of_a_childs_loop_shows_them(world: World) -> None:
    """The loop's row is the child's. In doubt, or failed, an item's undo has to be found by a person."""
    world.target.on("/confirm", 503)
    undo = {"action": "shop/undo-reserve", "input": {"n": 1}}
    await world.designer.publish(
        {"workflow": "loop-part", "steps": [call("reserve", forEach={"items": [1, 2]}, compensate=undo)]}
    )
    part = {"key": "part", "type": "workflow", "workflow": "loop-part"}
    await world.designer.publish({"workflow": "loop-in-child", "steps": [part, call("confirm")]})
    run = await world.designer.start("loop-in-child")
    assert (await world.designer.ended(run))["status"] == "FAILED"
    _, undoing = sorted(await children_of(world.designer, run), key=lambda child: child.id)
    found = (await world.designer.do(_ITEMS, id=undoing.id))["run"]
    assert [(s["key"], [i["key"] for i in s["items"]["items"]]) for s in found["steps"]] == [
        ("reserve", ["reserve[0].undo", "reserve[1].undo"])
    ]
    await world.designer.verified(run)


async def test_what_could_not_be_undone_in_a_child_is_undone_once(world: World) -> None:
    """It is given up twice, by the run that should have undone the child and by the parent, and both are replayed."""
    run, letters = await child_not_undone(world, "left-child")
    world.target.hold("/undo-reserve")
    own = await world.designer.mutate(_REPLAY, id=letters["reserve.undo"])
    await world.target.called("/undo-reserve", 2)
    busy = (await world.designer.do(_REPLAY + _FAILED, id=letters["part.undo"]))["replayDeadLetter"]
    assert (busy["code"], own["id"] in busy["message"]) == ("CONFLICT", True)
    world.target.release("/undo-reserve")
    assert (await world.designer.ended(own["id"]))["status"] == "SUCCESS"
    rest = await world.designer.mutate(_REPLAY, id=letters["part.undo"])
    assert (await world.designer.ended(rest["id"]))["status"] == "SUCCESS"
    assert len(world.keys("/undo-reserve")) == 2
    assert {s["key"]: s["status"] for s in (await world.designer.run(run))["steps"]}["part"] == "COMPENSATED"
    await world.designer.verified(run)


async def test_a_childs_undo_keeps_its_key_when_the_parents_is_replayed(world: World) -> None:
    run, letters = await child_not_undone(world, "kept-child-key")
    rest = await world.designer.mutate(_REPLAY, id=letters["part.undo"])
    assert (await world.designer.ended(rest["id"]))["status"] == "SUCCESS"
    assert len(world.keys("/undo-reserve")) == 2
    assert len({*world.keys("/undo-reserve")}) == 1
    await world.designer.verified(run)


async def test_a_childs_undo_keeps_its_key_when_a_rerun_tries_it(world: World) -> None:
    run, _ = await child_not_undone(world, "tried-by-rerun")
    again = await world.rerun(run)
    assert (await world.designer.ended(again))["error"]["code"] == "HTTP_503"
    assert len(world.keys("/undo-reserve")) == 2
    assert len({*world.keys("/undo-reserve")}) == 1
    await world.designer.verified(again)


async def test_what_a_rerun_took_over_from_a_child_is_not_undone_behind_it(world: World) -> None:
    run, letters = await child_not_undone(world, "taken-child")
    world.target.on("/confirm", 200)
    assert (await world.designer.ended(again := await world.rerun(run)))["status"] == "SUCCESS"
    assert len(world.keys("/reserve")) == 1
    late = (await world.designer.do(_REPLAY + _FAILED, id=letters["reserve.undo"]))["replayDeadLetter"]
    assert (late["code"], again in late["message"]) == ("CONFLICT", True)


async def child_not_undone(world: World, name: str) -> tuple[str, dict[str, str]]:
    """A run that failed behind its child, whose only step could not be undone; and the dead letters of that by their
    steps. From now on it can be undone."""
    world.target.on("/confirm", 503)
    world.target.on("/undo-reserve", 422)
    reserve = call("reserve", compensate={"action": "shop/undo-reserve", "input": {"n": 1}})
    await world.designer.publish({"workflow": f"{name}-part", "steps": [reserve]})
    part = {"key": "part", "type": "workflow", "workflow": f"{name}-part"}
    await world.designer.publish({"workflow": name, "steps": [part, call("confirm")]})
    run = await world.designer.start(name)
    assert (await world.designer.ended(run))["error"]["code"] == "COMPENSATION_FAILED"
    world.target.on("/undo-reserve", 200)
    found = []
    for workflow in (name, f"{name}-part"):
        page = await world.designer.do(_LETTERS, workflow=workflow)
        found += page["deadLetters"]["items"]
    return run, {letter["step"]: letter["id"] for letter in found if letter["step"].endswith(".undo")}


async def test_a_run_in_flight_goes_on_by_the_version_that_it_was_moved_to(world: World) -> None:
    designer = world.designer
    wait = {"key": "wait", "type": "signal", "signal": {"name": "go"}}
    document = {"workflow": "moved", "steps": [call("reserve"), wait, call("charge", input={"n": 1})]}
    await designer.publish(document)
    moved, left = await designer.start("moved"), await designer.start("moved")
    for run in (moved, left):
        await designer.ended(run, wanted={"WAITING"})
    await designer.publish(
        {**document, "steps": [*document["steps"][:2], call("charge", input={"n": 2}), call("confirm")]}
    )
    done = await designer.mutate(_MOVE, ids=[moved])
    assert done["items"] == [{"ok": "Run", "version": {"number": 2}}]
    for run in (moved, left):
        await designer.signal(run, "go")
        assert (await designer.ended(run))["status"] == "SUCCESS"
        await designer.verified(run)
    assert len(world.keys("/reserve")) == 2
    charged = {call.key: orjson.loads(call.body)["n"] for call in world.target.of("/charge")}
    assert charged == {f"{moved}-charge": 2, f"{left}-charge": 1}
    assert world.keys("/confirm") == [f"{moved}-confirm"]
