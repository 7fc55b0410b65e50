"""Starting runs: one, many, again."""

import asyncio

import asyncpg
import orjson

from tests.integration.control_plane_runs.acting import (
    FAILURE,
    Client,
    deprecate,
    orders,
    publish,
    publish_version,
    save_draft,
    start,
    started,
    with_role,
)

_BULK = (
    """mutation($items: [RunStart!]!) { startRuns(items: $items) { ... on StartedRuns { items { __typename
         ... on Run { id status workflow { name } input } """
    + FAILURE
    + "} } "
    + FAILURE
    + "} }"
)


async def test_a_run_is_stored_with_its_dispatch(acme: Client, admin: asyncpg.Connection) -> None:
    await publish(acme, orders())
    run = await start(acme)
    assert (run["__typename"], run["status"], run["version"]) == ("Run", "QUEUED", {"number": 1})
    (row,) = await admin.fetch(
        """SELECT r.input, d.due_at <= now() AS due, d.sent_at, r.dispatch_id = d.id AS current
           FROM runs r JOIN dispatches d ON d.run_id = r.id"""
    )
    assert (row["input"], row["due"], row["sent_at"], row["current"]) == ('{"order": "17"}', True, None, True)


async def test_a_start_that_postgres_does_not_carry_out_may_be_tried_again(
    acme: Client, admin: asyncpg.Connection, database: str
) -> None:
    """Somebody stops its statement: as with a full disk or a time limit, nothing is wrong with the start."""
    await publish(acme, orders())
    other = await asyncpg.connect(database)
    async with other.transaction():
        await other.execute("LOCK TABLE dispatches")
        starting = asyncio.create_task(start(acme))
        async with asyncio.timeout(10):
            while not await admin.fetchval(
                """SELECT bool_or(pg_cancel_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'"""
            ):
                await asyncio.sleep(0.02)  # nothing tells that it waits
        refused = await starting
    await other.close()
    assert (refused["__typename"], refused["code"]) == ("Unavailable", "DATABASE_UNAVAILABLE")
    assert (await start(acme))["__typename"] == "Run"


async def test_the_relay_is_woken(acme: Client, admin: asyncpg.Connection) -> None:
    await publish(acme, orders())
    heard: asyncio.Queue[str] = asyncio.Queue()
    await admin.add_listener("headrace_dispatch", lambda *args: heard.put_nowait(str(args[-1])))
    await started(acme)
    async with asyncio.timeout(10):
        assert await heard.get() == ""


async def test_starts_at_once_are_told_of_together_and_none_is_left_untold(
    acme: Client, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    heard: asyncio.Queue[str] = asyncio.Queue()
    await admin.add_listener("headrace_dispatch", lambda *args: heard.put_nowait(str(args[-1])))
    await asyncio.gather(*(started(acme) for _ in range(20)))
    seen = notified = 0
    async with asyncio.timeout(10):
        while seen < 20:
            assert await heard.get() == ""
            notified += 1
            seen = await admin.fetchval("SELECT count(*) FROM dispatches")
    assert notified + heard.qsize() < 20


async def test_every_problem_of_an_input_is_told(acme: Client, admin: asyncpg.Connection) -> None:
    await publish(acme, orders())
    refused = await start(acme, input={"amount": "many", "other": 1})
    assert refused["code"] == "INVALID_INPUT"
    assert {p["path"] for p in refused["problems"]} == {"input.order", "input.amount", "input"}
    assert all(p["mend"] for p in refused["problems"])
    assert "many" not in str(refused)
    assert await admin.fetchval("SELECT count(*) FROM runs") == 0


async def test_an_input_is_an_object_of_bounded_size(acme: Client) -> None:
    await publish(acme, {"workflow": "orders", "steps": [{"key": "a", "type": "transform", "input": 1}]})
    for given in ("text", [1], 7):
        refused = await start(acme, input=given)
        assert [p["path"] for p in refused["problems"]] == ["input"]
    refused = await start(acme, input={"x": "y" * 256 * 1024})
    assert [p["code"] for p in refused["problems"]] == ["TOO_LARGE"]
    assert (await start(acme, input={"x": "y" * 250 * 1024}))["__typename"] == "Run"


async def test_what_can_not_be_stored_is_refused_clearly(acme: Client, admin: asyncpg.Connection) -> None:
    await publish(acme, orders())
    query = 'mutation($input: JSON) { startRun(workflow: "orders", input: $input) { __typename } }'
    error = await acme.error(query, input={"order": "a\0b"})
    assert (error["message"], error["extensions"]["code"]) == ("JSON holds a NUL character", "BAD_QUERY")
    half = orjson.dumps({"query": query, "variables": {"input": {"order": "HALF"}}})
    response = await acme.post_bytes(half.replace(b"HALF", rb"\ud800"))
    assert response.status_code == 400
    assert await admin.fetchval("SELECT count(*) FROM runs") == 0


async def test_the_newest_published_version_runs(acme: Client) -> None:
    assert (await start(acme))["message"] == "workflow not found"
    draft = await save_draft(acme, orders())
    assert (await start(acme))["message"] == "the workflow has no published version"
    assert (await start(acme, version=1))["message"] == "the version is a draft; publish it first"
    assert (await start(acme, version=2))["message"] == "workflow version not found"
    await publish_version(acme, draft["version"]["id"])
    second = await publish(acme, orders(timeoutMs=1000))
    assert (await start(acme))["version"] == {"number": 2}
    assert (await start(acme, version=1))["version"] == {"number": 1}
    await deprecate(acme, second["version"]["id"])
    assert (await start(acme))["version"] == {"number": 1}
    refused = await start(acme, version=2)
    assert (refused["code"], refused["message"]) == (
        "CONFLICT",
        "the version is deprecated; start a published one",
    )


async def test_the_same_key_answers_the_same_run(acme: Client) -> None:
    first = await publish(acme, orders())
    run = await start(acme, key="order 17", input={"order": "17", "amount": 1})
    # Again, in another order and spelling, after a newer version, and after the version's end.
    assert await start(acme, key="order 17", input={"amount": 1.0, "order": "17"}) == run
    await publish(acme, orders(timeoutMs=1000))
    assert (await start(acme, key="order 17", input={"order": "17", "amount": 1}))["id"] == run["id"]
    await deprecate(acme, first["version"]["id"])
    assert (await start(acme, key="order 17", input={"order": "17", "amount": 1}))["id"] == run["id"]
    for other in ({"input": {"order": "18"}}, {"version": 2, "input": {"order": "17", "amount": 1}}):
        refused = await start(acme, key="order 17", **other)
        assert refused["code"] == "CONFLICT"
    assert (await start(acme, input={"order": "17", "amount": 1}))["id"] != run["id"]


async def test_a_refused_start_does_not_use_up_its_key(acme: Client) -> None:
    await publish(acme, orders())
    assert (await start(acme, key="k", input={}))["code"] == "INVALID_INPUT"
    assert (await start(acme, key="k"))["__typename"] == "Run"
    for key in ("", "k" * 201, "schedule/1", "backfill/1"):
        assert (await start(acme, key=key))["problems"][0]["path"] == "idempotencyKey"


async def test_twenty_starts_at_once_with_one_key_are_one_run(
    acme: Client, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    runs = await asyncio.gather(*(started(acme, key="once") for _ in range(20)))
    assert len(set(runs)) == 1
    for table in ("runs", "dispatches", "start_keys"):
        assert await admin.fetchval(f"SELECT count(*) FROM {table}") == 1


async def test_a_bad_item_loses_nothing_beside_it(acme: Client, admin: asyncpg.Connection) -> None:
    await publish(acme, orders())
    known = await started(acme, key="known")
    good = {"workflow": "orders", "input": {"order": "1"}}
    answer = await acme(
        _BULK,
        items=[
            good,
            {"workflow": "orders", "input": {"order": 2}},
            {"workflow": "nowhere", "input": {}},
            {**good, "version": 9},
            {**good, "idempotencyKey": "new"},
            {**good, "idempotencyKey": "new"},
            {**good, "idempotencyKey": "new", "input": {"order": "other"}},
            {"workflow": "orders", "input": {"order": "17"}, "idempotencyKey": "known"},
            {**good, "idempotencyKey": "known"},
            {**good, "input": {"order": "2"}},
        ],
    )
    items = answer["items"]
    kinds = [item["__typename"] for item in items]
    assert kinds == [
        "Run",
        "InvalidInput",
        "NotFound",
        "NotFound",
        "Run",
        "Run",
        "Conflict",
        "Run",
        "Conflict",
        "Run",
    ]
    assert items[1]["problems"][0]["path"] == "input.order"
    assert items[4]["id"] == items[5]["id"]
    assert items[7]["id"] == known
    assert [items[n]["input"]["order"] for n in (0, 4, 7, 9)] == ["1", "1", "17", "2"]
    assert await admin.fetchval("SELECT count(*) FROM runs") == 4
    assert await admin.fetchval("SELECT count(*) FROM dispatches") == 4


async def test_a_thousand_runs_start_at_once_and_no_more(acme: Client, admin: asyncpg.Connection) -> None:
    await publish(acme, orders())
    item = {"workflow": "orders", "input": {"order": "1"}}
    query = """mutation($items: [RunStart!]!) { startRuns(items: $items) { ... on StartedRuns {
                 items { ... on Run { id } } } ... on Failure { code } } }"""
    answer = await acme(query, items=[{**item, "idempotencyKey": f"key {n}"} for n in range(1000)])
    assert len({run["id"] for run in answer["items"]}) == 1000
    assert await admin.fetchval("SELECT count(*) FROM dispatches") == 1000
    assert (await acme(query, items=[item] * 1001))["code"] == "LIMIT_EXCEEDED"


async def test_batches_that_share_keys_do_not_stand_in_each_others_way(
    acme: Client, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    items = [
        {"workflow": "orders", "input": {"order": "1"}, "idempotencyKey": f"key {n}"} for n in range(100)
    ]
    answers = await asyncio.gather(*(acme(_BULK, items=items[:: (1, -1)[n % 2]]) for n in range(6)))
    ids = [{run["id"] for run in answer["items"]} for answer in answers]
    assert len(ids[0]) == 100
    assert all(other == ids[0] for other in ids)
    assert await admin.fetchval("SELECT count(*) FROM runs") == 100


async def test_tenants_share_neither_workflows_nor_keys(acme: Client, stranger: Client) -> None:
    await publish(acme, orders())
    assert (await start(stranger, key="k"))["message"] == "workflow not found"
    await publish(stranger, orders())
    assert await started(stranger, key="k") != await started(acme, key="k")


async def test_who_may_start(acme: Client) -> None:
    await publish(acme, orders())
    for role, kind in (
        ("OPERATOR", "Run"),
        ("DESIGNER", "Run"),
        ("VIEWER", "Forbidden"),
        ("APPROVER", "Forbidden"),
    ):
        assert (await start(await with_role(acme, role)))["__typename"] == kind
