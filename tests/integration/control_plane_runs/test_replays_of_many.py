"""Replays of several tenants: what is the matter with one tenant's holds up no other's."""

import asyncio
from unittest.mock import AsyncMock

import pytest
from headrace.errors import Unavailable
from headrace_control.replays.loop import AT_ONCE
from headrace_control.vault.output_keys import OutputKeys

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish
from tests.integration.control_plane_runs.dead_letters import REPLAY_ALL, SHOWN, ended, given_up
from tests.integration.control_plane_runs.replay_loops import replays_of

GROUP = {"source": "STEP", "action": "shop/refund", "code": "HTTP_500"}


@pytest.fixture
async def replays(acme: Client, stranger: Client, fleet: Fleet) -> list[str]:
    """As many of one tenant as are looked for at a time, which need its keys; then one of another, which does not."""
    for client in (acme, stranger):
        await publish(client, orders())
        await given_up(client, fleet)
    made = [await acme(REPLAY_ALL, group=GROUP, how={"patch": {"amount": n}}, rate=1) for n in range(AT_ONCE)]
    made.append(await stranger(REPLAY_ALL, group=GROUP, rate=1))
    return [one["id"] for one in made]


async def test_replays_whose_keys_are_away_are_put_off(
    acme: Client,
    stranger: Client,
    database: str,
    master_key: bytes,
    replays: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = Unavailable("the KMS gives no answer")
    monkeypatch.setattr(OutputKeys, "within", AsyncMock(side_effect=away))
    async with replays_of(database, master_key):
        assert (await ended(stranger, replays[-1]))["replayed"] == 1
    shown = [await acme(SHOWN, id=replay) for replay in replays[:-1]]
    assert {one["status"] for one in shown} == {"RUNNING"}
    assert {one["refusal"]["code"] for one in shown if one["refusal"]} == {"UNAVAILABLE"}


async def test_replays_that_are_slow_hold_up_no_other_tenants(
    stranger: Client,
    database: str,
    master_key: bytes,
    replays: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slow(*_: object) -> None:
        await asyncio.sleep(600)

    monkeypatch.setattr(OutputKeys, "within", slow)
    async with replays_of(database, master_key):
        assert (await ended(stranger, replays[-1]))["replayed"] == 1
