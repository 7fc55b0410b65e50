"""Runs in flight that are moved to another version: checked before, shown, recorded."""

from typing import Any
from uuid import UUID

from tests.integration.control_plane_runs.acting import (
    FAILURE,
    Client,
    Fleet,
    deprecate,
    orders,
    publish,
    started,
)
from tests.integration.control_plane_runs.audit_examples import mutate
from tests.integration.control_plane_runs.commanding import headrace
from tests.integration.control_plane_runs.stopping import ask, cancel

_PREVIEW = """query($r: ID!, $v: Int!) { movePreview(run: $r, version: $v) { fits held problems { path message }
  steps { key fate } diff { changes { path kind } } fromVersion { number } toVersion { number } } }"""
_MOVES = """query($r: ID!) { runMoves(run: $r) { at note epoch seq actor { kind } fromVersion { number }
  toVersion { number } } }"""
_ITEMS = (
    "... on MovedRuns { items { __typename ... on Run { id status version { number } } " + FAILURE + " } }"
)

WAIT = {"key": "wait", "type": "signal", "signal": {"name": "go"}}
FETCH, REFUND = orders()["steps"]
FIRST = orders(workflow="orders", steps=[FETCH, WAIT, REFUND])
MENDED = orders(
    workflow="orders", steps=[FETCH, WAIT, {**REFUND, "input": {"amount": 4}}, {**REFUND, "key": "more"}]
)
OTHER = orders(workflow="orders", steps=[{**WAIT, "signal": {"name": "come"}}], result=None)


async def move(client: Client, *runs: str, version: int = 2, **given: Any) -> list[Any]:
    done = await mutate(client, "moveRuns", {"ids": [*runs], "version": version, **given}, _ITEMS)
    assert done["__typename"] == "MovedRuns", done
    return list(done["items"])


async def parked(client: Client, fleet: Fleet, key: str = "wait") -> str:
    """A run that has fetched, and waits for a signal."""
    run = await started(client)
    await fleet.claim(run)
    done = {"status": "SUCCESS", "output": {"body": 1}}
    waits = {"wait": {"kind": "SIGNAL", "name": "go"}}
    await fleet.apply(
        run, ("completed", "fetch", done), ("waiting", key, waits), ("parked", None, {"reason": "SIGNAL"})
    )
    return run


async def test_a_parked_run_goes_on_by_the_other_version(acme: Client, fleet: Fleet) -> None:
    await publish(acme, FIRST)
    run = await parked(acme, fleet)
    await publish(acme, MENDED)
    shown = await acme(_PREVIEW, r=run, v=2)
    assert (shown["fits"], shown["held"], shown["problems"]) == (True, False, [])
    assert {one["key"]: one["fate"] for one in shown["steps"]} == {
        "fetch": "DONE",
        "wait": "UNDER_WAY",
        "refund": "AHEAD",
        "more": "NEW",
    }
    assert {(one["path"], one["kind"]) for one in shown["diff"]["changes"]} >= {
        ("steps.more", "ADDED"),
        ("steps.refund.input.amount", "CHANGED"),
    }
    assert (shown["fromVersion"], shown["toVersion"]) == ({"number": 1}, {"number": 2})
    before = await acme("query($r: ID!) { run(id: $r) { events { items { epoch seq kind } } } }", r=run)
    (moved,) = await move(acme, run, note="it paid too little")
    assert (moved["status"], moved["version"]) == ("WAITING", {"number": 2})
    # Whoever claims it next decides by the version that it has now, in the same run, and at once.
    assert await fleet.dispatches(run) == [(True, False, True)]
    assert (
        await acme("query($r: ID!) { run(id: $r) { events { items { epoch seq kind } } } }", r=run) == before
    )
    (kept,) = await acme(_MOVES, r=run)
    assert (kept["note"], kept["actor"]["kind"]) == ("it paid too little", "API_KEY")
    assert (kept["fromVersion"]["number"], kept["toVersion"]["number"]) == (1, 2)
    last = before["events"]["items"][-1]
    assert (kept["epoch"], kept["seq"]) == (last["epoch"], last["seq"])
    # The same once more is nothing; and there is a way back.
    assert (await move(acme, run))[0]["version"] == {"number": 2}
    assert (await move(acme, run, version=1))[0]["version"] == {"number": 1}
    assert len(await acme(_MOVES, r=run)) == 2


async def test_a_run_that_is_held_is_paused_first(acme: Client, fleet: Fleet) -> None:
    await publish(acme, FIRST)
    run = await started(acme)
    await publish(acme, MENDED)
    await fleet.claim(run)
    (refused,) = await move(acme, run)
    assert refused["code"] == "CONFLICT"
    assert "pause it" in refused["message"]
    assert (await acme(_PREVIEW, r=run, v=2))["held"]
    await ask(acme, "pauseRun", run)
    await fleet.apply(run, ("parked", None, {"reason": "PAUSED"}))
    (moved,) = await move(acme, run)
    assert (moved["status"], moved["version"]) == ("PAUSED", {"number": 2})
    assert await fleet.dispatches(run) == []
    await ask(acme, "resumeRun", run)
    assert await fleet.dispatches(run) == [(True, False, True)]


async def test_a_failure_that_was_dealt_with_has_to_stay_so(acme: Client, fleet: Fleet) -> None:
    def version(code: str) -> dict[str, Any]:
        when = {"field": "error.code", "operator": "eq", "value": code}
        edges = [{"from": "fetch", "to": "wait", "on": "error", "when": when}, {"from": "more", "to": "wait"}]
        steps = [FETCH, WAIT, {**FETCH, "key": "more"}]
        return orders(workflow="orders", steps=steps, edges=edges, result=None)

    await publish(acme, version("HTTP_404"))
    run = await started(acme)
    await fleet.claim(run)
    said = {"status": "FAILED", "error": {"code": "HTTP_404", "message": "it says no"}}
    await fleet.apply(run, ("completed", "fetch", said), ("parked", None, {"reason": "PAUSED"}))
    for number, code, problems in ((2, "HTTP_500", ["steps.fetch"]), (3, "HTTP_404", [])):
        await publish(acme, version(code))
        preview = await acme(_PREVIEW, r=run, v=number)
        assert [one["path"] for one in preview["problems"]] == problems


async def test_a_late_word_of_an_earlier_holder_changes_nothing(acme: Client, fleet: Fleet) -> None:
    await publish(acme, FIRST)
    run = await parked(acme, fleet)
    await publish(acme, MENDED)
    await move(acme, run)
    row = await fleet.admin.fetchrow("SELECT epoch, claimed_by FROM runs WHERE id = $1", UUID(run))
    assert row is not None
    assert row["claimed_by"] is None
    await fleet.claim(run)
    await fleet.apply(run, ("claimed", None, {}))
    state = "SELECT status, version_id, fence_epoch, fence_seq FROM runs WHERE id = $1"
    before = await fleet.admin.fetchrow(state, UUID(run))
    # As a holder of the epoch before would tell it, that was stalled since.
    await fleet.admin.execute("UPDATE runs SET epoch = epoch - 1 WHERE id = $1", UUID(run))
    await fleet.apply(run, ("completed", "refund", {"status": "SUCCESS", "output": {}}))
    await fleet.admin.execute("UPDATE runs SET epoch = epoch + 1 WHERE id = $1", UUID(run))
    assert await fleet.admin.fetchrow(state, UUID(run)) == before
    steps = (await acme("query($r: ID!) { run(id: $r) { steps { key status } } }", r=run))["steps"]
    assert "refund" not in {one["key"] for one in steps if one["status"] == "SUCCESS"}


async def test_each_run_is_answered_by_itself(acme: Client, stranger: Client, fleet: Fleet) -> None:
    await publish(acme, FIRST)
    waiting, queued, ended, canceled = [await parked(acme, fleet), *[await started(acme) for _ in range(3)]]
    await fleet.claim(ended)
    await fleet.finish(ended)
    await cancel(acme, canceled)
    await publish(acme, OTHER)
    answers = await move(acme, waiting, queued, ended, canceled)
    assert [one["__typename"] for one in answers] == ["InvalidInput", "Run", "Conflict", "Conflict"]
    assert {one["path"] for one in answers[0]["problems"]} == {"steps.fetch", "steps.wait"}
    preview = await acme(_PREVIEW, r=waiting, v=2)
    assert {one["path"] for one in preview["problems"]} == {"steps.fetch", "steps.wait"}
    assert not preview["fits"]
    assert [one["__typename"] for one in await move(stranger, waiting)] == ["NotFound"]
    assert [one["__typename"] for one in await move(acme, "no id", queued)] == ["NotFound", "Run"]
    assert await acme(_MOVES, r="no id") is None
    assert await stranger(_MOVES, r=waiting) is None
    assert [one["__typename"] for one in await move(acme, waiting, version=9)] == ["NotFound"]
    version = (await publish(acme, MENDED))["version"]
    await deprecate(acme, version["id"])
    assert [one["__typename"] for one in await move(acme, waiting, version=3)] == ["Conflict"]
    await fleet.admin.execute("UPDATE runs SET wait_reason = 'DEAD_LETTER' WHERE id = $1", UUID(waiting))
    assert [one["__typename"] for one in await move(acme, waiting)] == ["Conflict"]
    await fleet.admin.execute(
        "UPDATE runs SET wait_reason = 'SIGNAL', parent_run_id = $2, parent_step = 'ship' WHERE id = $1",
        UUID(waiting),
        UUID(ended),
    )
    assert "step ship" in (await move(acme, waiting))[0]["message"]
    many = await mutate(acme, "moveRuns", {"ids": [waiting] * 201, "version": 2})
    assert many["code"] == "LIMIT_EXCEEDED"


async def test_the_input_has_to_fit_the_other_parameters(acme: Client, fleet: Fleet) -> None:
    await publish(acme, FIRST)
    run = await parked(acme, fleet)
    parameters = FIRST["parameters"]
    stricter = {**parameters, "required": ["order", "amount"]}
    sealed = {
        **parameters,
        "properties": {**parameters["properties"], "pin": {"type": "string", "x-sensitive": True}},
    }
    wider = {**parameters, "additionalProperties": True}
    for other in (stricter, sealed, wider):
        await publish(acme, {**FIRST, "parameters": other})
    answers = [(await move(acme, run, version=number))[0] for number in (2, 3, 4)]
    assert [one["__typename"] for one in answers] == ["InvalidInput", "InvalidInput", "Run"]
    assert [answers[n]["problems"][0]["path"] for n in (0, 1)] == ["input.amount", "parameters"]


async def test_by_command(acme: Client, fleet: Fleet) -> None:
    await publish(acme, FIRST)
    run, held = await parked(acme, fleet), await started(acme)
    await fleet.claim(held)
    await publish(acme, MENDED)
    shown = await headrace(acme, "run", "move", run, "--to", "2", "--preview")
    assert (shown["fits"], len(shown["steps"])) == (True, 4)
    moved = await headrace(acme, "run", "move", run, held, "--to", "2", "--note", "mended", code=1)
    assert [(one["run"], one["moved"]) for one in moved["runs"]] == [(run, True), (held, False)]
    (kept,) = await headrace(acme, "run", "moves", run)
    assert kept["note"] == "mended"
