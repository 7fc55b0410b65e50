"""Reading runs: one, lists, steps, attempts, events."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from headrace.ids import new_id

from tests.integration.control_plane_runs.acting import (
    Client,
    Fleet,
    orders,
    publish,
    start,
    started,
    with_role,
)
from tests.integration.control_plane_runs.commanding import headrace

_ATTEMPT = {"number": 1, "startedAt": "2026-11-01T00:00:00+00:00", "durationMs": 3}
_GOOD = {**_ATTEMPT, "outcome": "SUCCESS", "httpStatus": 200, "address": "127.0.0.1:9"}
_BAD = {**_ATTEMPT, "outcome": "FAILED", "httpStatus": 503, "error": {"code": "HTTP_503", "message": "busy"}}

_WHOLE = """query($id: ID!) { run(id: $id) {
    id status waitReason input result error { code message } createdAt startedAt finishedAt cancelRequested
    workflow { name } version { number status }
    steps { key status attemptCount input output error { code message } startedAt finishedAt
            attempts { number outcome httpStatus error { code } address durationMs } }
    events { items { epoch seq kind step data } }
} }"""


async def list_runs(client: Client, **wanted: Any) -> Any:
    page = {name: wanted.pop(name) for name in ("first", "after") if name in wanted}
    return await client(
        """query($filter: RunFilter, $first: Int! = 50, $after: String) {
             runs(filter: $filter, first: $first, after: $after) {
               items { id } pageInfo { hasNextPage endCursor } } }""",
        filter=wanted,
        **page,
    )


async def ids(client: Client, **wanted: Any) -> list[str]:
    return [run["id"] for run in (await list_runs(client, **wanted))["items"]]


async def test_a_run_shows_its_whole_life(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    waiting = await acme(_WHOLE, id=run)
    assert (waiting["status"], waiting["input"], waiting["workflow"]) == (
        "QUEUED",
        {"order": "17"},
        {"name": "orders"},
    )
    assert [(s["key"], s["status"], s["attempts"]) for s in waiting["steps"]] == [
        ("fetch", "QUEUED", []),
        ("refund", "QUEUED", []),
    ]
    await fleet.claim(run)
    await fleet.apply(
        run,
        ("started", "fetch", {"input": {"path": {"order": "17"}}}),
        ("completed", "fetch", {"status": "SUCCESS", "output": {"body": [1, [2]]}, "attempt": _GOOD}),
        ("started", "refund", {}),
        ("attempted", "refund", {"attempt": _BAD, "error": _BAD["error"], "retryAt": None}),
    )
    midway = await acme(_WHOLE, id=run)
    fetch, refund = midway["steps"]
    assert (fetch["status"], fetch["attemptCount"], fetch["input"], fetch["output"]) == (
        "SUCCESS",
        1,
        {"path": {"order": "17"}},
        {"body": [1, [2]]},
    )
    assert fetch["attempts"] == [
        {
            "number": 1,
            "outcome": "SUCCESS",
            "httpStatus": 200,
            "error": None,
            "address": "127.0.0.1:9",
            "durationMs": 3,
        }
    ]
    assert (refund["status"], refund["attempts"][0]["error"]) == ("RUNNING", {"code": "HTTP_503"})
    await fleet.apply(
        run,
        (
            "completed",
            "refund",
            {"status": "FAILED", "error": {"code": "X", "message": "no"}, "attempt": None},
        ),
        ("finished", None, {"status": "FAILED", "error": {"code": "X", "message": "step refund failed"}}),
    )
    ended = await acme(_WHOLE, id=run)
    assert (ended["status"], ended["error"]) == ("FAILED", {"code": "X", "message": "step refund failed"})
    assert ended["finishedAt"] is not None
    events = ended["events"]["items"]
    assert [(e["seq"], e["kind"], e["step"]) for e in events] == [
        (1, "STARTED", "fetch"),
        (2, "COMPLETED", "fetch"),
        (3, "STARTED", "refund"),
        (4, "ATTEMPTED", "refund"),
        (5, "COMPLETED", "refund"),
        (6, "FINISHED", None),
    ]


async def test_a_step_that_will_never_begin_is_not_listed(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(run, ("started", "fetch", {}), ("canceled", None, {}))
    ended = await acme(_WHOLE, id=run)
    assert [(s["key"], s["status"]) for s in ended["steps"]] == [("fetch", "CANCELED")]


async def test_events_come_in_pages(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(run, ("started", "fetch", {}), ("completed", "fetch", {"status": "SUCCESS"}))
    await fleet.claim(run)
    await fleet.apply(run, ("claimed", None, {}), ("started", "refund", {}))
    query = """query($id: ID!, $after: String) { run(id: $id) { events(first: 2, after: $after) {
                 items { epoch kind } pageInfo { hasNextPage endCursor } } } }"""
    seen, after = [], None
    while True:
        page = (await acme(query, id=run, after=after))["events"]
        seen += [(event["epoch"], event["kind"]) for event in page["items"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert seen[:2] == [(1, "STARTED"), (1, "COMPLETED")]
    assert seen[-1] == (2, "STARTED")
    assert len(seen) == len(set(seen))
    for bad in ("nonsense", "WyJydW5zIiwiMSJd"):
        error = await acme.error(query, id=run, after=bad)
        assert error["extensions"]["code"] == "INVALID_INPUT"


async def test_lists_are_narrowed_by_what_is_asked(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    await publish(acme, orders(workflow="others"))
    runs = [await started(acme, "orders" if n % 2 else "others") for n in range(6)]
    for run in runs[:3]:
        await fleet.claim(run)
    await fleet.finish(runs[0])
    newest = runs[::-1]
    assert await ids(acme) == newest
    assert await ids(acme, workflow="orders") == [r for r in newest if runs.index(r) % 2]
    assert await ids(acme, workflow="unknown") == []
    assert await ids(acme, status=["SUCCESS"]) == [runs[0]]
    assert await ids(acme, status=["SUCCESS", "RUNNING"]) == [runs[2], runs[1], runs[0]]
    assert await ids(acme, status=["RUNNING"], workflow="others") == [runs[2]]
    assert await ids(acme, status=["QUEUED", "RUNNING", "SUCCESS"], workflow="orders", first=2) == [
        runs[5],
        runs[3],
    ]


async def test_a_version_s_runs_are_listed_with_its_workflow(acme: Client) -> None:
    await publish(acme, orders())
    await publish(acme, orders(workflow="others"))
    first = await started(acme)
    await publish(acme, orders(env={}))
    second = await started(acme)
    await started(acme, "others")
    assert await ids(acme, workflow="orders", version=1) == [first]
    assert await ids(acme, workflow="orders", version=2) == [second]
    assert await ids(acme, workflow="orders", version=2, status=["RUNNING"]) == []
    assert await ids(acme, workflow="orders", version=9) == []
    told = await headrace(acme, "run", "list", "--workflow", "orders", "--version", "1")
    assert [run["id"] for run in told["items"]] == [first]
    refused = await headrace(acme, "run", "list", "--version", "1", code=2)
    assert refused["error"]["problems"][0]["path"] == "filter.version"


async def test_a_window_of_time_ends_before_its_end(acme: Client, admin: asyncpg.Connection) -> None:
    await publish(acme, orders())
    made = []
    for _ in range(3):
        made.append(await start(acme))
        # To the next millisecond, by the database's clock.
        await admin.execute("SELECT pg_sleep(0.002)")
    at = made[1]["createdAt"]
    assert await ids(acme, createdAfter=at) == [made[2]["id"], made[1]["id"]]
    assert await ids(acme, createdBefore=at) == [made[0]["id"]]
    later = (datetime.fromisoformat(at) + timedelta(milliseconds=1)).isoformat()
    assert await ids(acme, createdAfter=at, createdBefore=later) == [made[1]["id"]]
    assert await ids(acme, createdAfter="0001-01-01T00:00:00Z", createdBefore="9999-12-31T00:00:00Z") == [
        made[n]["id"] for n in (2, 1, 0)
    ]


@pytest.mark.parametrize("wanted", [{}, {"status": ["QUEUED", "RUNNING"]}, {"workflow": "orders"}])
async def test_pages_stay_the_same_while_runs_arrive(acme: Client, fleet: Fleet, wanted: Any) -> None:
    await publish(acme, orders())
    runs = [await started(acme) for _ in range(7)]
    seen, after, sizes = [], None, []
    while True:
        page = await list_runs(acme, first=3, after=after, **wanted)
        seen += [run["id"] for run in page["items"]]
        sizes.append(len(page["items"]))
        after = page["pageInfo"]["endCursor"]
        again = await list_runs(acme, first=3, after=after, **wanted)
        await started(acme)
        assert await list_runs(acme, first=3, after=after, **wanted) == again
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert (seen, sizes) == (runs[::-1], [3, 3, 1])


async def test_a_page_has_bounds(acme: Client) -> None:
    for first in (0, -1, 201):
        query = "query($n: Int!) { runs(first: $n) { items { id } } }"
        assert (await acme.error(query, n=first))["extensions"]["code"] == "INVALID_INPUT"
    assert (await acme.error("""{ runs(after: "x") { items { id } } }"""))["extensions"][
        "code"
    ] == "INVALID_INPUT"


async def test_a_page_of_runs_costs_as_many_transactions_as_one_run(
    acme: Client, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(acme, orders())
    for _ in range(8):
        run = await started(acme)
        await fleet.claim(run)
        done = {"status": "SUCCESS", "output": 1, "attempt": _GOOD}
        await fleet.apply(run, ("started", "fetch", {}), ("completed", "fetch", done))
    acquire, acquired = asyncpg.pool.Pool.acquire, 0

    def counting(pool: asyncpg.Pool, *, timeout: float | None = None) -> Any:
        nonlocal acquired
        acquired += 1
        return acquire(pool, timeout=timeout)

    monkeypatch.setattr(asyncpg.pool.Pool, "acquire", counting)
    query = """query($first: Int!) { runs(first: $first) { items { input startedBy { name } workflow { name }
                 version { number } steps { key output attempts { number } } events(first: 2) { items { seq } } } } }"""
    costs = []
    for first in (1, 8):
        acquired = 0
        assert len((await acme(query, first=first))["items"]) == first
        costs.append(acquired)
    assert costs == [11, 11]


async def test_an_answer_has_bounds(acme: Client, admin: asyncpg.Connection) -> None:
    steps = [{"key": f"s{n}", "type": "transform", "input": n} for n in range(500)]
    await publish(acme, {"workflow": "orders", "steps": steps})
    for _ in range(11):
        await started(acme)
    query = "query($first: Int!) { runs(first: $first) { items { steps { key } } } }"
    found = await acme(query, first=10)
    assert [len(run["steps"]) for run in found["items"]] == [500] * 10
    assert (await acme.error(query, first=11))["extensions"]["code"] == "LIMIT_EXCEEDED"
    await admin.execute("UPDATE runs SET input = jsonb_build_object('x', repeat('y', 3200000))")
    query = "query($first: Int!) { runs(first: $first) { items { input } } }"
    assert len((await acme(query, first=2))["items"]) == 2
    assert (await acme.error(query, first=3))["extensions"]["code"] == "LIMIT_EXCEEDED"
    # One by itself is answered however large it is.
    await admin.execute("UPDATE runs SET input = jsonb_build_object('x', repeat('y', 40000000))")
    assert len((await acme(query, first=1))["items"][0]["input"]["x"]) == 40_000_000


async def test_another_tenants_runs_are_not_there(acme: Client, stranger: Client) -> None:
    await publish(acme, orders())
    run = await started(acme)
    missing = "00000000-0000-7000-8000-000000000000"
    for id_ in (run, missing, "no id"):
        error = await stranger.error("query($id: ID!) { run(id: $id) { id } }", id=id_)
        assert (error["message"], error["extensions"]["code"]) == ("run not found", "NOT_FOUND")
    assert await ids(stranger) == []
    assert await ids(stranger, workflow="orders") == []
    assert UUID(run)


async def test_one_thing_that_is_not_there_takes_nothing_with_it(acme: Client) -> None:
    await publish(acme, orders())
    run = await started(acme)
    nobody = f'"{new_id()}"'
    for field in (
        f"run(id: {nobody}) {{ id }}",
        f"runRevisions(id: {nobody}) {{ items {{ note }} }}",
        f"runAt(id: {nobody}) {{ status }}",
        f"rerunPreview(run: {nobody}) {{ more }}",
        f"movePreview(run: {nobody}, version: 1) {{ fits }}",
        f"dryRun(id: {nobody}) {{ id }}",
        f"deadLetter(id: {nobody}) {{ input }}",
        f"replay(id: {nobody}) {{ id }}",
        f"diffVersions(a: {nobody}, b: {nobody}) {{ truncated }}",
        'workflow(name: "none") { id }',
        'workflowVersion(workflow: "none", number: 1) { id }',
        'effectivePolicy(app: "none", action: "none") { reason }',
    ):
        body = await acme.post(f'{{ gone: {field} there: run(id: "{run}") {{ id }} }}')
        assert body["data"] == {"gone": None, "there": {"id": run}}, field
        (error,) = body["errors"]
        assert (error["path"], error["extensions"]["code"]) == (["gone"], "NOT_FOUND"), field


async def test_everyone_may_read(acme: Client) -> None:
    await publish(acme, orders())
    run = await started(acme)
    for role in ("VIEWER", "APPROVER", "OPERATOR", "DESIGNER"):
        assert await ids(await with_role(acme, role)) == [run]
