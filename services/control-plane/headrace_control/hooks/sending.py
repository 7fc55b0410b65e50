"""The loop that sends hooks' messages, each at least once, under one id."""

import asyncio
import contextlib
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import structlog
from headrace.errors import Unavailable
from headrace.json_types import JsonObject
from headrace.outage import Outage
from headrace.outbound.call import CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.postgres.listen import Listener
from headrace.postgres.pool import Pool, tenant_transaction, transaction
from headrace.postgres.queries import load
from headrace.signed_messages import ID, SIGNATURE, TIMESTAMP, sign

from headrace_control.hooks.model import TYPES, Claimed, HookEvent
from headrace_control.hooks.repository import HOOKS_CHANNEL
from headrace_control.signing_secrets.repository import HOOKS, valid_secrets
from headrace_control.unexpected import report_unexpected
from headrace_control.vault.vault import Vault

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.hooks")

# After each attempt that failed, how long until the next; after the last there is none. In all, about half a day.
BACK_OFF = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 7200, 28_800))
# How long a target has to answer, and how long an attempt is its claimer's: the answer and all around it.
CALL_SECONDS = 10.0
_CLAIM = timedelta(seconds=60)
# Under way in one control plane; of one hook; and hooks of one tenant.
AT_ONCE = 64
OF_ONE_HOOK = 2
HOOKS_OF_ONE_TENANT = 4
_ANSWER_BYTES = 64 * 1024

_LONGEST_WAIT, _SHORTEST_WAIT, _TROUBLED_WAIT = 10.0, 0.1, 1.0
# Grants that end and quotas that are used up are looked for so often.
_LOOKS_SECONDS = 60.0


class HookSending:
    """One per control plane. Messages are claimed and marked over `worker_pool` (headrace_worker), secrets read over
    `api_pool` (headrace_api). Make it before the listener starts."""

    def __init__(
        self, worker_pool: Pool, api_pool: Pool, vault: Vault, outbound: OutboundClient, listener: Listener
    ) -> None:
        self._worker_pool, self._api_pool = worker_pool, api_pool
        self._vault, self._outbound = vault, outbound
        self._sending: dict[asyncio.Task[None], Claimed] = {}
        self._nudged = asyncio.Event()
        listener.subscribe(HOOKS_CHANNEL, lambda _: self._nudged.set())

    async def run(self) -> None:
        """Work until cancelled; trouble with Postgres is waited out. What is under way then is sent again later."""
        outage = Outage("hooks wait", "hooks go on")
        try:
            while True:
                self._nudged.clear()
                try:
                    claimed = await self.begin()
                    wait = 0.0 if claimed else await self._seconds_to_next()
                    outage.over()
                except (Unavailable, asyncpg.PostgresError) as error:
                    outage.tried(error=type(error).__name__)
                    wait = _TROUBLED_WAIT
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._nudged.wait()
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def look(self) -> None:
        """Work until cancelled: tell, once each, of what comes about by time and by numbers."""
        while True:
            with contextlib.suppress(Unavailable, asyncpg.PostgresError):
                await self.look_once()
            await asyncio.sleep(_LOOKS_SECONDS)

    async def look_once(self) -> int:
        """How many messages there are for it."""
        told = 0
        for statement in (_sql.tell_of_connections, _sql.tell_of_quotas):
            async with transaction(self._worker_pool) as db:
                told += len(await db.fetch(statement))
        if told:
            self._nudged.set()
        return told

    async def turn(self) -> int:
        """Send what is due now, and wait for it; how many attempts that were."""
        begun = 0
        while more := await self.begin():
            begun += more
            await asyncio.gather(*self._sending)
        return begun

    async def begin(self) -> int:
        """Begin to send what is due and there is room for; how many messages that are."""
        room = AT_ONCE - len(self._sending)
        if room <= 0:
            return 0
        async with transaction(self._worker_pool) as db:
            rows = await db.fetch(
                _sql.claim,
                room,
                OF_ONE_HOOK,
                self._busy(),
                _CLAIM,
                self._served(),
                HOOKS_OF_ONE_TENANT,
            )
        for row in rows:
            claimed = _claimed(row)
            task = asyncio.create_task(self._send(claimed))
            self._sending[task] = claimed
            task.add_done_callback(self._done)
        return len(rows)

    def _busy(self) -> list[UUID]:
        """The hooks that have messages under way here."""
        return list({one.hook_id for one in self._sending.values()})

    def _served(self) -> list[UUID]:
        """The tenants of whom as many hooks are under way here as may be."""
        hooks = Counter(tenant for tenant, _ in {(o.tenant_id, o.hook_id) for o in self._sending.values()})
        return [tenant for tenant, count in hooks.items() if count >= HOOKS_OF_ONE_TENANT]

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        self._nudged.set()

    async def _send(self, claimed: Claimed) -> None:
        try:
            error = await self._attempt(claimed)
            await self._mark(claimed, error)
        except (Unavailable, asyncpg.PostgresError) as trouble:
            # Its claim comes to an end, and it is sent again.
            _log.warning("a hook's message waits", error=type(trouble).__name__)
        except Exception as unforeseen:
            report_unexpected(unforeseen)

    async def _attempt(self, claimed: Claimed) -> JsonObject | None:
        """What is wrong, if the message has not arrived."""
        async with tenant_transaction(self._api_pool, claimed.tenant_id) as db:
            stored = await valid_secrets(db, claimed.tenant_id, HOOKS, claimed.hook_id)
        secrets = [*(await self._vault.unseal(claimed.tenant_id, stored)).values()]
        if not secrets:
            return {"code": "NO_SECRET", "message": "the hook's secret can not be opened; rotate it"}
        body = orjson.dumps(
            {"type": TYPES[claimed.event], "timestamp": claimed.created_at, "data": claimed.data}
        )
        seconds = int(claimed.now.timestamp())
        headers = (
            ("content-type", "application/json"),
            (ID, str(claimed.id)),
            (TIMESTAMP, str(seconds)),
            (SIGNATURE, " ".join(sign(secret, str(claimed.id), seconds, body) for secret in secrets)),
        )
        call = OutboundCall(
            "POST",
            claimed.url,
            headers,
            body,
            timeout=CALL_SECONDS,
            follow_redirects=False,
            response_limit=_ANSWER_BYTES,
        )
        outcome = await self._outbound.send(call, tenant_id=claimed.tenant_id)
        # An answer's body is for nobody: one that is too long, or breaks off, takes nothing away from its status.
        if isinstance(outcome, CallResult) or (outcome.status is not None and 200 <= outcome.status < 300):
            return None
        return {"code": outcome.code, "message": outcome.message}

    async def _mark(self, claimed: Claimed, error: JsonObject | None) -> None:
        async with transaction(self._worker_pool) as db:
            if error is None:
                await db.execute(_sql.sent, claimed.tenant_id, claimed.id)
                return
            wait = BACK_OFF[claimed.attempts - 1] if claimed.attempts <= len(BACK_OFF) else None
            await db.execute(_sql.retry, claimed.tenant_id, claimed.id, claimed.attempts, error, wait)

    async def _seconds_to_next(self) -> float:
        async with transaction(self._worker_pool) as db:
            seconds = await db.fetchval(_sql.seconds_to_next, self._busy())
        return _LONGEST_WAIT if seconds is None else min(max(seconds, _SHORTEST_WAIT), _LONGEST_WAIT)


def _claimed(row: Any) -> Claimed:
    return Claimed(**{**row, "event": HookEvent(row["event"])})
