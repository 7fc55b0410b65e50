"""Hooks of tenants, the two control planes that send their messages, and what arrives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools
from headrace.postgres.listen import Listener
from headrace.postgres.pool import API, WORKER, open_pool
from headrace.signed_messages import ID, SIGNATURE, TIMESTAMP, is_signed
from headrace_control.hooks.sending import HookSending
from headrace_control.vault.keys import OwnKeys
from headrace_control.vault.vault import Vault

from tests.integration.control_plane_runs.acting import Client, Fleet, started
from tests.integration.control_plane_runs.audit_examples import mutate
from tests.journal_server import Exchange, JournalServer, Seen

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


@contextlib.asynccontextmanager
async def hook_planes(database: str, master_key: bytes) -> AsyncIterator[Planes]:
    """Two that know nothing of each other; calls to this machine are open to them."""
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
