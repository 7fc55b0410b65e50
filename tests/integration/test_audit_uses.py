"""Which credentials runs have used: recorded with the attempts, as often as they are applied, that is once."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson
import pytest
from headrace.ids import new_id
from headrace_reporter import uses

from tests.integration.applying import ATTEMPT, NOW, World, applying

SHOP, BANK = new_id(), new_id()


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    async with applying(database) as prepared:
        yield prepared


def attempt(number: int, connection: UUID | None, host: str, address: str) -> dict[str, Any]:
    said = {**ATTEMPT, "number": number, "address": address}
    return {**said, "connection": str(connection), "host": host} if connection else said


async def recorded(world: World) -> list[tuple[str, Any]]:
    rows = await world.admin.fetch("SELECT * FROM audit_inbox ORDER BY id")
    assert {(row["tenant_id"], row["action"], row["actor_name"]) for row in rows} <= {
        (world.tenant, "connection.use", "runner")
    }
    return [(row["target"], orjson.loads(row["detail"])) for row in rows]


async def test_uses_are_counted_by_connection_host_and_address(world: World) -> None:
    run, other = await world.claimed_run(), await world.claimed_run()
    places = [
        (SHOP, "shop.example", "192.0.2.1"),
        (SHOP, "shop.example", "192.0.2.1"),
        (SHOP, "shop.example", "192.0.2.2"),
        (None, "free.example", "192.0.2.3"),
        (BANK, "bank.example", "192.0.2.4"),
    ]
    events = [
        world.event(run, 1, n, "attempted", f"s{n}", attempt=attempt(1, *place))
        for n, place in enumerate(places, 1)
    ]
    done = world.event(
        other, 1, 1, "completed", "a", status="SUCCESS", attempt=attempt(1, SHOP, "shop.example", "192.0.2.1")
    )
    await world.applier.apply([*events, done])
    once = {"calls": 1, "first": NOW.isoformat(), "last": NOW.isoformat()}
    shop = {"host": "shop.example", "address": "192.0.2.1"}
    by_run = {
        (target, detail["run"]): (detail["calls"], detail["places"])
        for target, detail in await recorded(world)
    }
    assert by_run == {
        (f"connection/{SHOP}", str(run)): (
            [{**once, **shop, "calls": 2}, {**once, **shop, "address": "192.0.2.2"}],
            2,
        ),
        (f"connection/{BANK}", str(run)): ([{**once, "host": "bank.example", "address": "192.0.2.4"}], 1),
        (f"connection/{SHOP}", str(other)): ([{**once, **shop}], 1),
    }


async def test_a_repeated_or_stale_event_is_no_further_use(world: World) -> None:
    run = await world.claimed_run(epoch=2)
    used = attempt(1, SHOP, "shop.example", "192.0.2.1")
    event = world.event(run, 2, 1, "completed", "a", status="SUCCESS", attempt=used)
    stale = world.event(run, 1, 9, "completed", "b", status="SUCCESS", attempt=used)
    for batch in ([event], [event], [event, stale], [stale]):
        await world.applier.apply(batch)
    assert len(await recorded(world)) == 1


async def test_a_loop_over_many_places_is_told_by_its_number(world: World) -> None:
    run = await world.claimed_run()
    events = [
        world.event(
            run, 1, n, "completed", f"s{n}", status="SUCCESS", attempt=attempt(1, SHOP, f"h{n}", "192.0.2.1")
        )
        for n in range(1, uses.MOST + 11)
    ]
    await world.applier.apply(events)
    ((_, detail),) = await recorded(world)
    assert (len(detail["calls"]), detail["places"]) == (uses.MOST, uses.MOST + 10)


async def test_a_connection_that_is_none_sets_its_run_alone_aside(world: World) -> None:
    run, beside = await world.claimed_run(), await world.claimed_run()
    bad = {**attempt(1, SHOP, "shop.example", "192.0.2.1"), "connection": "shop-main"}
    await world.applier.apply(
        [world.event(run, 1, 1, "completed", "a", status="SUCCESS", attempt=bad), *world.history(beside)]
    )
    assert await recorded(world) == []
    assert (await world.status(run), await world.status(beside)) == ("WAITING", "SUCCESS")
