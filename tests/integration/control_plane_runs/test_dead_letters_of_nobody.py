"""Dead letters that belong to no tenant: the platform's admins list and close them, and see nothing that is in them."""

from typing import Any
from uuid import UUID

import asyncpg
import orjson
from headrace.ids import new_id
from headrace.postgres.queries import load
from headrace_control.dead_letters.gauges import IN_INDEX_ORDER

from tests.integration.control_plane_runs.acting import FAILURE, Client, Fleet, orders, publish
from tests.integration.control_plane_runs.commanding import headrace, shown
from tests.integration.control_plane_runs.dead_letters import DISCARD, given_up, letters, of_nobody
from tests.integration.control_plane_runs.query_plans import nodes

_sql = load("headrace_control.dead_letters")

_LIST = """query($status: DeadLetterStatus! = OPEN, $first: Int! = 50, $after: String) {
  nobodysDeadLetters(status: $status, first: $first, after: $after) {
    items { id status source reason createdAt closedAt closedReason } pageInfo { hasNextPage endCursor } } }"""
_CLOSE = f"""mutation($ids: [ID!], $source: String, $reason: String!) {{
  discardNobodysDeadLetters(ids: $ids, ofSource: $source, reason: $reason) {{ __typename
    ... on DiscardedDeadLetters {{ count }} {FAILURE} }} }}"""


async def _unreadable(admin: asyncpg.Connection, queue: str, count: int) -> None:
    await admin.execute(
        """INSERT INTO dead_letters (id, source, reason, code)
           SELECT gen_random_uuid(), $1, 'the message is not JSON', 'UNREADABLE' FROM generate_series(1, $2)""",
        queue,
        count,
    )


async def test_they_are_listed_and_closed_with_a_record(
    platform: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    await of_nobody(fleet, 3)
    listed = await platform(_LIST, first=2)
    newest, middle = listed["items"]
    assert listed["pageInfo"]["hasNextPage"]
    (oldest,) = (await platform(_LIST, first=2, after=listed["pageInfo"]["endCursor"]))["items"]
    assert newest["createdAt"] > middle["createdAt"] > oldest["createdAt"]
    reason = "events that nobody was granted (NO_SUCH_RUN)"
    assert {**newest, "id": "", "createdAt": ""} == {
        "id": "",
        "createdAt": "",
        "status": "OPEN",
        "source": "reporter",
        "reason": reason,
        "closedAt": None,
        "closedReason": None,
    }
    closed = await platform(_CLOSE, ids=[oldest["id"], str(new_id())], reason="a drill")
    assert closed == {"__typename": "DiscardedDeadLetters", "count": 1}
    again = await platform(_CLOSE, ids=[oldest["id"]], reason="a drill")
    assert (again["__typename"], again["code"]) == ("NotFound", "NOT_FOUND")
    assert [one["id"] for one in (await platform(_LIST))["items"]] == [newest["id"], middle["id"]]
    (gone,) = (await platform(_LIST, status="DISCARDED"))["items"]
    assert (gone["id"], gone["closedReason"]) == (oldest["id"], "a drill")
    assert gone["closedAt"]
    (kept,) = await admin.fetch(
        "SELECT * FROM audit_inbox WHERE action = 'dead_letter.discard_nobodys' AND outcome = 'DONE'"
    )
    assert kept["target"] == f"dead_letter/{oldest['id']}"
    assert orjson.loads(kept["detail"]) == {"discarded": 1, "reason": "a drill", "source": None}
    whose = await admin.fetchval("SELECT name FROM tenants WHERE id = $1", kept["tenant_id"])
    assert whose == "platform"


async def test_all_of_a_source_are_closed_and_no_others(
    platform: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    await of_nobody(fleet)
    await _unreadable(admin, "events.3", 4)
    await _unreadable(admin, "events.4", 1)
    assert (await platform(_CLOSE, source="events.3", reason="an old release"))["count"] == 4
    assert {one["source"] for one in (await platform(_LIST))["items"]} == {"events.4", "reporter"}
    for source in ("events.3", ""):
        assert (await platform(_CLOSE, source=source, reason="x"))["__typename"] == "NotFound"


async def test_what_is_asked_for_wrongly_is_refused(platform: Client) -> None:
    for given in ({}, {"ids": [str(new_id())], "source": "reporter"}):
        assert (await platform(_CLOSE, reason="x", **given))["problems"][0]["path"] == "ids"
    assert (await platform(_CLOSE, source="reporter", reason=" "))["problems"][0]["path"] == "reason"
    many = [str(new_id()) for _ in range(201)]
    assert (await platform(_CLOSE, ids=many, reason="x"))["__typename"] == "LimitExceeded"
    assert (await platform(_CLOSE, ids=["nonsense"], reason="x"))["__typename"] == "NotFound"


async def test_those_of_tenants_are_neither_shown_nor_closed(
    acme: Client, platform: Client, fleet: Fleet
) -> None:
    await publish(acme, orders())
    await given_up(acme, fleet)
    (own,) = await letters(acme)
    assert (await platform(_LIST))["items"] == []
    assert (await platform(_CLOSE, ids=[own["id"]], reason="x"))["__typename"] == "NotFound"
    for source in ("step", "STEP", "reporter"):
        assert (await platform(_CLOSE, source=source, reason="x"))["__typename"] == "NotFound"
    assert [one["status"] for one in await letters(acme)] == ["OPEN"]


async def test_a_tenants_admin_neither_sees_nor_closes_them(
    acme: Client, platform: Client, fleet: Fleet
) -> None:
    await of_nobody(fleet)
    (one,) = (await platform(_LIST))["items"]
    assert await letters(acme) == []
    assert (await acme(DISCARD, ids=[one["id"]], reason="x"))["__typename"] == "NotFound"
    assert (await platform(DISCARD, ids=[one["id"]], reason="x"))["__typename"] == "NotFound"
    assert (await acme(_CLOSE, ids=[one["id"]], reason="x"))["__typename"] == "Forbidden"
    assert len((await platform(_LIST))["items"]) == 1


async def test_nothing_that_is_in_them_is_shown(
    platform: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    await of_nobody(fleet, output={"canary": "c4nary-of-a-tenant"})
    assert "c4nary-of-a-tenant" in await admin.fetchval("SELECT body::text FROM dead_letters")
    said = [str(await platform(_LIST)), await shown(platform, "dead-letters", "nobodys")]
    assert [text for text in said if "c4nary" in text] == []


async def test_by_command(platform: Client, acme: Client, fleet: Fleet, admin: asyncpg.Connection) -> None:
    await of_nobody(fleet, 2)
    await _unreadable(admin, "events.3", 2)
    listed = await headrace(platform, "dead-letters", "nobodys", "--first", "3")
    assert len(listed["items"]) == 3
    assert listed["pageInfo"]["hasNextPage"]
    assert "events that nobody was granted" in await shown(platform, "dead-letters", "nobodys")
    close = ("dead-letters", "discard-nobodys", "--reason", "a drill")
    one = await admin.fetchval("SELECT id::text FROM dead_letters WHERE source = 'reporter' LIMIT 1")
    assert await headrace(platform, *close, one) == {"count": 1}
    assert await headrace(platform, *close, "--source", "events.3") == {"count": 2}
    for bad in ([], [one, "--source", "reporter"]):
        refused = await headrace(platform, *close, *bad, code=2)
        assert refused["error"]["problems"][0]["path"] == "--source"
    (left,) = (await headrace(platform, "dead-letters", "nobodys"))["items"]
    assert UUID(left["id"]) != UUID(one)
    await headrace(acme, "dead-letters", "nobodys", code=3)


async def plan_of(admin: asyncpg.Connection, query: str, *given: Any) -> Any:
    async with admin.transaction():
        await admin.execute("SET LOCAL ROLE headrace_worker")
        await admin.execute(IN_INDEX_ORDER)
        (plan,) = orjson.loads(
            await admin.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", *given)
        )
    return plan["Plan"]


async def test_a_page_and_a_discard_read_no_more_than_they_need(admin: asyncpg.Connection) -> None:
    for queue in ("events.3", "events.4"):
        await _unreadable(admin, queue, 20_000)
    await admin.execute("VACUUM ANALYZE dead_letters")
    for query, *given in (
        (_sql.newest_of_nobody, "OPEN", UUID(int=2**128 - 1), 50),
        (_sql.open_of_nobody, "events.3", 50),
    ):
        plan = await plan_of(admin, query, *given)
        assert {node["Node Type"] for node in nodes(plan)}.isdisjoint({"Seq Scan", "Sort"})
        assert all(node["Actual Rows"] <= 50 for node in nodes(plan))
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 100
