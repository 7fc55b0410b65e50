"""What undoes a step sees what the step saw: whoever undoes it, by whichever version, with whatever input by now."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from fleet import Fleet
from target import Call

from tests.e2e.rerunning import World, call, opened_world

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # What is undone lies in Postgres; the bus has no part in it.
    pytest.mark.parametrize("module_fleet", ["embedded"], indirect=True, scope="module"),
]

_MOVE = """mutation ($ids: [ID!]!) { moveRuns(ids: $ids, version: 2) { ok: __typename
  ... on MovedRuns { items { ok: __typename ...Failed ... on InvalidInput { problems { path message mend } } } }
  ...Failed } }"""
_LETTERS = '{ deadLetters(filter: {workflow: "edited"}) { items { id group { source } } } }'
_REPLAY = (
    """mutation ($id: ID!) { replayDeadLetter(id: $id) { ok: __typename ... on Run { id } ...Failed } }"""
)
_PROBLEMS = """mutation ($run: ID!, $how: RerunInput) { rerunRun(run: $run, how: $how) { ok: __typename
  ... on InvalidInput { problems { path message mend } } } }"""

ANOTHER_LIST = "it is done, and what undoes its items would see another list in the version"
# What a run is called and when it began, as its steps say it to their targets.
RUN = {"id": "{{ run.id }}", "at": "{{ run.startedAt }}"}
WAIT = {"key": "wait", "type": "signal", "signal": {"name": "go"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(module_fleet: Fleet) -> AsyncIterator[World]:
    async with opened_world(module_fleet) as world:
        yield world


@pytest.fixture
def world(deployed: World) -> World:
    deployed.target.calls.clear()
    deployed.target.answers.clear()
    return deployed


def undone(name: str, given: Any, **more: Any) -> dict[str, Any]:
    """A step whose undoing says the very same to its target as the step."""
    return call(name, input=given, compensate={"action": f"shop/undo-{name}", "input": given}, **more)


def each(items: str = "{{ input.lines }}") -> dict[str, Any]:
    given = {"n": "{{ item }}", "of": "{{ index }}", "amount": "{{ input.amount }}", "run": RUN}
    return undone("charge", given, forEach={"items": items})


def done_and_undone(world: World) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was said when each row was done, and when it was undone."""
    did = {row: said for path in ("/reserve", "/charge") for row, said in world.called(path)}
    return did, {row.removesuffix(".undo"): said for row, said in world.called("/undo-")}


async def test_a_rerun_undoes_with_what_each_run_was_given(world: World) -> None:
    """Three runs, each with an edited input, of which each has done a part; the compensations fail once, too."""
    world.target.on("/charge", 503)
    world.target.on("/confirm", 503)
    steps = [undone("reserve", {"amount": "{{ input.amount }}", "run": RUN}), each(), call("confirm")]
    document = {"workflow": "edited", "steps": steps}
    await world.designer.publish({**document, "compensateOn": ["cancel"]})
    first = await world.designer.start("edited", amount=10, lines=["a", "b", "c"])
    assert (await world.designer.ended(first))["status"] == "FAILED"
    world.target.on("/charge", 200)
    world.target.calls[:] = world.target.of("/reserve")
    second = await world.rerun(first, patch={"amount": 5, "lines": ["x", "y"]}, steps=["charge"])
    assert (await world.designer.ended(second))["status"] == "FAILED"
    await world.designer.publish(document)
    world.target.on("/undo-reserve", 503)
    third = await world.rerun(second, version=2, patch={"amount": 3, "lines": ["z"]})
    assert (await world.designer.ended(third))["error"]["code"] == "COMPENSATION_FAILED"
    did, undid = done_and_undone(world)
    assert undid == did
    assert [(row, said["amount"]) for row, said in did.items()] == [
        ("reserve", 10),
        ("charge[0]", 5),
        ("charge[1]", 5),
    ]
    assert [row for row, _ in world.called("/undo-")] == ["charge[1].undo", "charge[0].undo", "reserve.undo"]
    assert [said["run"]["id"] for said in undid.values()] == [second, second, first]
    # What is left is undone by a run of its own: under the same key, and so with the same words.
    world.target.on("/undo-reserve", 200)
    letters = (await world.designer.do(_LETTERS))["deadLetters"]["items"]
    (letter,) = [one["id"] for one in letters if one["group"]["source"] == "COMPENSATION"]
    replayed = (await world.designer.mutate(_REPLAY, id=letter))["id"]
    assert (await world.designer.ended(replayed))["status"] == "SUCCESS"
    refused, undoing = world.target.of("/undo-reserve")
    assert (undoing.key, undoing.body) == (refused.key, refused.body)
    for run in (third, replayed):
        await world.designer.verified(run)


async def test_one_version_and_a_cancel_undo_with_the_old_input_as_well(world: World) -> None:
    world.target.on("/confirm", 503)
    steps = [each(), call("confirm"), WAIT]
    document = {"workflow": "canceled", "steps": steps, "compensateOn": ["cancel"]}
    await world.designer.publish(document)
    run = await world.designer.start("canceled", amount=10, lines=["a", "b"])
    assert (await world.designer.ended(run))["status"] == "FAILED"
    world.target.on("/confirm", 200)
    again = await world.rerun(run, patch={"amount": 5, "lines": ["x"]})
    await world.designer.ended(again, wanted={"WAITING"})
    await world.designer.cancel(again)
    assert (await world.designer.ended(again))["status"] == "CANCELED"
    did, undid = done_and_undone(world)
    assert undid == did
    assert [said["n"] for said in did.values()] == ["a", "b"]


async def test_another_list_is_no_list_to_undo_by(world: World) -> None:
    designer = world.designer
    document = {"workflow": "listed", "steps": [each(), WAIT, call("confirm")]}
    await designer.publish(document)
    run = await designer.start("listed", lines=["b", "a"], amount=1)
    await designer.ended(run, wanted={"WAITING"})
    await designer.publish({**document, "steps": [each("{{ input.lines | sort }}"), WAIT, call("confirm")]})
    (moved,) = (await designer.mutate(_MOVE, ids=[run]))["items"]
    assert [(one["path"], one["message"]) for one in moved["problems"]] == [("steps.charge", ANOTHER_LIST)]
    world.target.on("/confirm", 503)
    await designer.signal(run, "go")
    assert (await designer.ended(run))["status"] == "FAILED"
    did, undid = done_and_undone(world)
    assert (undid == did, [said["n"] for said in did.values()]) == (True, ["b", "a"])


async def test_another_list_is_taken_over_by_no_rerun(world: World) -> None:
    designer = world.designer
    world.target.on("/confirm", 503)
    document = {"workflow": "relisted", "compensateOn": ["cancel"]}
    await designer.publish({**document, "steps": [each(), call("confirm")]})
    run = await designer.start("relisted", lines=["b", "a"], amount=1)
    await designer.ended(run)
    await designer.publish({**document, "steps": [each("{{ input.lines | sort }}"), call("confirm")]})
    told = (await designer.do(_PROBLEMS, run=run, how={"version": 2}))["rerunRun"]
    assert [(one["path"], one["message"]) for one in told["problems"]] == [("steps.charge", ANOTHER_LIST)]


async def test_what_a_child_did_is_undone_as_it_was_done(world: World) -> None:
    """The child of a re-run that failed later has taken over what the child of the first run did."""
    designer = world.designer
    world.target.on("/charge", 503)
    reserve = undone("reserve", {"amount": "{{ input.amount }}", "run": RUN})
    charge = undone("charge", {"amount": "{{ input.amount }}", "run": RUN})
    await designer.publish({"workflow": "inner", "compensateOn": ["cancel"], "steps": [reserve, charge]})
    part = {"key": "part", "type": "workflow", "workflow": "inner", "input": {"amount": "{{ input.amount }}"}}
    await designer.publish(
        {"workflow": "outer", "steps": [part, call("confirm")], "compensateOn": ["failure"]}
    )
    run = await designer.start("outer", amount=10)
    assert (await designer.ended(run))["status"] == "FAILED"
    world.target.on("/charge", 200)
    world.target.on("/confirm", 503)
    world.target.calls[:] = world.target.of("/reserve")
    again = await world.rerun(run, patch={"amount": 5})
    assert (await designer.ended(again))["status"] == "FAILED"
    did, undid = done_and_undone(world)
    assert undid == did
    assert {row: said["amount"] for row, said in did.items()} == {"reserve": 10, "charge": 5}
    await designer.verified(again)


_LETTERS_OF = """query ($run: ID!) { run(id: $run) { children { items { id } } }
  deadLetters(filter: {status: OPEN}) { items { id step run { id } } } }"""
_REFUSED = "mutation ($run: ID!) { rerunRun(run: $run) { ok: __typename ... on Failure { message } } }"
_ANSWERED = (
    """mutation ($id: ID!) { replayDeadLetter(id: $id) { ok: __typename ... on Failure { message } } }"""
)


async def test_a_rerun_does_again_what_was_undone_of_a_loop(world: World) -> None:
    world.target.on("/confirm", 503)
    await world.designer.publish({"workflow": "looped", "steps": [each(), call("confirm")]})
    run = await world.designer.start("looped", amount=1, lines=["a", "b"])
    assert (await world.designer.ended(run))["status"] == "FAILED"
    world.target.on("/confirm", 200)
    again = await world.rerun(run)
    assert (await world.designer.ended(again))["status"] == "SUCCESS"
    assert [said["n"] for _, said in world.called("/charge")] == ["a", "b"] * 2
    assert len({*world.keys("/charge")}) == 4


async def test_what_could_not_be_undone_of_a_child_stays_done_and_the_rest_is_done_again(
    world: World,
) -> None:
    """And whoever goes on from the run counts on what the child has kept: it is not undone any more."""
    designer = world.designer
    for path in ("/confirm", "/undo-reserve"):
        world.target.on(path, 503)
    await designer.publish({"workflow": "parted", "steps": [undone("reserve", {}), undone("charge", {})]})
    part = {"key": "part", "type": "workflow", "workflow": "parted"}
    await designer.publish({"workflow": "of-parts", "steps": [part, call("confirm")]})
    run = await designer.start("of-parts")
    assert (await designer.ended(run))["error"]["code"] == "COMPENSATION_FAILED"
    world.target.on("/confirm", 200)
    again = await world.rerun(run)
    assert (await designer.ended(again))["status"] == "SUCCESS"
    assert [len(world.keys(path)) for path in ("/reserve", "/charge", "/undo-charge")] == [1, 2, 1]
    await designer.verified(again)
    found = await designer.do(_LETTERS_OF, run=run)
    children = {one["id"] for one in found["run"]["children"]["items"]}
    (letter,) = [one["id"] for one in found["deadLetters"]["items"] if one["run"]["id"] in children]
    world.target.on("/undo-reserve", 200)
    told = (await designer.do(_ANSWERED, id=letter))["replayDeadLetter"]
    assert (told["ok"], told["message"].split(" goes on ")[0]) == ("Conflict", f"run {again}")


async def test_a_rerun_waits_for_who_undoes_what_is_left_of_a_child(world: World) -> None:
    designer, asked, let_go = world.designer, asyncio.Event(), asyncio.Event()
    for path in ("/confirm", "/undo-reserve"):
        world.target.on(path, 503)
    await designer.publish({"workflow": "kept", "steps": [undone("reserve", {})]})
    part = {"key": "part", "type": "workflow", "workflow": "kept"}
    await designer.publish({"workflow": "of-kept", "steps": [part, call("confirm")]})
    run = await designer.start("of-kept")
    assert (await designer.ended(run))["status"] == "FAILED"

    async def held(_: Call) -> web.StreamResponse:
        asked.set()
        await let_go.wait()
        return web.json_response({})

    world.target.answers["/undo-reserve"] = held
    found = await designer.do(_LETTERS_OF, run=run)
    children = {one["id"] for one in found["run"]["children"]["items"]}
    (letter,) = [one["id"] for one in found["deadLetters"]["items"] if one["run"]["id"] in children]
    (above,) = [
        one["id"]
        for one in found["deadLetters"]["items"]
        if one["step"] == "part.undo" and one["run"]["id"] == run
    ]
    undoing = (await designer.mutate(_REPLAY, id=letter))["id"]
    await asked.wait()
    told = (await designer.do(_REFUSED, run=run))["rerunRun"]
    assert (told["ok"], told["message"].split(" goes on ")[0]) == ("Conflict", f"run {undoing}")
    told = (await designer.do(_ANSWERED, id=above))["replayDeadLetter"]
    assert (told["ok"], told["message"].split(" goes on ")[0]) == ("Conflict", f"run {undoing}")
    let_go.set()
    assert (await designer.ended(undoing))["status"] == "SUCCESS"
    world.target.on("/confirm", 200)
    assert (await designer.ended(await world.rerun(run)))["status"] == "SUCCESS"
    assert len(world.keys("/reserve")) == 2


async def test_a_named_loop_begins_its_children_anew(world: World) -> None:
    """What a child has done was for another element."""
    designer = world.designer
    world.target.on("/charge", 503)
    reserve = call("reserve", input={"for": "{{ input.of }}"})
    inner = {"workflow": "of-one", "parameters": {"type": "object", "properties": {"of": {}}}}
    await designer.publish({**inner, "steps": [reserve, call("charge")]})
    loop = {"key": "each", "type": "workflow", "workflow": "of-one", "input": {"of": "{{ item }}"}}
    await designer.publish(
        {"workflow": "of-each", "steps": [{**loop, "forEach": {"items": "{{ input.of }}"}}]}
    )
    run = await designer.start("of-each", of=["a"])
    assert (await designer.ended(run))["status"] == "FAILED"
    world.target.on("/charge", 200)
    again = await world.rerun(run, steps=["each"], patch={"of": ["b"]})
    assert (await designer.ended(again))["status"] == "SUCCESS"
    assert [said["for"] for _, said in world.called("/reserve")] == ["a", "b"]


async def test_an_item_that_failed_ends_the_run_whatever_the_others_wait_for(world: World) -> None:
    """Their runs are asked to cancel, and undo what they did."""
    designer = world.designer
    inner = {"workflow": "waits", "parameters": {"type": "object", "properties": {"fails": {}}}}
    edges = [
        {"from": "reserve", "to": "charge", "when": "{{ input.fails }}"},
        {"from": "reserve", "to": "wait", "when": "{{ not input.fails }}"},
    ]
    await designer.publish({**inner, "steps": [undone("reserve", {}), call("charge"), WAIT], "edges": edges})
    loop = {"key": "each", "type": "workflow", "workflow": "waits", "forEach": {"items": [False, True]}}
    await designer.publish(
        {"workflow": "waiting", "steps": [{**loop, "input": {"fails": "{{ item }}"}}, call("confirm")]}
    )
    world.target.on("/charge", 422)
    run = await designer.start("waiting")
    assert (await designer.ended(run))["error"]["code"] == "HTTP_422"
    assert sorted(world.keys("/undo-reserve")) == sorted(f"{key}.undo" for key in world.keys("/reserve"))
    await designer.verified(run)
