"""Replays of several tenants: what is the matter with one tenant's holds up no other's."""

from unittest.mock import AsyncMock

import pytest
from headrace.errors import Unavailable
from headrace_control.replays.loop import AT_ONCE
from headrace_control.vault.output_keys import OutputKeys

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish
from tests.integration.control_plane_runs.dead_letters import REPLAY_ALL, SHOWN, ended, given_up
from tests.integration.control_plane_runs.replay_loops import replays_of

GROUP = {"source": "STEP", "action": "shop/refund", "code": "HTTP_500"}


async def test_replays_whose_keys_are_away_are_put_off(
    acme: Client,
    stranger: Client,
    fleet: Fleet,
    database: str,
    master_key: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for client in (acme, stranger):
        await publish(client, orders())
        await given_up(client, fleet)
    replays = [
        await acme(REPLAY_ALL, group=GROUP, how={"patch": {"amount": n}}, rate=1) for n in range(AT_ONCE)
    ]
    theirs = await stranger(REPLAY_ALL, group=GROUP, rate=1)
    away = Unavailable("the KMS gives no answer")
    monkeypatch.setattr(OutputKeys, "within", AsyncMock(side_effect=away))
    async with replays_of(database, master_key):
        assert (await ended(stranger, theirs["id"]))["replayed"] == 1
    shown = await acme(SHOWN, id=replays[0]["id"])
    assert (shown["status"], shown["refusal"]["code"]) == ("RUNNING", "UNAVAILABLE")
