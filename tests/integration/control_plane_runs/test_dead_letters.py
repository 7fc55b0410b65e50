"""Dead letters over the real schema: how they come to be, are seen, replayed once, and discarded."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from headrace.ids import new_id
from headrace.postgres.pool import API, open_pool, tenant_transaction
from headrace.postgres.queries import load

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.dead_letters import (
    DISCARD,
    GROUPS,
    LIST,
    REPLAY,
    REPLAY_ALL,
    ended,
    given_up,
    letters,
)
from tests.integration.control_plane_runs.query_plans import rows_read
from tests.integration.control_plane_runs.replay_loops import replays_of
from tests.integration.control_plane_runs.rerunning import PREVIEW, RERUN, call, completed, end, failed, fates

_sql = load("headrace_control.dead_letters")


async def test_what_a_run_gave_up_on_is_listed_with_its_cause(
    acme: Client, stranger: Client, fleet: Fleet
) -> None:
    await publish(acme, orders())
    run = await given_up(acme, fleet)
    (letter,) = await letters(acme)
    assert letter["group"] == {"source": "STEP", "action": "shop/refund", "code": "HTTP_500"}
    assert (letter["status"], letter["step"], letter["workflow"]) == ("OPEN", "refund", "orders")
    assert (letter["run"], letter["error"]) == ({"id": run}, {"code": "HTTP_500", "message": "it says no"})
    detail = await acme("query($id: ID!) { deadLetter(id: $id) { attempts letter { id } } }", id=letter["id"])
    assert detail == {"attempts": [], "letter": {"id": letter["id"]}}
    assert await letters(stranger) == []
    assert (await stranger(REPLAY, id=letter["id"]))["__typename"] == "NotFound"


async def test_lists_are_pages_and_filters_narrow(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    runs = [await given_up(acme, fleet, code) for code in ("HTTP_500", "HTTP_404", "HTTP_500")]
    page = await acme(LIST, first=2)
    assert [one["run"]["id"] for one in page["items"]] == [runs[2], runs[1]]
    rest = await acme(LIST, first=2, after=page["pageInfo"]["endCursor"])
    assert ([one["run"]["id"] for one in rest["items"]], rest["pageInfo"]["hasNextPage"]) == (
        [runs[0]],
        False,
    )
    group = {"source": "STEP", "action": "shop/refund", "code": "HTTP_500"}
    assert [one["run"]["id"] for one in await letters(acme, group=group)] == [runs[2], runs[0]]
    assert len(await letters(acme, workflow="orders")) == 3
    assert await letters(acme, status="REPLAYED") == []
    groups = await acme(GROUPS)
    assert [(one["group"]["code"], one["count"]) for one in groups] == [("HTTP_500", 2), ("HTTP_404", 1)]
    counted = await acme("query { deadLetterStatistics(by: WORKFLOW) { name open replayed discarded } }")
    assert counted == [{"name": "orders", "open": 3, "replayed": 0, "discarded": 0}]


async def test_one_replay_replays_once(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await given_up(acme, fleet)
    (letter,) = await letters(acme)
    answers = await asyncio.gather(*(acme(REPLAY, id=letter["id"]) for _ in range(5)))
    assert sorted(answer["__typename"] for answer in answers) == ["Conflict"] * 4 + ["Run"]
    (closed,) = await letters(acme, status="REPLAYED")
    assert closed["replayedBy"]["origin"] == {"id": run}
    assert await letters(acme) == []


async def test_a_rerun_by_hand_closes_what_it_goes_on_from(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await given_up(acme, fleet)
    again = (await acme(RERUN, run=run))["id"]
    assert await letters(acme) == []
    (closed,) = await letters(acme, status="REPLAYED")
    assert closed["replayedBy"]["id"] == again


async def test_a_discard_says_why(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    for code in ("HTTP_500", "HTTP_404", "HTTP_404"):
        await given_up(acme, fleet, code)
    one = (await letters(acme))[2]
    assert (await acme(DISCARD, ids=[one["id"]], reason=" "))["__typename"] == "InvalidInput"
    assert (await acme(DISCARD, ids=["no id"], reason="by hand"))["__typename"] == "NotFound"
    # Ids are not narrowed by a workflow, so it is not passed over.
    both = await acme(DISCARD, ids=[one["id"]], workflow="other", reason="by hand")
    assert both["problems"][0]["path"] == "workflow"
    assert (await acme(DISCARD, ids=["no id", one["id"]], reason="by hand"))["count"] == 1
    assert (await acme(DISCARD, ids=[one["id"]], reason="by hand"))["__typename"] == "NotFound"
    group = {"source": "STEP", "action": "shop/refund", "code": "HTTP_404"}
    assert (await acme(DISCARD, group=group, reason="closed orders"))["count"] == 2
    assert {one["closedReason"] for one in await letters(acme, status="DISCARDED")} == {
        "by hand",
        "closed orders",
    }
    assert (await acme(REPLAY, id=one["id"]))["__typename"] == "Conflict"


async def test_a_group_is_replayed_by_two_control_planes_each_entry_once(
    acme: Client, fleet: Fleet, database: str, master_key: bytes, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    runs = {await given_up(acme, fleet) for _ in range(8)}
    other = await given_up(acme, fleet, "HTTP_404")
    group = {"source": "STEP", "action": "shop/refund", "code": "HTTP_500"}
    replay = await acme(REPLAY_ALL, group=group, how={"patch": {"amount": 7}}, rate=100)
    assert (replay["status"], replay["total"]) == ("RUNNING", 8)
    assert "amount" not in await admin.fetchval("SELECT patch::text FROM dead_letter_replays")
    async with replays_of(database, master_key, 2):
        shown = await ended(acme, replay["id"])
    assert (shown["replayed"], shown["refused"]) == (8, 0)
    made = await admin.fetch("SELECT origin_run_id, input FROM runs WHERE origin_run_id IS NOT NULL")
    assert {str(row["origin_run_id"]) for row in made} == runs
    assert (len(made), {orjson.loads(row["input"])["amount"] for row in made}) == (8, {7})
    assert [one["run"]["id"] for one in await letters(acme)] == [other]


async def test_what_can_not_be_replayed_is_told_and_stays_open(
    acme: Client, fleet: Fleet, database: str, master_key: bytes
) -> None:
    await publish(acme, orders())
    await given_up(acme, fleet)
    group = {"source": "STEP", "action": "shop/refund", "code": "HTTP_500"}
    replay = await acme(REPLAY_ALL, group=group, how={"patch": {"order": 5}}, rate=100)
    async with replays_of(database, master_key):
        shown = await ended(acme, replay["id"])
    assert (shown["replayed"], shown["refused"]) == (0, 1)
    assert (shown["refusal"]["code"], shown["refusal"]["message"][:11]) == ("INVALID_INPUT", "input.order")
    assert len(await letters(acme)) == 1


async def test_an_input_above_the_quota_holds_up_no_other_entry(
    acme: Client, fleet: Fleet, database: str, master_key: bytes, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    for order in ("A-" + "1" * 30, "A-1"):
        run = await started(acme, input={"order": order})
        await fleet.claim(run)
        await fleet.apply(run, completed("fetch", output=1), failed("refund", "HTTP_500"), end("HTTP_500"))
    await admin.execute(
        "INSERT INTO quotas (tenant_id, input_bytes) SELECT tenant_id, 20 FROM dead_letters LIMIT 1"
    )
    group = {"source": "STEP", "action": "shop/refund", "code": "HTTP_500"}
    replay = await acme(REPLAY_ALL, group=group, rate=100)
    async with replays_of(database, master_key):
        shown = await ended(acme, replay["id"])
    assert (shown["replayed"], shown["refused"]) == (1, 1)
    assert shown["refusal"]["code"] == "QUOTA_EXCEEDED"
    assert len(await letters(acme)) == 1


async def test_a_replay_is_stopped_and_resumed(
    acme: Client, fleet: Fleet, database: str, master_key: bytes
) -> None:
    await publish(acme, orders())
    await given_up(acme, fleet)
    group = {"source": "STEP", "action": "shop/refund", "code": "HTTP_500"}
    replay = await acme(REPLAY_ALL, group=group, rate=100)
    stop = "mutation($id: ID!) { stopReplay(id: $id) { ... on Replay { status } } }"
    assert (await acme(stop, id=replay["id"]))["status"] == "STOPPED"
    async with replays_of(database, master_key) as service:
        (tenant,) = {
            row["tenant_id"] for row in await fleet.admin.fetch("SELECT tenant_id FROM dead_letters")
        }
        assert await service.step(tenant, UUID(replay["id"])) is False
        resume = "mutation($id: ID!) { resumeReplay(id: $id) { ... on Replay { status } } }"
        assert (await acme(resume, id=replay["id"]))["status"] == "RUNNING"
        await ended(acme, replay["id"])
    assert await letters(acme) == []


async def test_a_failure_in_a_child_is_replayed_from_its_root(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    """The parent's step is done again by a child that takes over what the child before it did."""
    child = await publish(acme, orders(workflow="child", steps=[call("first"), call("second")], result=None))
    ship = {"key": "ship", "type": "workflow", "workflow": "child", "input": {"order": "1"}}
    await publish(acme, orders(steps=[call("before"), ship, call("after")], result=None))
    root = await started(acme)

    async def begin_child(run: str) -> str:
        child_id = str(new_id())
        wait = {
            "kind": "CHILD",
            "runId": child_id,
            "versionId": child["version"]["id"],
            "input": {"order": "1"},
        }
        await fleet.apply(run, ("waiting", "ship", {"wait": wait}))
        return child_id

    await fleet.claim(root)
    await fleet.apply(root, completed("before", output=1))
    first_child = await begin_child(root)
    await fleet.claim(first_child)
    await fleet.apply(first_child, completed("first", output=1), failed("second"), end())
    (letter,) = await letters(acme)
    assert letter["run"] == {"id": first_child}
    assert (await acme(REPLAY, id=letter["id"]))["__typename"] == "Conflict"  # the root goes on still
    error = {"code": "HTTP_500", "message": "the child failed"}
    await fleet.apply(root, completed("ship", "FAILED", error=error), end())
    expected = {
        "before": "TAKEN_OVER",
        "ship": "AGAIN",
        "ship/first": "TAKEN_OVER",
        "ship/second": "AGAIN",
        "after": "AHEAD",
    }
    assert fates(await acme(PREVIEW, run=root)) == expected
    named = fates(await acme(PREVIEW, run=root, how={"steps": ["ship/first"]}))
    assert (named["ship/first"], named["before"]) == ("AGAIN", "TAKEN_OVER")
    again = (await acme(REPLAY, id=letter["id"]))["id"]
    assert await letters(acme) == []
    await fleet.claim(again)
    second_child = await begin_child(again)
    rows = await admin.fetch(
        "SELECT key, status, taken_from FROM step_runs WHERE run_id = $1", UUID(second_child)
    )
    assert [tuple(row) for row in rows] == [("first", "SUCCESS", UUID(first_child))]
    linked = await admin.fetchrow("SELECT origin_run_id, rerun FROM runs WHERE id = $1", UUID(second_child))
    assert linked["origin_run_id"] == UUID(first_child)
    assert orjson.loads(linked["rerun"])["keys"] == {first_child: ["second"]}


async def test_a_compensation_that_failed_is_replayed_by_a_run_that_undoes_what_is_left(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    undo = {"action": "shop/get-order", "input": {"order": "1"}}
    await publish(acme, orders(steps=[call("book", compensate=undo), call("pay")], result=None))
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(
        run,
        completed("book", output=1),
        completed("pay", "FAILED", error={"code": "REJECTED", "message": "no"}),
        ("compensating", None, {"outcome": "FAILED", "error": {"code": "REJECTED", "message": "no"}}),
        failed("book.undo"),
        end(),
    )
    (letter,) = await letters(acme)
    assert letter["group"]["source"] == "COMPENSATION"
    undoing = (await acme(REPLAY, id=letter["id"]))["id"]
    row = await admin.fetchrow("SELECT undoes_run_id, rerun, status FROM runs WHERE id = $1", UUID(undoing))
    assert (row["undoes_run_id"], row["status"]) == (UUID(run), "QUEUED")
    assert orjson.loads(row["rerun"])["keys"] == {run: ["book.undo"]}
    await fleet.claim(undoing)
    await fleet.apply(undoing, completed("book.undo", output=1))
    await fleet.finish(undoing)
    status = await admin.fetchval(
        "SELECT status FROM step_runs WHERE run_id = $1 AND key = 'book'", UUID(run)
    )
    assert status == "COMPENSATED"


async def test_what_a_rerun_undoes_is_taken_over_by_no_later_one(acme: Client, fleet: Fleet) -> None:
    undo = {"action": "shop/get-order", "input": {"order": "1"}}
    steps = [call("book", compensate=undo), call("pay")]
    await publish(acme, orders(steps=steps, compensateOn=["cancel"], result=None))
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(run, completed("book", output=1), failed("pay"), end())
    (letter,) = await letters(acme)
    again = (await acme(REPLAY, id=letter["id"]))["id"]
    await fleet.claim(again)
    await fleet.apply(
        again,
        ("compensating", None, {"outcome": "CANCELED", "error": None}),
        completed("book.undo", output=1),
        ("canceled", None, {}),
    )
    assert fates(await acme(PREVIEW, run=run)) == {"book": "AGAIN", "pay": "AGAIN"}
    assert fates(await acme(PREVIEW, run=again)) == {"book": "AGAIN", "pay": "AHEAD"}


async def test_a_run_that_was_set_aside_goes_on_itself(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    await fleet.park(run, "DEAD_LETTER")
    await admin.execute(
        """INSERT INTO dead_letters (id, tenant_id, run_id, source, reason, workflow_id, code)
           SELECT $2, tenant_id, id, 'claim', 'claimed in vain', workflow_id, 'NO_PROGRESS' FROM runs WHERE id = $1""",
        UUID(run),
        new_id(),
    )
    (letter,) = await letters(acme)
    assert letter["group"]["source"] == "CLAIM"
    assert (await acme(REPLAY, id=letter["id"]))["id"] == run
    assert await fleet.dispatches(run) == [(True, False, True)]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("newest", "dead_letters_newest"),
        ("newest_of_workflow", "dead_letters_by_workflow"),
        ("newest_of_group", "dead_letters_by_group"),
    ],
)
async def test_a_page_is_read_off_an_index(
    acme: Client, database: str, admin: asyncpg.Connection, wanted: str, index: str
) -> None:
    """However many others there are, and however rare what is asked for: as many rows are read as are shown."""
    await publish(acme, orders())
    tenant, workflow = await admin.fetchrow("SELECT tenant_id, id FROM workflows WHERE name = 'orders'")
    await admin.execute(
        """INSERT INTO dead_letters (id, tenant_id, run_id, source, reason, workflow_id, action, code)
           SELECT gen_random_uuid(), $1, gen_random_uuid(), 'step', 'r', $2, 'shop/refund', 'HTTP_' || n % 7
           FROM generate_series(1, 20000) n""",
        tenant,
        workflow,
    )
    await admin.execute("ANALYZE dead_letters")
    more: dict[str, tuple[Any, ...]] = {
        "newest_of_workflow": ("orders",),
        "newest_of_group": ("step", "shop/refund", "HTTP_3", None),
    }
    window = (tenant, "OPEN", UUID(int=2**128 - 1), 51, *more.get(wanted, ()))
    statement = getattr(_sql, wanted)
    async with await open_pool(database, API) as pool, tenant_transaction(pool, tenant) as db:
        await db.execute(_sql.in_index_order)
        for _ in range(6):  # then Postgres may go over to one plan for all values
            assert len(await db.fetch(statement, *window)) == 51
        plan = await db.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *window)
    assert index in str(plan)
    assert rows_read(plan[0]["Plan"], "dead_letters") <= 56
