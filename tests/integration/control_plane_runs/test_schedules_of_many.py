"""Schedules of several tenants: what is the matter with one tenant's keeps no other's from their minute."""

from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import asyncpg
import pytest
from headrace.errors import Unavailable
from headrace_control.schedules.deciding import Missed
from headrace_control.vault.output_keys import OutputKeys

from tests.integration.control_plane_runs.acting import Client, orders, publish
from tests.integration.control_plane_runs.planes import Planes, two_planes

ORDER = {"type": "string"}
MARKED = {"type": "object", "properties": {"order": {**ORDER, "x-sensitive": True}}}
OPTIONAL = {"type": "object", "properties": {"order": ORDER, "pin": {**ORDER, "x-sensitive": True}}}


@pytest.fixture
async def planes(
    acme: Client, stranger: Client, database: str, admin: asyncpg.Connection, master_key: bytes
) -> AsyncIterator[Planes]:
    for client in (acme, stranger):
        await publish(client, orders())
    async with two_planes(database, admin, master_key) as made:
        yield made


@pytest.fixture
def keys_away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The key provider gives no answer until this is undone."""
    monkeypatch.setattr(OutputKeys, "within", AsyncMock(side_effect=Unavailable("the KMS gives no answer")))
    return monkeypatch


async def test_a_tenant_whose_keys_are_away_stands_in_no_others_way(
    planes: Planes, acme: Client, keys_away: pytest.MonkeyPatch
) -> None:
    await planes.at("2030-05-01T00:30Z")
    for n in range(100):
        await planes.schedule(f"s{n:03}")
    await publish(acme, orders(parameters=MARKED))
    await planes.schedule("theirs", tenant="stranger", cron="1 * * * *", missed=Missed.SKIP)
    await planes.at("2030-05-01T01:00:58Z")
    await planes.turn()
    await planes.at("2030-05-01T01:01:01Z")
    for _ in range(3):
        await planes.turn()
    assert await planes.outcomes("theirs", tenant="stranger") == [("01 01:01", "STARTED")]
    assert await planes.outcomes("s000") == []


async def test_what_waited_for_its_keys_is_fired_when_they_are_there(
    planes: Planes, acme: Client, keys_away: pytest.MonkeyPatch
) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule()
    await publish(acme, orders(parameters=MARKED))
    await planes.at("2030-05-01T01:00:01Z")
    first = planes.loops[0]
    assert await first.turn() == 0
    # It is not asked for again and again meanwhile.
    assert 0.5 < await first._seconds_to_next() <= 1
    keys_away.undo()
    assert await first.turn() == 0
    assert await planes.loops[1].turn() == 1  # it never failed there
    assert await planes.outcomes() == [("01 01:00", "STARTED")]


async def test_where_nothing_is_to_be_sealed_no_key_is_asked_for(
    planes: Planes, acme: Client, keys_away: pytest.MonkeyPatch
) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule()
    await publish(acme, orders(parameters=OPTIONAL))
    await planes.fire_at("2030-05-01T01:00:01Z")
    assert await planes.outcomes() == [("01 01:00", "STARTED")]


async def test_a_backfill_whose_keys_are_away_rests(
    planes: Planes, acme: Client, keys_away: pytest.MonkeyPatch
) -> None:
    await planes.at("2030-05-01T12:00Z")
    await planes.schedule()
    await publish(acme, orders(parameters=MARKED))
    since, until = (await planes.admin.fetchrow("SELECT now() - interval '1 year', now()")) or ()
    await planes.backfills.start(planes.caller, "hourly", since, since + (until - since) / 365, 5)
    first = planes.loops[0]
    assert await first.turn() == 0
    assert len(first._rests.now()) == 1
    keys_away.undo()
    assert await planes.loops[1].turn() == 1
    assert len(await planes.runs()) == 5
