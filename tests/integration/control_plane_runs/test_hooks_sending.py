"""Sending hooks' messages: each at least once, whoever sends it and whatever the target does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import asyncpg
import pytest
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy import EgressPolicy
from headrace.outbound.pools import OutboundPools
from headrace.postgres.listen import Listener
from headrace.postgres.pool import API, WORKER, open_pool
from headrace.signed_messages import ID
from headrace_control.hooks import sending
from headrace_control.hooks.sending import BACK_OFF, HookSending
from headrace_control.vault.keys import OwnKeys
from headrace_control.vault.vault import Vault

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish
from tests.integration.control_plane_runs.audit_examples import mutate
from tests.integration.control_plane_runs.hooks import (
    FAILED,
    Planes,
    ended,
    genuine,
    hook,
    hook_planes,
    make_due,
    messages,
)
from tests.journal_server import Exchange, JournalServer, Script, answering, writing


@pytest.fixture
async def planes(database: str, master_key: bytes) -> AsyncIterator[Planes]:
    async with hook_planes(database, master_key) as planes:
        yield planes


async def test_what_fails_is_sent_again_under_its_id_and_given_up_in_the_end(
    acme: Client, fleet: Fleet, planes: Planes, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    await hook(acme, planes.target.url, "RUN_FAILED")
    await ended(acme, fleet, FAILED)
    planes.answers += [500, 302, 410, *[503] * (len(BACK_OFF) - 2)]
    waits = []
    for _ in BACK_OFF:
        await planes.turn()
        waits.append(
            await admin.fetchval("SELECT round(extract(epoch FROM due_at - now()) / 5) FROM hook_messages")
        )
        await make_due(admin)
    assert waits == [round(wait.total_seconds() / 5) for wait in BACK_OFF]
    await planes.turn()
    (given_up,) = await messages(acme)
    assert (given_up["status"], given_up["attempts"]) == ("GIVEN_UP", len(BACK_OFF) + 1)
    assert given_up["error"] == {"code": "HTTP_503"}
    await planes.turn()
    assert len(planes.target.requests) == len(BACK_OFF) + 1
    resent = await mutate(
        acme, "resendHookMessages", {"name": "ops"}, "... on ResentHookMessages { messages }"
    )
    assert resent["messages"] == 1
    await planes.turn()
    (sent,) = await messages(acme)
    assert (sent["status"], sent["attempts"], sent["error"]) == ("SENT", 1, None)
    assert {seen.headers[ID] for seen in planes.target.requests} == {sent["id"]}
    assert len({seen.body for seen in planes.target.requests}) == 1


_CUT_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"


@pytest.mark.parametrize(
    "script",
    [
        answering(200, b"x" * 100_000),
        answering(202, b"x", {"Content-Encoding": "zstd"}),
        writing(_CUT_OFF),
    ],
    ids=["too long", "unknown coding", "cut off"],
)
async def test_an_answer_that_can_not_be_read_is_an_arrival_by_its_status(
    acme: Client, fleet: Fleet, planes: Planes, script: Script
) -> None:
    await publish(acme, orders())
    async with JournalServer(script) as target:
        await hook(acme, target.url, "RUN_FAILED")
        await ended(acme, fleet, FAILED)
        await planes.turn()
        (sent,) = await messages(acme)
        assert (sent["status"], sent["attempts"], sent["error"]) == ("SENT", 1, None)
        assert len(target.requests) == 1


async def test_a_plane_that_is_lost_between_sending_and_marking_has_it_sent_again(
    acme: Client, fleet: Fleet, planes: Planes, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(acme, orders())
    secret = await hook(acme, planes.target.url, "RUN_FAILED")
    await ended(acme, fleet, FAILED)
    with monkeypatch.context() as patched:
        patched.setattr(
            planes.senders[0], "_mark", AsyncMock(side_effect=asyncpg.ConnectionDoesNotExistError)
        )
        assert await planes.senders[0].turn() == 1
    # Its claim is its own until it is over.
    assert await planes.senders[1].turn() == 0
    await make_due(admin)
    await planes.turn()
    first, second = planes.target.requests
    assert (first.headers[ID], first.body) == (second.headers[ID], second.body)
    assert genuine(second, secret)
    assert [one["status"] for one in await messages(acme)] == ["SENT"]


async def test_many_messages_are_each_sent_once_by_two_planes(
    acme: Client, planes: Planes, admin: asyncpg.Connection
) -> None:
    await hook(acme, planes.target.url, "RUN_FAILED")
    await admin.execute(
        """SELECT headrace_tell(id, 'RUN_FAILED', jsonb_build_object('n', n))
           FROM tenants, generate_series(1, 100) n WHERE name = 'acme'"""
    )
    await planes.turn()
    assert sorted(told["data"]["n"] for told in planes.told()) == [*range(1, 101)]


async def test_no_hook_reaches_an_address_that_is_denied(
    acme: Client, fleet: Fleet, planes: Planes, database: str, master_key: bytes
) -> None:
    await publish(acme, orders())
    await hook(acme, planes.target.url, "RUN_FAILED")
    await ended(acme, fleet, FAILED)
    async with (
        await open_pool(database, WORKER) as worker,
        await open_pool(database, API) as api,
        contextlib.aclosing(OutboundPools(EgressPolicy())) as pools,
    ):
        vault, outbound = Vault(OwnKeys([master_key])), OutboundClient(pools)
        await HookSending(worker, api, vault, outbound, Listener(database)).turn()
    assert planes.target.requests == []
    assert [one["error"] for one in await messages(acme)] == [{"code": "EGRESS_DENIED"}]


async def test_a_target_that_stalls_is_in_no_others_way(
    acme: Client, stranger: Client, fleet: Fleet, planes: Planes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CALL_SECONDS", "_LONGEST_WAIT"):
        monkeypatch.setattr(sending, name, 600.0)
    await publish(stranger, orders())

    async def stall(exchange: Exchange) -> None:
        await exchange.forever()

    async with JournalServer(stall) as stalling, JournalServer(answering()) as other:
        await publish(acme, orders())
        await hook(acme, stalling.url, "RUN_FAILED")
        await hook(stranger, other.url, "RUN_FAILED")
        for _ in range(3):
            await ended(acme, fleet, FAILED)
        await ended(stranger, fleet, FAILED)
        await planes.listener.start()
        running = asyncio.create_task(planes.senders[0].run())
        await asyncio.wait_for(other.until(1), 20)
        await ended(stranger, fleet, FAILED)
        # The trigger wakes the loop, which has nothing to do else.
        await asyncio.wait_for(other.until(2), 60)
        assert len(stalling.requests) <= 2
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await planes.listener.close()


async def test_a_tenant_with_many_hooks_leaves_places_for_others(
    acme: Client, stranger: Client, fleet: Fleet, planes: Planes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "AT_ONCE", 6)
    for client in (acme, stranger):
        await publish(client, orders())
    for number in range(8):
        await hook(acme, f"{planes.target.url}/many", "RUN_FINISHED", name=f"ops-{number}")
    await hook(stranger, f"{planes.target.url}/few", "RUN_FINISHED")
    done = {"status": "SUCCESS", "result": {}}
    await ended(acme, fleet, done)
    await ended(stranger, fleet, done)
    # What is begun first: four hooks of the one tenant, and the other's.
    sender = planes.senders[0]
    assert await sender.begin() == 5
    async with asyncio.timeout(30):
        while "/few" not in planes.target.paths:
            await asyncio.sleep(0.01)
    await planes.turn()
    # A turn waits for what it has begun itself, and what was begun before it goes on beside it.
    await asyncio.wait_for(planes.target.until(9), 30)
    assert sorted(planes.target.paths) == ["/few"] + ["/many"] * 8
