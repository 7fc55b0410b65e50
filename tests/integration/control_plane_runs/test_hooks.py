"""Hooks: what happens is told to those who asked, signed, at least once, whoever sends it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import asyncpg
import orjson
import pytest
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools
from headrace.postgres.listen import Listener
from headrace.postgres.pool import API, WORKER, open_pool, tenant_transaction, transaction
from headrace.signed_messages import ID, SIGNATURE, TIMESTAMP, is_signed
from headrace_control.expiry.expire import Kept, expire
from headrace_control.hooks import sending
from headrace_control.hooks.repository import find
from headrace_control.hooks.sending import BACK_OFF, HookSending
from headrace_control.vault.keys import OwnKeys
from headrace_control.vault.vault import Vault

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.audit_examples import mutate
from tests.integration.control_plane_runs.quotas import allow
from tests.journal_server import Exchange, JournalServer, Script, Seen, answering, writing

_MESSAGES = """query($hook: String!) { hookMessages(hook: $hook, first: 200) {
  items { id event data status attempts nextAt error { code } } } }"""
FAILED = {"status": "FAILED", "error": {"code": "HTTP_500", "message": "it says no"}}


@dataclass
class Planes:
    """Two control planes' senders, and the target that they send to."""

    senders: tuple[HookSending, ...]
    target: JournalServer
    listener: Listener  # the first one's
    answers: list[int] = field(default_factory=list)

    async def turn(self) -> None:
        """Both send what is due, at the same time, until neither finds anything."""
        while any(await asyncio.gather(*(sender.turn() for sender in self.senders))):
            pass

    def told(self) -> list[Any]:
        return [orjson.loads(seen.body) for seen in self.target.requests]


@pytest.fixture
async def planes(database: str, master_key: bytes) -> AsyncIterator[Planes]:
    answers: list[int] = []

    async def script(exchange: Exchange) -> None:
        await exchange.respond(answers.pop(0) if answers else 200)

    policy = EgressPolicy(allow=(Opening.parse("127.0.0.0/8"),))
    async with contextlib.AsyncExitStack() as stack:
        target = await stack.enter_async_context(JournalServer(script))
        senders, listeners = [], []
        for _ in range(2):
            worker, api = [
                await stack.enter_async_context(await open_pool(database, role)) for role in (WORKER, API)
            ]
            pools = OutboundPools(policy)
            stack.push_async_callback(pools.aclose)
            vault, outbound = Vault(OwnKeys([master_key])), OutboundClient(pools)
            listeners.append(Listener(database))
            senders.append(HookSending(worker, api, vault, outbound, listeners[-1]))
        yield Planes(tuple(senders), target, listeners[0], answers)


async def hook(client: Client, url: str, *events: str, name: str = "ops") -> str:
    """Its secret."""
    given = {"name": name, "url": url, "events": [*events]}
    made = await mutate(client, "createHook", given, "... on IssuedHook { secret }")
    return str(made["secret"])


async def messages(client: Client, name: str = "ops") -> list[dict[str, Any]]:
    return list((await client(_MESSAGES, hook=name))["items"])


async def ended(client: Client, fleet: Fleet, data: dict[str, Any]) -> str:
    run = await started(client)
    await fleet.claim(run)
    await fleet.apply(run, ("finished", None, data))
    return run


async def make_due(admin: asyncpg.Connection) -> None:
    """As if all waits were over."""
    await admin.execute("UPDATE hook_messages SET due_at = now() WHERE due_at < 'infinity'")


def genuine(seen: Seen, *secrets: str) -> bool:
    headers = seen.headers
    return is_signed(list(secrets), headers[SIGNATURE], headers[ID], int(headers[TIMESTAMP]), seen.body)


async def test_what_happens_is_told_once_and_signed(
    acme: Client, stranger: Client, fleet: Fleet, planes: Planes, admin: asyncpg.Connection
) -> None:
    for client in (acme, stranger):
        await publish(client, orders())
    secret = await hook(acme, planes.target.url + "/told", "RUN_FINISHED", "RUN_FAILED")
    await hook(acme, planes.target.url + "/none", "APPROVAL_REQUESTED", name="other")
    good = await ended(acme, fleet, {"status": "SUCCESS", "result": {}})
    bad = await ended(acme, fleet, FAILED)
    await ended(stranger, fleet, FAILED)
    await planes.turn()
    assert planes.target.paths == ["/told"] * 3
    assert sorted((told["type"], told["data"]["runId"]) for told in planes.told()) == sorted(
        [("run.finished", good), ("run.finished", bad), ("run.failed", bad)]
    )
    (failed,) = [told["data"] for told in planes.told() if told["type"] == "run.failed"]
    assert (failed["workflow"], failed["status"], failed["error"]) == ("orders", "FAILED", FAILED["error"])
    assert all(genuine(seen, secret) for seen in planes.target.requests)
    found = await messages(acme)
    assert {one["id"] for one in found} == {seen.headers[ID] for seen in planes.target.requests}
    assert {(one["status"], one["attempts"]) for one in found} == {("SENT", 1)}
    assert await admin.fetchval("SELECT count(*) FROM hook_messages") == 3


async def test_a_run_that_is_a_step_is_not_told_of(
    acme: Client, fleet: Fleet, planes: Planes, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    await hook(acme, planes.target.url, "RUN_FINISHED")
    parent, child = await started(acme), await started(acme)
    await admin.execute(
        "UPDATE runs SET parent_run_id = $1, parent_step = 's' WHERE id = $2", UUID(parent), UUID(child)
    )
    await fleet.claim(child)
    await fleet.finish(child)
    assert await messages(acme) == []


async def test_every_kind_is_told(
    acme: Client,
    platform: Client,
    fleet: Fleet,
    planes: Planes,
    database: str,
    admin: asyncpg.Connection,
) -> None:
    await publish(acme, orders())
    kinds = ("APPROVAL_REQUESTED", "DEAD_LETTER", "CONNECTION_EXPIRING", "QUOTA_NEAR", "BREAKER_OPEN")
    await hook(acme, planes.target.url, *kinds)
    await allow(platform, unfinishedRuns=2)
    run = await started(acme)
    await fleet.claim(run)
    wait = {"wait": {"kind": "APPROVAL", "title": "Refund?"}}
    await fleet.apply(run, ("waiting", "fetch", wait), ("completed", "refund", {**FAILED, "unhandled": True}))
    connection = await admin.fetchval(
        """UPDATE connections SET authorization_ends_at = now() + interval '6 days'
           WHERE name = 'shop-main' AND tenant_id = (SELECT id FROM tenants WHERE name = 'acme') RETURNING id"""
    )
    async with await open_pool(database, WORKER) as pool, transaction(pool) as db:
        for until in ("now()", "now() + interval '1 minute'"):
            # Opened, and opened for longer while it is half open.
            await db.execute(
                f"""INSERT INTO throttles (tenant_id, connection_id)
                    SELECT tenant_id, id FROM connections WHERE id = $1
                    ON CONFLICT (tenant_id, connection_id) DO UPDATE SET open_until = {until}""",
                connection,
            )
            await db.execute("UPDATE throttles SET open_until = now() WHERE connection_id = $1", connection)
    assert await planes.senders[0].look_once() == 1  # the connection
    await started(acme)
    assert await planes.senders[1].look_once() == 1  # both runs that the quota allows
    assert await planes.senders[0].look_once() == 0  # each is told once
    await planes.turn()
    told = {one["type"]: one["data"] for one in planes.told()}
    assert len(planes.told()) == len(told) == 5
    assert (told["approval.requested"]["runId"], told["approval.requested"]["step"]) == (run, "fetch")
    letter = told["dead_letter.added"]
    assert (letter["runId"], letter["step"], letter["code"]) == (run, "refund", "HTTP_500")
    assert told["connection.expiring"]["connection"] == "shop-main"
    assert told["quota.near"] == {"quota": "unfinishedRuns", "most": 2, "used": 2}
    assert told["breaker.open"]["connection"] == "shop-main"


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


async def test_paused_it_is_told_nothing_new_and_what_waits_is_kept(
    acme: Client, fleet: Fleet, planes: Planes, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    await hook(acme, planes.target.url, "RUN_FAILED")
    first = await ended(acme, fleet, FAILED)
    assert (await mutate(acme, "pauseHook", {"name": "ops"}, "... on Hook { paused }"))["paused"]
    await ended(acme, fleet, FAILED)
    await make_due(admin)
    await planes.turn()
    assert planes.target.requests == []
    await mutate(acme, "resumeHook", {"name": "ops"})
    await planes.turn()
    assert [told["data"]["runId"] for told in planes.told()] == [first]


async def test_a_secret_is_rotated_with_an_overlap(acme: Client, fleet: Fleet, planes: Planes) -> None:
    await publish(acme, orders())
    old = await hook(acme, planes.target.url, "RUN_FAILED")
    new = (await mutate(acme, "rotateHookSecret", {"name": "ops"}, "... on IssuedHook { secret }"))["secret"]
    await ended(acme, fleet, FAILED)
    await planes.turn()
    assert [genuine(planes.target.requests[0], secret) for secret in (old, new)] == [True, True]
    given = {"name": "ops", "overlapSeconds": 0}
    newest = (await mutate(acme, "rotateHookSecret", given, "... on IssuedHook { secret }"))["secret"]
    await ended(acme, fleet, FAILED)
    await planes.turn()
    assert [genuine(planes.target.requests[1], s) for s in (old, new, newest)] == [False, False, True]


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


async def test_what_is_wrong_with_a_hook_is_said_and_old_messages_go(
    acme: Client, fleet: Fleet, planes: Planes, database: str, admin: asyncpg.Connection
) -> None:
    for given, failure in (
        ({"url": "ftp://example.com"}, "INVALID_INPUT"),
        ({"url": "https://u:p@example.com"}, "INVALID_INPUT"),
        ({"events": []}, "INVALID_INPUT"),
        ({"name": "No name"}, "INVALID_INPUT"),
    ):
        wrong = {"name": "ops", "url": "https://example.com", "events": ["RUN_FAILED"], **given}
        assert (await mutate(acme, "createHook", wrong))["code"] == failure, given
    await publish(acme, orders())
    await hook(acme, planes.target.url, "RUN_FAILED")
    await ended(acme, fleet, FAILED)
    await planes.turn()
    await admin.execute("UPDATE hook_messages SET ended_at = now() - interval '31 days'")
    await ended(acme, fleet, FAILED)
    async with await open_pool(database, WORKER) as pool:
        await expire(pool, Kept(timedelta(days=30), timedelta(days=90)))
    assert [one["status"] for one in await messages(acme)] == ["PENDING"]
    assert (await mutate(acme, "deleteHook", {"name": "ops"}))["__typename"] == "Deleted"
    assert await admin.fetchval("SELECT count(*) FROM hook_messages") == 0


async def test_a_hook_that_is_being_changed_keeps_no_run_from_its_end(
    acme: Client, fleet: Fleet, planes: Planes, admin: asyncpg.Connection, database: str
) -> None:
    """The reporter writes the ends of all tenants' runs in one transaction: it waits for no tenant's hook."""
    await publish(acme, orders())
    await hook(acme, planes.target.url, "RUN_FINISHED")
    run = await started(acme)
    await fleet.claim(run)
    tenant = await admin.fetchval("SELECT tenant_id FROM hooks")
    async with await open_pool(database, API) as api, tenant_transaction(api, tenant) as db:
        assert await find(db, tenant, "ops", lock=True)
        async with asyncio.timeout(30):
            await fleet.apply(run, ("finished", None, {"status": "SUCCESS", "result": {}}))
    assert [message["event"] for message in await messages(acme)] == ["RUN_FINISHED"]
    assert await mutate(acme, "deleteHook", {"name": "ops"}, "__typename")
    assert await admin.fetchval("SELECT count(*) FROM hook_messages") == 0


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
