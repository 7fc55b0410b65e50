"""Past states of runs: asked for at each revision, they are what the reporter had written at that moment."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from headrace.ids import new_id
from headrace.messages import Event
from headrace.postgres.pool import API, open_pool, tenant_transaction
from headrace.postgres.queries import load
from headrace.sealed_outputs import SEALED
from headrace.workflow.graph import Graph
from headrace.workflow.state import EventKind, StepStatus, WaitKind
from hypothesis import HealthCheck, Phase, given, settings

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.commanding import headrace
from tests.unit.workflow_decide.answers import ANSWERS, UNSAFE
from tests.unit.workflow_decide.graphs import graphs, risky
from tests.unit.workflow_decide.world import World

_ATTEMPT = {"number": 1, "startedAt": "2026-11-01T00:00:00+00:00", "durationMs": 3}
_GOOD = {**_ATTEMPT, "outcome": "SUCCESS", "httpStatus": 200}
_BAD = {**_ATTEMPT, "outcome": "FAILED", "httpStatus": 503, "error": {"code": "HTTP_503", "message": "busy"}}

_ROW = "key status attemptCount round itemCount error { code message } input output"
_AT = (
    """query($id: ID!, $at: RunMoment, $first: Int! = 200, $after: String) { runAt(id: $id, at: $at) {
         revision { revision at note kind step } status waitReason error { code } result
         messages { items { seq kind step name } }
         steps(first: $first, after: $after) {
           items { wait { kind until } startedAt finishedAt takenFrom """
    + _ROW
    + " } pageInfo { hasNextPage endCursor } } } }"
)
_NOW = "query($id: ID!) { run(id: $id) { status steps { " + _ROW + " items { items { " + _ROW + " } } } } }"
_REVISIONS = """query($id: ID!, $first: Int! = 50, $after: String) {
    runRevisions(id: $id, first: $first, after: $after) {
      items { revision at note kind step } pageInfo { hasNextPage endCursor } } }"""

_RERUN = "mutation($r: ID!) { rerunRun(run: $r) { ... on Run { id } } }"


async def at(client: Client, run: str, **moment: Any) -> Any:
    return await client(_AT, id=run, at=moment or None)


async def revisions(client: Client, run: str, first: int = 50) -> list[Any]:
    found: list[Any] = []
    after = None
    while True:
        page = await client(_REVISIONS, id=run, first=first, after=after)
        found += page["items"]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


def histories(count: int) -> Iterator[Sequence[Event]]:
    """Those of random runs, in which nothing begins a run that this database does not know."""
    found: list[Sequence[Event]] = []

    @settings(
        max_examples=8 * count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(graphs() | risky(), ANSWERS, UNSAFE)
    def live(graph: Graph, answers: list[int], unsafe: frozenset[str]) -> None:
        if len(found) >= count:
            return
        world = World(graph, answers, unsafe)
        world.live()
        once = {(event.epoch, event.seq): event for event in world.partition}
        events = [event for _, event in sorted(once.items()) if event.kind is not EventKind.CLAIMED]
        children = any(event.data.get("wait", {}).get("kind") == WaitKind.CHILD for event in events)
        if len(events) > 5 and not children:
            found.append(events)

    live()
    assert len(found) == count
    yield from found


async def test_each_past_state_is_what_the_rows_were(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    for events in histories(6):
        run = await started(acme)
        rows = {}
        for event in events:
            rows[f"{event.epoch}.{event.seq}"] = await applied(fleet, admin, run, event)
        for revision in await revisions(acme, run, first=7):
            state = await at(acme, run, revision=revision["revision"])
            assert state["revision"] == revision
            begun = [row for row in state["steps"]["items"] if row["status"] != "QUEUED" or row["startedAt"]]
            told = {row["key"]: plain(row) for row in begun}
            assert told == rows.get(revision["revision"], {}), revision
        assert (await at(acme, run))["status"] == await status(admin, run)
        shown = await acme(_NOW, id=run)
        now = {row["key"]: plain(row) for step in shown["steps"] for row in [step, *step["items"]["items"]]}
        assert now == rows[list(rows)[-1]]


async def applied(
    fleet: Fleet, admin: asyncpg.Connection, run: str, event: Event
) -> dict[str, dict[str, Any]]:
    """Apply one event of a run by the reporter; the run's rows behind it."""
    claim = "UPDATE runs SET status = CASE WHEN status = 'COMPENSATING' THEN status ELSE 'RUNNING' END, epoch = $2,"
    claim += " claimed_by = $3, claimed_in_call = 1, started_at = now() WHERE id = $1"
    await admin.execute(claim, UUID(run), event.epoch, new_id())
    tenant = await admin.fetchval("SELECT tenant_id FROM runs WHERE id = $1", UUID(run))
    await fleet.applier.apply([replace(event, tenant_id=tenant, run_id=UUID(run), at=datetime.now(UTC))])
    found = await admin.fetch(
        """SELECT key, status, attempts, round, items, error, input, output FROM step_runs
           WHERE run_id = $1""",
        UUID(run),
    )
    return {
        row["key"]: {
            "key": row["key"],
            "status": row["status"],
            "attemptCount": row["attempts"],
            "round": row["round"],
            "itemCount": row["items"],
            **{name: orjson.loads(row[name] or "null") for name in ("error", "input", "output")},
        }
        for row in found
    }


def plain(row: dict[str, Any]) -> dict[str, Any]:
    names = ("key", "status", "attemptCount", "round", "itemCount", "error", "input", "output")
    return {name: row[name] for name in names}


async def status(admin: asyncpg.Connection, run: str) -> str:
    return str(await admin.fetchval("SELECT status FROM runs WHERE id = $1", UUID(run)))


async def lived(acme: Client, fleet: Fleet) -> str:
    """A run that failed at its second step."""
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    done = {"status": "SUCCESS", "output": {"id": 7, "token": {SEALED: "c2VhbGVk"}}, "attempt": _GOOD}
    await fleet.apply(run, ("started", "fetch", {"attempt": 1, "input": {"order": "17"}}))
    await fleet.apply(run, ("completed", "fetch", done))
    await fleet.apply(
        run,
        ("started", "refund", {"attempt": 1}),
        ("attempted", "refund", {"attempt": _BAD, "error": _BAD["error"], "retryAt": "2030-01-01T00:00:00Z"}),
        ("parked", None, {"reason": "RETRY", "resumeAt": "2030-01-01T00:00:00Z"}),
    )
    await fleet.claim(run)
    await fleet.apply(
        run,
        ("completed", "refund", {"status": "FAILED", "error": _BAD["error"]}),
        ("finished", None, {"status": "FAILED", "error": {"code": "X", "message": "no"}}),
    )
    return run


async def test_a_run_is_shown_as_it_was(acme: Client, fleet: Fleet) -> None:
    run = await lived(acme, fleet)
    moments = await revisions(acme, run, first=3)
    assert [(m["revision"], m["note"]) for m in moments] == [
        ("0.0", "The run was started."),
        ("1.1", "Step fetch began, attempt 1."),
        ("1.2", "Step fetch succeeded."),
        ("1.3", "Step refund began, attempt 1."),
        (
            "1.4",
            "An attempt of step refund failed (HTTP_503: busy); the next one is due at 2030-01-01T00:00:00Z.",
        ),
        (
            "1.5",
            "The run waits: a step's next attempt is due later, until 2030-01-01T00:00:00Z at the latest.",
        ),
        ("2.1", "Step refund failed (HTTP_503: busy)."),
        ("2.2", "The run ended: FAILED (X: no)."),
    ]
    start = await at(acme, run, revision="0.0")
    assert (start["status"], start["revision"]["kind"]) == ("QUEUED", None)
    assert [(s["key"], s["status"]) for s in start["steps"]["items"]] == [
        ("fetch", "QUEUED"),
        ("refund", "QUEUED"),
    ]
    waiting = await at(acme, run, revision="1.5")
    assert (waiting["status"], waiting["waitReason"], waiting["error"]) == ("WAITING", "RETRY", None)
    fetch, refund = waiting["steps"]["items"]
    # What is sealed stays hidden, as it is in the present.
    assert (fetch["input"], fetch["output"]) == ({"order": "17"}, {"id": 7, "token": "[***]"})
    assert (refund["status"], refund["attemptCount"], refund["wait"]) == (
        "WAITING",
        1,
        {"kind": "RETRY", "until": "2030-01-01T00:00:00Z"},
    )
    now = await at(acme, run)
    assert (now["status"], now["error"], now["revision"]["revision"]) == ("FAILED", {"code": "X"}, "2.2")
    first = (await acme(_AT, id=run, first=1))["steps"]
    rest = (await acme(_AT, id=run, first=9, after=first["pageInfo"]["endCursor"]))["steps"]
    assert [s["key"] for page in (first, rest) for s in page["items"]] == ["fetch", "refund"]


async def test_a_time_is_the_newest_revision_up_to_then(acme: Client, fleet: Fleet) -> None:
    run = await lived(acme, fleet)
    third = (await revisions(acme, run))[2]
    assert (await at(acme, run, time=third["at"]))["revision"] == third
    before = datetime.fromisoformat(third["at"]) - timedelta(microseconds=1)
    assert (await at(acme, run, time=before.isoformat()))["revision"]["revision"] == "1.1"
    assert (await at(acme, run, time="2999-01-01T00:00:00Z"))["revision"]["revision"] == "2.2"
    for moment, problem in (
        ({"time": "2001-01-01T00:00:00Z"}, "at.time: the run did not exist then"),
        ({"revision": "one"}, "at.revision: not a revision"),
        ({"revision": "1.1", "time": third["at"]}, "at: both a revision and a time"),
    ):
        refused = await acme.error(_AT, id=run, at=moment)
        assert refused["extensions"]["code"] == "INVALID_INPUT"
        assert refused["message"] == problem
    for gone in ("1.9", "3.1"):
        assert (await acme.error(_AT, id=run, at={"revision": gone}))["extensions"]["code"] == "NOT_FOUND"


async def test_messages_are_shown_from_their_coming_to_their_use(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(run, ("started", "fetch", {}))
    await admin.execute(
        """INSERT INTO inbox (tenant_id, run_id, seq, kind, step, name, data)
           SELECT tenant_id, id, 1, 'SIGNAL', 'refund', 'paid', '{"payload": "a secret"}' FROM runs WHERE id = $1""",
        UUID(run),
    )
    await fleet.apply(run, ("completed", "fetch", {"status": "SUCCESS"}))
    await fleet.apply(run, ("completed", "refund", {"status": "SUCCESS", "inbox": [1]}))
    seen = [(await at(acme, run, revision=r))["messages"]["items"] for r in ("1.1", "1.2", "1.3")]
    assert seen == [[], [{"seq": 1, "kind": "SIGNAL", "step": "refund", "name": "paid"}], []]


async def test_another_tenant_sees_nothing_of_it(acme: Client, stranger: Client, fleet: Fleet) -> None:
    run = await lived(acme, fleet)
    for query in (_AT, _REVISIONS):
        assert (await stranger.error(query, id=run))["extensions"]["code"] == "NOT_FOUND"
    error = await acme.error(_REVISIONS, id=run, after="WyJydW5zIiwiMSJd")
    assert error["extensions"]["code"] == "INVALID_INPUT"


async def test_a_rerun_begins_with_what_it_took_over(acme: Client, fleet: Fleet) -> None:
    run = await lived(acme, fleet)
    again = (await acme(_RERUN, r=run))["id"]
    start = await at(acme, again, revision="0.0")
    fetch, refund = start["steps"]["items"]
    assert (fetch["status"], fetch["takenFrom"], fetch["output"]["id"]) == ("SUCCESS", run, 7)
    assert (refund["status"], refund["takenFrom"]) == ("QUEUED", None)


async def test_a_loop_that_a_rerun_goes_on_with_was_open_at_its_beginning(acme: Client, fleet: Fleet) -> None:
    each = {**orders()["steps"][0], "key": "each", "forEach": {"items": [1, 2]}}
    await publish(acme, orders(steps=[each], result=None))
    run = await started(acme)
    await fleet.claim(run)
    no = {"code": "HTTP_500", "message": "no"}
    await fleet.apply(
        run,
        ("started", "each", {"items": 2}),
        ("completed", "each[0]", {"status": "SUCCESS", "output": 1}),
        ("completed", "each[1]", {"status": "FAILED", "error": no, "attempt": _BAD}),
        ("completed", "each", {"status": "FAILED", "error": no}),
        ("finished", None, {"status": "FAILED", "error": no}),
    )
    again = (await acme(_RERUN, r=run))["id"]
    before = await at(acme, again)
    await fleet.claim(again)
    await fleet.apply(
        again,
        ("completed", "each[1]", {"status": "SUCCESS", "output": 2}),
        ("completed", "each", {"status": "SUCCESS", "output": [1, 2]}),
        ("finished", None, {"status": "SUCCESS"}),
    )
    start = await at(acme, again, revision="0.0")
    assert start["steps"] == before["steps"]
    assert [(s["key"], s["status"], s["itemCount"], s["output"]) for s in start["steps"]["items"]] == [
        ("each", "RUNNING", 2, None),
        ("each[0]", "SUCCESS", None, 1),
    ]
    assert [(s["key"], s["status"], s["output"]) for s in (await at(acme, again))["steps"]["items"]] == [
        ("each", "SUCCESS", [1, 2]),
        ("each[0]", "SUCCESS", 1),
        ("each[1]", "SUCCESS", 2),
    ]


async def test_ten_thousand_events_are_folded(acme: Client, admin: asyncpg.Connection, database: str) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await admin.execute(
        """INSERT INTO events (tenant_id, run_id, epoch, seq, kind, step, at, data)
           SELECT tenant_id, id, 1, n, CASE n % 2 WHEN 1 THEN 'started' ELSE 'completed' END,
                  'fetch[' || (n - 1) / 2 || ']', now(), '{"status": "SUCCESS", "output": [1]}'
           FROM runs, generate_series(1, $2) n WHERE id = $1""",
        UUID(run),
        10_000,
    )
    state = await at(acme, run, revision="1.9999")
    steps = state["steps"]
    assert (len(steps["items"]), steps["pageInfo"]["hasNextPage"]) == (200, True)
    assert [s["key"] for s in steps["items"][:3]] == ["fetch", "fetch[0]", "fetch[1]"]
    assert {s["status"] for s in steps["items"][1:]} == {StepStatus.SUCCESS}
    # A batch is one range of the primary key.
    await admin.execute("ANALYZE events")
    tenant = await admin.fetchval("SELECT tenant_id FROM runs WHERE id = $1", UUID(run))
    async with await open_pool(database, API) as pool, tenant_transaction(pool, tenant) as db:
        explain = f"EXPLAIN (FORMAT JSON) {load('headrace_control.revisions').events}"
        plan = await db.fetchval(explain, tenant, UUID(run), 1, 500, 1, 9000, 100)
    assert "Index Scan" in str(plan)
    assert "_pkey" in str(plan)
    assert "Sort" not in str(plan)


async def test_a_history_is_told_by_command(acme: Client, fleet: Fleet) -> None:
    run = await lived(acme, fleet)
    told = await headrace(acme, "run", "history", run, "--first", "2")
    assert [m["revision"] for m in told["items"]] == ["0.0", "1.1"]
    more = await headrace(acme, "run", "history", run, "--after", told["pageInfo"]["endCursor"])
    assert more["items"][-1]["note"] == "The run ended: FAILED (X: no)."
    state = await headrace(acme, "run", "show", run, "--at", "1.2")
    assert [(s["key"], s["status"]) for s in state["steps"]["items"]] == [
        ("fetch", "SUCCESS"),
        ("refund", "QUEUED"),
    ]
    timed = await headrace(acme, "run", "show", run, "--at", more["items"][0]["at"])
    assert timed["revision"] == more["items"][0]
    assert (await headrace(acme, "run", "show", run))["status"] == "FAILED"
    refused = await headrace(acme, "run", "show", run, "--at", "soon", code=2)
    assert refused["error"]["problems"][0]["path"] == "--at"


async def test_steps_that_had_not_begun_are_those_of_the_version_it_had(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(run, ("started", "fetch", {}), ("completed", "fetch", {"status": "SUCCESS"}))
    await fleet.apply(run, ("parked", None, {"reason": "TIMER", "resumeAt": "2030-01-01T00:00:00Z"}))
    document = orders()
    document["steps"].append({**document["steps"][1], "key": "thank"})
    published = await publish(acme, document)
    move = """mutation($r: [ID!]!, $v: Int!) { moveRuns(ids: $r, version: $v, note: "n") { __typename } }"""
    assert published["version"]["number"] == 2
    assert (await acme(move, r=[run], v=2))["__typename"] == "MovedRuns"
    before = await at(acme, run, revision="1.3")
    assert [s["key"] for s in before["steps"]["items"]] == ["fetch", "refund"]
    assert [s["key"] for s in (await at(acme, run))["steps"]["items"]] == ["fetch", "refund", "thank"]
