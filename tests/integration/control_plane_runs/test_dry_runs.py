"""Dry runs over the real schema: who gets them, what is kept of them, what is refused."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from headrace.errors import NotFound
from headrace_cli.main import app
from headrace_control.internal_api.dry_run_reports import DryRunReport
from pydantic import ValidationError
from typer.testing import CliRunner

from tests.integration.control_plane_runs.acting import (
    FAILURE,
    Client,
    Fleet,
    deprecate,
    orders,
    publish,
    save_draft,
    started,
    with_role,
)
from tests.integration.control_plane_runs.commanding import headrace
from tests.integration.control_plane_runs.rerunning import RERUN, call, completed, end, failed, three_steps
from tests.integration.control_plane_runs.walking import Walkers, walkers

START = (
    "mutation($how: DryRunInput!) { startDryRun(how: $how) { __typename ... on DryRun { id status version } "
    + FAILURE
    + "} }"
)
READ = """query($id: ID!) { dryRun(id: $id) { status failure { code message } report { status result
    steps { path status answeredBy requests output error { code } }
    problems { path code } changes { path change } } } }"""
ANSWERS = {"fetch": {"body": {"n": 1}}, "refund": {"body": {"id": "r"}}}
EMPTY = DryRunReport.model_validate({"status": "SUCCESS", "endedAt": "2026-11-01T00:00:00Z"})
GIVEN = {"workflow": "orders", "input": {"order": "17"}, "responses": ANSWERS}


def test_of_a_report_is_kept_what_can_be_stored() -> None:
    told = {"status": "SUCCESS", "endedAt": "2026-11-01T00:00:00Z", "result": {"n\ud800": 2**80, "t": "\0"}}
    assert DryRunReport.model_validate(told).as_json()["result"] == {"n\ufffd": str(2**80), "t": "\ufffd"}
    for missing in ({"status": "SUCCESS"}, {"endedAt": "2026-11-01T00:00:00Z"}, {**told, "steps": [{}]}):
        with pytest.raises(ValidationError):
            DryRunReport.model_validate(missing)


@pytest.fixture
async def fleet_of_walkers(database: str, master_key: bytes) -> AsyncIterator[Walkers]:
    async with walkers(database, master_key) as found:
        yield found


async def test_two_planes_hand_each_one_out_once(acme: Client, fleet_of_walkers: Walkers) -> None:
    await publish(acme, orders())
    ids = [(await acme(START, how=GIVEN))["id"] for _ in range(6)]
    await fleet_of_walkers.walk_all()
    assert sorted(fleet_of_walkers.taken) == sorted(ids)
    for one in ids:
        found = await acme(READ, id=one)
        assert (found["status"], found["report"]["status"]) == ("DONE", "SUCCESS")


@pytest.mark.parametrize(
    ("deletion", "code"),
    [
        ('deleteSecret(name: "token")', "SECRET_MISSING"),
        ('deleteConnection(name: "shop-main")', "CONNECTION_MISSING"),
    ],
)
async def test_what_was_deleted_is_missing_in_a_walk_as_in_a_run(
    acme: Client, fleet_of_walkers: Walkers, deletion: str, code: str
) -> None:
    step = call("a", input={"order": "{{ env.NOTIFY }}"})
    made = await publish(acme, orders(env={"NOTIFY": {"secret": "token"}}, steps=[step], result=None))
    wish = {"workflow": "orders", "version": 1, "input": {"order": "17"}, "responses": {"a": {"body": {}}}}
    await deprecate(acme, made["version"]["id"])
    found = []
    for gone in (False, True):
        if gone:
            assert (await acme(f"mutation {{ {deletion} {{ __typename }} }}"))["__typename"] == "Deleted"
        dry_run = (await acme(START, how=wish))["id"]
        await fleet_of_walkers.walk_all()
        report = (await acme(READ, id=dry_run))["report"]
        found.append((report["status"], [one["error"] and one["error"]["code"] for one in report["steps"]]))
    assert found == [("SUCCESS", [None]), ("FAILED", [code])]


async def test_one_whose_runner_died_is_given_to_another_and_not_for_ever(
    acme: Client, fleet_of_walkers: Walkers, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    dry_run = (await acme(START, how=GIVEN))["id"]
    plane, other = fleet_of_walkers.planes
    for _ in range(3):
        taken = await plane.take()
        assert taken is not None
        assert await other.take() is None
        await admin.execute("UPDATE dry_runs SET taken_until = headrace_now() - interval '1 second'")
    assert await other.take() is None
    assert (await acme(READ, id=dry_run))["failure"]["code"] == "NO_PROGRESS"
    with pytest.raises(NotFound):
        await plane.report(UUID(dry_run), taken["token"], EMPTY)


async def test_only_its_own_runner_tells_of_it(acme: Client, fleet_of_walkers: Walkers) -> None:
    await publish(acme, orders())
    dry_run = UUID((await acme(START, how=GIVEN))["id"])
    plane = fleet_of_walkers.planes[0]
    await plane.take()
    with pytest.raises(NotFound):
        await plane.report(dry_run, "another-token", EMPTY)


async def test_what_it_is_given_is_sealed_and_holds_no_secret(
    acme: Client, stranger: Client, fleet_of_walkers: Walkers, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    dry_run = (await acme(START, how={**GIVEN, "input": {"order": "a-private-order"}}))["id"]
    stored = await admin.fetchval("SELECT dry_runs::text FROM dry_runs")
    assert "a-private-order" not in stored
    job = await fleet_of_walkers.planes[0].take()
    assert job is not None
    assert job["candidate"]["input"] == {"order": "a-private-order"}
    assert "a long enough value" not in str(job)
    assert "password" not in str({**job, "versions": None})
    assert (await stranger.error(READ, id=dry_run))["extensions"]["code"] == "NOT_FOUND"


async def test_what_is_wrong_is_told_beforehand(acme: Client) -> None:
    await publish(acme, orders())
    for how, place in (
        ({**GIVEN, "input": {}}, "input.order"),
        ({**GIVEN, "responses": {"fetch[": {}}}, "responses.fetch["),
        ({**GIVEN, "responses": {"fetch": {"status": 7}}}, "responses.fetch.status"),
        ({**GIVEN, "responses": {"fetch": {"stat": 7}}}, "responses.fetch.stat"),
        ({**GIVEN, "responses": {"fetch": 5}}, "responses.fetch"),
        ({"document": orders(steps=[call("a", action="shop/none")])}, "steps[0].action"),
        ({}, "workflow"),
    ):
        refused = await acme(START, how=how)
        assert refused["__typename"] == "InvalidInput", how
        assert refused["problems"][0]["path"] == place
    for how in ({**GIVEN, "version": 99}, {**GIVEN, "draft": True}, {"workflow": "none"}):
        assert (await acme(START, how=how))["__typename"] == "NotFound"
    run = await started(acme)
    assert (await acme(START, how={"run": run}))["__typename"] == "Conflict"
    operator = await with_role(acme, "OPERATOR")
    assert (await operator(START, how={**GIVEN, "draft": True}))["__typename"] == "Forbidden"
    for _ in range(20):
        assert (await acme(START, how=GIVEN))["__typename"] == "DryRun"
    assert (await acme(START, how=GIVEN))["__typename"] == "LimitExceeded"


async def test_an_ended_run_answers_and_is_compared(
    acme: Client, fleet: Fleet, fleet_of_walkers: Walkers
) -> None:
    await publish(acme, orders(steps=[call("a"), call("b")], result=None))
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(run, completed("a", output={"status": 200, "body": 5}), failed("b"), end())
    await save_draft(acme, orders(steps=[call("a", input={"order": "2"}), call("c")], result=None))
    found = []
    for how in ({"run": run}, {"run": run, "workflow": "orders", "draft": True}):
        dry_run = (await acme(START, how=how))["id"]
        await fleet_of_walkers.walk_all()
        found.append((await acme(READ, id=dry_run))["report"])
    same, draft = found
    assert same["status"] == "FAILED"  # as it was recorded
    assert [(one["path"], one["change"]) for one in same["changes"]] == [("a", "SAME"), ("b", "SAME")]
    assert [one["answeredBy"] for one in same["steps"]] == ["RECORDED", "RECORDED"]
    assert [(one["path"], one["change"]) for one in draft["changes"]] == [
        ("a", "CHANGED"),
        ("c", "ADDED"),
        ("b", "REMOVED"),
    ]
    assert draft["problems"] == [{"path": "c", "code": "NOT_RECORDED"}]


async def test_a_rerun_answers_with_what_it_took_over(
    acme: Client, fleet: Fleet, fleet_of_walkers: Walkers
) -> None:
    origin = await three_steps(acme, fleet)
    run = (await acme(RERUN, run=origin))["id"]
    await fleet.claim(run)
    finished = ("finished", None, {"status": "SUCCESS", "result": None})
    await fleet.apply(run, completed("b", output={"n": 3}), completed("c", output={"n": 4}), finished)
    dry_run = (await acme(START, how={"run": run}))["id"]
    await fleet_of_walkers.walk_all()
    report = (await acme(READ, id=dry_run))["report"]
    assert (report["status"], report["problems"]) == ("SUCCESS", [])
    assert {one["path"]: one["output"] for one in report["steps"]} == {
        "a": {"n": 2},
        "b": {"n": 3},
        "c": {"n": 4},
        "side": {"n": 1},
    }
    assert {one["change"] for one in report["changes"]} == {"SAME"}


async def test_a_sealed_input_is_opened_for_the_walk_alone(
    acme: Client, fleet: Fleet, fleet_of_walkers: Walkers, admin: asyncpg.Connection
) -> None:
    marked = {"type": "object", "properties": {"order": {"type": "string", "x-sensitive": True}}}
    steps = [call("a", input={"order": "{{ input.order }}"})]
    await publish(acme, orders(parameters=marked, steps=steps, result=None))
    run = await started(acme, input={"order": "a-private-order"})
    await fleet.claim(run)
    await fleet.apply(
        run, completed("a", output={}), ("finished", None, {"status": "SUCCESS", "result": None})
    )
    found = []
    for how in ({"run": run}, {"run": run, "patch": {"order": "another-private-order"}}):
        dry_run = (await acme(START, how=how))["id"]
        await fleet_of_walkers.walk_all()
        found.append((await acme(READ, id=dry_run))["report"])
    assert [[one["change"] for one in report["changes"]] for report in found] == [["SAME"], ["CHANGED"]]
    assert "private-order" not in str(found)
    assert "private-order" not in str(await admin.fetch("SELECT dry_runs::text FROM dry_runs"))


async def test_it_is_no_run(acme: Client, fleet_of_walkers: Walkers, admin: asyncpg.Connection) -> None:
    await publish(acme, orders())
    await acme(START, how=GIVEN)
    await fleet_of_walkers.walk_all()
    for table in ("runs", "step_runs", "events", "dispatches", "dead_letters", "inbox"):
        assert await admin.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_by_command(acme: Client, fleet_of_walkers: Walkers, tmp_path: Path) -> None:
    async def walking() -> None:
        while True:
            await fleet_of_walkers.walk_all()
            await asyncio.sleep(0.05)  # as a runner's heartbeats

    await publish(acme, orders())
    responses = tmp_path / "responses.yaml"
    responses.write_text("fetch: {body: {n: 1}}\nrefund: [{status: 200, body: {id: r}}]\n")
    document = tmp_path / "orders.yaml"
    document.write_text(str(orders(result=None)))
    given = ["--input", '{"order": "1"}', "--responses", str(responses)]
    task = asyncio.create_task(walking())
    shown: Any = await headrace(acme, "dry-run", "orders", *given)
    assert [one["path"] for one in shown["report"]["steps"]] == ["fetch", "refund"]
    assert shown["report"]["result"] == {"order": {"n": 1}}
    assert (await headrace(acme, "dry-run", "--file", str(document), *given))["version"] is None
    short = ["--input", '{"order": "1"}']
    # What keeps a step from going on is told once, as a problem.
    assert "NO_RESPONSE:" not in await headrace_fails("INCOMPLETE", acme, "dry-run", "orders", *short)
    responses.write_text("fetch: {status: 403}\n")
    await headrace_fails("fetch: HTTP_403: the target answered 403", acme, "dry-run", "orders", *given)
    refused = await headrace(acme, "dry-run", "orders", code=2)
    assert refused["error"]["problems"][0]["path"] == "input.order"
    task.cancel()


async def headrace_fails(shown: str, client: Client, *words: str) -> str:
    """The walk is shown, and the exit code says that it did not end well."""
    env = {"HEADRACE_URL": str(client.http.base_url), "HEADRACE_API_KEY": client.key}
    done = await asyncio.to_thread(CliRunner().invoke, app, list(words), env=env)
    assert done.exit_code == 1
    assert shown in done.output
    return done.output


async def test_what_is_sealed_in_a_run_is_opened_by_another_version_for_operators_alone(
    acme: Client, fleet: Fleet, fleet_of_walkers: Walkers
) -> None:
    """An expression of a designer's could show a part of what is hidden as a whole."""
    marked = {"type": "object", "properties": {"order": {"type": "string", "x-sensitive": True}}}
    steps = [call("a", input={"order": "{{ input.order }}"})]
    await publish(acme, orders(parameters=marked, steps=steps, result=None))
    run = await started(acme, input={"order": "a-private-order"})
    await fleet.claim(run)
    await fleet.apply(
        run, completed("a", output={}), ("finished", None, {"status": "SUCCESS", "result": None})
    )
    shown = {"key": "shown", "type": "transform", "input": "{{ input.order[0:9] }}"}
    other = orders(parameters=marked, steps=[*steps, shown], result=None)
    designer = await with_role(acme, "DESIGNER")
    assert (await designer(START, how={"run": run}))["__typename"] == "DryRun"
    assert (await designer(START, how={"run": run, "document": other}))["__typename"] == "Forbidden"
    await fleet_of_walkers.walk_all()
    given = {"run": run, "document": other, "input": {"order": "made up"}}
    assert (await designer(START, how=given))["__typename"] == "DryRun"
    job = await fleet_of_walkers.planes[0].take()
    assert job is not None
    assert job["output_keys"] == {}
    assert "a-private" not in str(job)
    # Nor is a run read by who may start and see nothing.
    key = await acme(
        'mutation { createApiKey(name: "starts", role: OPERATOR, permissions: [START_RUNS]) {'
        " ... on IssuedApiKey { key } } }"
    )
    starts = Client(acme.http, key["key"])
    assert (await starts(START, how=GIVEN))["__typename"] == "DryRun"
    assert (await starts(START, how={"run": run}))["__typename"] == "Forbidden"
