"""How many runs of a workflow are unfinished at once: queued, skipped, canceled, admitted."""

import asyncio
import random
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from headrace.concurrency.turns import Slot, Turn, enter, leave, lock_slots
from headrace.ids import new_id

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.stopping import cancel

_BULK = """mutation($items: [RunStart!]!) { startRuns(items: $items) { ... on StartedRuns { items { __typename
  ... on Run { id status waitReason } ... on Failure { code message } ... on ConcurrencyLimit { runs } } } } }"""


async def limit(client: Client, **rule: Any) -> None:
    """Publish `orders` with a limit."""
    published = await publish(client, orders(concurrency=rule))
    assert published["__typename"] == "PublishedVersion", published


async def start_all(client: Client, *inputs: str, key: str | None = None) -> list[Any]:
    items = [{"workflow": "orders", "input": {"order": order}, "idempotencyKey": key} for order in inputs]
    return list((await client(_BULK, items=items))["items"])


async def due(fleet: Fleet) -> list[str]:
    """The runs that have a dispatch."""
    return [
        str(row["run_id"]) for row in await fleet.admin.fetch("SELECT run_id FROM dispatches ORDER BY run_id")
    ]


async def nothing_is_left(fleet: Fleet) -> None:
    assert await fleet.admin.fetchval("SELECT count(*) FROM concurrency_turns") == 0
    assert await fleet.admin.fetchval("SELECT count(*) FROM concurrency_slots") == 0


async def end(fleet: Fleet, run: str) -> None:
    await fleet.claim(run)
    await fleet.finish(run)


async def test_a_run_above_the_limit_waits_for_the_end_of_an_earlier_one(acme: Client, fleet: Fleet) -> None:
    await limit(acme, limit=2, onLimit="queue")
    runs = [await started(acme) for _ in range(4)]
    assert await due(fleet) == runs[:2]
    shown = await acme("query($id: ID!) { run(id: $id) { status waitReason } }", id=runs[2])
    assert shown == {"status": "QUEUED", "waitReason": "CONCURRENCY"}
    await end(fleet, runs[1])
    assert await due(fleet) == [runs[0], runs[2]]
    assert await fleet.dispatches(runs[2]) == [(True, False, True)]
    await end(fleet, runs[0])
    await end(fleet, runs[2])
    assert await due(fleet) == [runs[3]]
    await end(fleet, runs[3])
    await nothing_is_left(fleet)


async def test_starts_of_one_batch_count_against_each_other(acme: Client, fleet: Fleet) -> None:
    await limit(acme, limit=2, onLimit="queue")
    items = await start_all(acme, "1", "2", "3")
    assert [item["waitReason"] for item in items] == [None, None, "CONCURRENCY"]
    assert set(await due(fleet)) == {item["id"] for item in items[:2]}


async def test_inputs_with_another_key_are_limited_apart(acme: Client, fleet: Fleet) -> None:
    await limit(acme, limit=1, onLimit="queue", key="$.order")
    items = await start_all(acme, "1", "2", "1", "2")
    assert [item["waitReason"] for item in items] == [None, None, "CONCURRENCY", "CONCURRENCY"]
    await end(fleet, items[1]["id"])
    assert set(await due(fleet)) == {items[0]["id"], items[3]["id"]}


async def test_a_start_is_skipped_and_told_what_is_in_the_way(acme: Client, fleet: Fleet) -> None:
    await limit(acme, limit=1, onLimit="skip")
    first, second = await start_all(acme, "1", "2")
    assert (second["__typename"], second["code"]) == ("ConcurrencyLimit", "CONCURRENCY_LIMIT")
    assert second["runs"] == [first["id"]]
    assert first["id"] in second["message"]
    (third,) = await start_all(acme, "3", key="k")
    assert third["runs"] == [first["id"]]
    assert await fleet.admin.fetchval("SELECT count(*) FROM runs") == 1
    assert await fleet.admin.fetchval("SELECT count(*) FROM start_keys") == 0
    await end(fleet, first["id"])
    await nothing_is_left(fleet)
    assert (await start_all(acme, "3", key="k"))[0]["__typename"] == "Run"


async def test_a_repeated_start_is_its_own_run_and_not_in_its_own_way(acme: Client, fleet: Fleet) -> None:
    await limit(acme, limit=1, onLimit="skip")
    first, again = await start_all(acme, "1", "1", key="k")
    (later,) = await start_all(acme, "1", key="k")
    assert first["id"] == again["id"] == later["id"]
    racing = await asyncio.gather(*(start_all(acme, "2", key="r") for _ in range(4)))
    assert {answers[0]["__typename"] for answers in racing} == {"ConcurrencyLimit"}
    await end(fleet, first["id"])
    racing = await asyncio.gather(*(start_all(acme, "2", key="r") for _ in range(4)))
    assert len({answers[0]["id"] for answers in racing}) == 1


async def test_previous_runs_are_canceled_and_waited_for(acme: Client, fleet: Fleet) -> None:
    await limit(acme, limit=1, onLimit="cancelPrevious")
    first, second, third = [await started(acme) for _ in range(3)]
    asked = await fleet.admin.fetch("SELECT id FROM runs WHERE cancel_requested ORDER BY id")
    assert [str(row["id"]) for row in asked] == [first, second]
    # The second one never began: it is due only to be ended, and nobody waits for it.
    assert await due(fleet) == [first, second]
    await fleet.claim(first)
    await fleet.apply(first, ("canceled", None, {}))
    assert await due(fleet) == [second, third]


async def test_a_previous_run_that_waits_is_woken(acme: Client, fleet: Fleet) -> None:
    await limit(acme, limit=1, onLimit="cancelPrevious")
    first = await started(acme)
    await fleet.claim(first)
    await fleet.apply(first, ("parked", None, {"reason": "IN_DOUBT"}))
    assert await due(fleet) == []
    await started(acme)
    assert await fleet.dispatches(first) == [(True, False, True)]


async def test_a_canceled_run_that_never_had_its_turn_ends_and_lets_the_next_pass(
    acme: Client, fleet: Fleet
) -> None:
    await limit(acme, limit=1, onLimit="queue")
    first, second, third = [await started(acme) for _ in range(3)]
    assert (await cancel(acme, second))["status"] == "QUEUED"
    assert await fleet.dispatches(second) == [(True, False, True)]
    await fleet.claim(second)
    await fleet.apply(second, ("canceled", None, {}))
    assert await due(fleet) == [first]
    await end(fleet, first)
    assert await due(fleet) == [third]
    await end(fleet, third)
    await nothing_is_left(fleet)


async def test_versions_count_each_others_runs_by_their_own_limits(acme: Client, fleet: Fleet) -> None:
    await limit(acme, limit=2, onLimit="queue")
    old = [await started(acme) for _ in range(2)]
    await limit(acme, limit=1, onLimit="queue")
    new = await started(acme)
    await end(fleet, old[0])
    assert await due(fleet) == [old[1]]
    await end(fleet, old[1])
    assert await due(fleet) == [new]


async def test_who_is_admitted_lets_those_behind_it_pass_that_have_room(acme: Client, fleet: Fleet) -> None:
    await limit(acme, limit=1, onLimit="queue")
    first, narrow = [await started(acme) for _ in range(2)]
    await limit(acme, limit=3, onLimit="queue")
    wide = [await started(acme) for _ in range(3)]
    assert await due(fleet) == [first]
    # Each counts those before it against its own limit: a fourth one waits.
    await end(fleet, first)
    assert await due(fleet) == [narrow, *wide[:2]]
    await end(fleet, narrow)
    assert await due(fleet) == wide


async def test_nobody_overtakes_one_that_has_no_room(acme: Client, fleet: Fleet) -> None:
    await limit(acme, limit=2, onLimit="queue")
    first = [await started(acme) for _ in range(2)]
    wide = await started(acme)
    await limit(acme, limit=1, onLimit="queue")
    narrow = await started(acme)
    await limit(acme, limit=9, onLimit="queue")
    last = await started(acme)
    await end(fleet, first[0])
    assert await due(fleet) == [first[1], wide]
    await end(fleet, first[1])
    assert await due(fleet) == [wide]
    await end(fleet, wide)
    assert await due(fleet) == [narrow, last]


async def test_without_a_limit_no_turn_is_taken(acme: Client, fleet: Fleet) -> None:
    await limit(acme, limit=1, onLimit="allow")
    runs = [await started(acme) for _ in range(3)]
    assert await due(fleet) == runs
    await nothing_is_left(fleet)


async def settled_or_waiting(admin: asyncpg.Connection, task: "asyncio.Future[Any]") -> None:
    """Return when the task has ended, or waits for a lock."""
    async with asyncio.timeout(20):
        while not task.done():
            if await admin.fetchval(
                "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid())"
            ):
                return
            await asyncio.sleep(0.01)  # nothing tells of a lock that is waited for


@pytest.mark.parametrize("allowed", [1, 2])
async def test_an_end_beside_a_start_admits_what_the_start_adds(
    acme: Client, fleet: Fleet, database: str, allowed: int
) -> None:
    """The start holds its slot and is not committed: an end that did not wait would admit nobody, and nor would it."""
    await limit(acme, limit=allowed, onLimit="queue")
    first, *others = [await started(acme) for _ in range(allowed)]
    await fleet.claim(first)
    starting = await asyncpg.connect(database)
    async with starting.transaction():
        turn = (await starting.fetch("SELECT * FROM concurrency_turns"))[0]
        slot = Slot(turn["tenant_id"], turn["workflow_id"], turn["key"])
        await lock_slots(starting, [slot])
        added, dispatch = new_id(), new_id()
        await starting.execute(
            """INSERT INTO runs (id, tenant_id, workflow_id, version_id, dispatch_id, limited)
               SELECT $1, tenant_id, workflow_id, version_id, $2, true FROM runs LIMIT 1""",
            added,
            dispatch,
        )
        assert await enter(starting, [Turn(slot, added, dispatch, allowed)]) == []
        ending = asyncio.ensure_future(fleet.finish(first))
        await settled_or_waiting(starting, ending)
    await ending
    assert await due(fleet) == [*others, str(added)]
    await starting.close()


async def test_a_start_beside_an_end_finds_the_place_that_it_leaves(
    acme: Client, fleet: Fleet, database: str
) -> None:
    await limit(acme, limit=1, onLimit="queue")
    first = await started(acme)
    await fleet.admin.execute("DELETE FROM dispatches")
    ending = await asyncpg.connect(database)
    async with ending.transaction():
        assert await leave(ending, [UUID(first)]) == []
        starting = asyncio.ensure_future(started(acme))
        await settled_or_waiting(ending, starting)
    second = await starting
    assert await due(fleet) == [second]
    await ending.close()


@pytest.mark.parametrize("on_limit", ["queue", "cancelPrevious"])
async def test_racing_starts_cancels_and_ends_lose_nobody(
    acme: Client, fleet: Fleet, database: str, on_limit: str
) -> None:
    """Every run ends although many are started, canceled and ended at once, and never more than allowed go on."""
    await limit(acme, limit=2, onLimit=on_limit, key="$.order")
    everyone = await asyncpg.create_pool(database, min_size=1, max_size=6)
    runners = Fleet(everyone, fleet.applier)
    rng = random.Random(11)
    wanted, seen = 60, set[str]()
    running: dict[str, set[str]] = {"1": set(), "2": set()}
    starting = True

    async def start_many() -> None:
        for _ in range(wanted // 6):
            await start_all(acme, *rng.choices(["1", "2"], k=2))

    async def cancel_some() -> None:
        while starting:
            for row in await everyone.fetch(
                "SELECT id FROM runs WHERE status = 'QUEUED' ORDER BY random() LIMIT 1"
            ):
                await cancel(acme, str(row["id"]))
            await asyncio.sleep(0.01)

    async def end_some() -> None:
        while starting or len(seen) < wanted:
            rows = await everyone.fetch(
                """SELECT r.id, r.cancel_requested, r.input ->> 'order' AS order FROM dispatches d
                   JOIN runs r ON r.id = d.run_id ORDER BY random() LIMIT 1"""
            )
            for row in rows:
                run = str(row["id"])
                if run in seen:
                    continue
                seen.add(run)
                await runners.claim(run)
                going = running[row["order"]]
                if not row["cancel_requested"]:
                    going.add(run)
                    assert len(going) <= 2
                await asyncio.sleep(0)
                going.discard(run)
                await runners.finish(run)
            await asyncio.sleep(0)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        ending = [tasks.create_task(end_some()) for _ in range(3)]
        canceling = tasks.create_task(cancel_some())
        await asyncio.gather(*(start_many() for _ in range(3)))
        starting = False
        await asyncio.gather(*ending, canceling)
    await everyone.close()
    assert await fleet.admin.fetchval("SELECT count(*) FROM runs WHERE status = 'SUCCESS'") == wanted
    await nothing_is_left(fleet)


@pytest.mark.parametrize("key", ["$.items[*].id", "$..id", "$.a["])
async def test_a_key_that_is_not_one_value_is_refused_when_published(acme: Client, key: str) -> None:
    refused = await publish(acme, orders(concurrency={"key": key}))
    assert [(p["path"], p["code"]) for p in refused["problems"]] == [("concurrency.key", "BAD_JSONPATH")]
    assert refused["problems"][0]["mend"]
