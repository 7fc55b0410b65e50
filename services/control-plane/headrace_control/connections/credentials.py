"""Credentials for runs, and the one place where OAuth2 tokens are refreshed."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol, TypeAlias
from uuid import UUID

import structlog
from headrace.errors import NotFound, Unavailable
from headrace.outbound.client import OutboundClient
from headrace.outbound.oauth2 import TokenGrant, request_token
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.workflow.definition import AuthKind

from headrace_control.audit.record import CONTROL_PLANE, Act, Part, record
from headrace_control.connections import failures, repository
from headrace_control.connections.assembly import (
    ACCESS_TOKEN,
    fields_of,
    is_complete,
    run_credential,
    token_request,
)
from headrace_control.connections.grants import keep_grant
from headrace_control.connections.model import CredentialUnreadable, RunCredential, TokenAway, TokenRefused
from headrace_control.connections.turns import Turns
from headrace_control.vault.vault import Vault

_log = structlog.get_logger(__name__)

# A token that is handed out with a claim lasts at least so long.
LASTING = timedelta(seconds=30)
# One that somebody else has refreshed is answered even when it is short-lived; whoever asked before it was granted
# gets it in any case.
FRESH = timedelta(seconds=2)

Opened: TypeAlias = RunCredential | CredentialUnreadable
Refreshed: TypeAlias = Opened | TokenRefused


class Credentials(Protocol):
    """What claims and connection tests need of credentials."""

    async def current(self, tenant_id: UUID, connection_ids: Sequence[UUID]) -> dict[UUID, Opened]: ...

    async def refresh(self, tenant_id: UUID, connection_id: UUID, seen_version: int) -> Refreshed: ...


class CredentialService:
    """Opens credentials, over a pool of the role headrace_api.

    A refresh holds its connection's row locked, and with it one session of the pool, while the token endpoint
    is asked: a rotating refresh token is spent once by the whole fleet. In this process, those who ask for the
    same connection share one refresh; `turns` see to it that slow token endpoints neither hold up other tenants nor
    use up the pool. A token endpoint has `token_seconds` to answer.
    """

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        outbound: OutboundClient,
        turns: Turns,
        token_seconds: float,
    ) -> None:
        self._pool, self._vault, self._outbound = pool, vault, outbound
        self._turns, self._token_seconds = turns, token_seconds
        self._under_way: dict[tuple[UUID, UUID], asyncio.Task[Refreshed]] = {}
        # Of token endpoints' answers, since the process began.
        self.counts: Counter[str] = Counter(granted=0, failed=0)

    async def current(self, tenant_id: UUID, connection_ids: Sequence[UUID]) -> dict[UUID, Opened]:
        """The credentials of these connections; one that is gone is left out."""
        if not connection_ids:
            return {}
        async with tenant_transaction(self._pool, tenant_id) as db:
            found = await repository.sealed_credentials(db, tenant_id, connection_ids, LASTING)
        opened = await self._vault.unseal(tenant_id, [one for each in found for one in each.fields])
        credentials: dict[UUID, Opened] = {}
        for sealed in found:
            values = fields_of(opened, sealed.connection_id)
            if is_complete(sealed, values):
                credentials[sealed.connection_id] = run_credential(sealed, values)
            else:
                _log.error("a credential does not open", connection_id=str(sealed.connection_id))
                credentials[sealed.connection_id] = CredentialUnreadable(
                    sealed.connection_id, sealed.base_url
                )
        return credentials

    async def refresh(self, tenant_id: UUID, connection_id: UUID, seen_version: int) -> Refreshed:
        """A credential with a newer access token than `seen_version`, by at most one call to the endpoint.

        Raises `NotFound`, and `Unavailable` when the endpoint gives no usable answer: asking later may help.
        """
        place = (tenant_id, connection_id)
        while True:
            joined = place in self._under_way
            if not joined:
                task = asyncio.create_task(self._take_turn(tenant_id, connection_id, seen_version))
                self._under_way[place] = task
                task.add_done_callback(lambda done: self._ended(place, done))
            # Shielded: when the one who asked leaves, a token that was rotated still has to be stored.
            outcome = await asyncio.shield(self._under_way[place])
            if not joined or not isinstance(outcome, RunCredential) or outcome.version > seen_version:
                return outcome

    async def close(self) -> None:
        """Wait until what is under way is stored."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _ended(self, place: tuple[UUID, UUID], task: asyncio.Task[Refreshed]) -> None:
        self._under_way.pop(place, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("no access token", connection_id=str(place[1]), error=type(error).__name__)

    async def _take_turn(self, tenant_id: UUID, connection_id: UUID, seen_version: int) -> Refreshed:
        async with tenant_transaction(self._pool, tenant_id) as db:
            endpoint = await repository.token_endpoint(db, tenant_id, connection_id)
        if endpoint is None:
            raise NotFound("connection")
        async with self._turns.of(tenant_id, endpoint), tenant_transaction(self._pool, tenant_id) as db:
            outcome = await self._refresh(db, tenant_id, connection_id, seen_version)
        if isinstance(outcome, TokenAway):
            raise Unavailable(outcome.message)
        return outcome

    async def _refresh(
        self, db: Db, tenant_id: UUID, connection_id: UUID, seen_version: int
    ) -> Refreshed | TokenAway:
        sealed = await repository.lock_credential(db, tenant_id, connection_id, FRESH)
        if sealed is None:
            raise NotFound("connection")
        values = fields_of(await self._vault.unseal(tenant_id, sealed.fields), connection_id)
        if not is_complete(sealed, values):
            return CredentialUnreadable(connection_id, sealed.base_url)
        lasts = sealed.token_lasts or sealed.token_is_new
        there = sealed.token_version > seen_version and lasts and ACCESS_TOKEN in values
        if sealed.auth.kind is not AuthKind.OAUTH2 or there:
            return run_credential(replace(sealed, token_lasts=True), values)
        if (answer := failures.known(sealed)) is not None:
            return answer
        request = token_request(sealed, values, self._token_seconds)
        outcome = await request_token(self._outbound, request, tenant_id=tenant_id)
        self.counts["granted" if isinstance(outcome, TokenGrant) else "failed"] += 1
        if isinstance(outcome, TokenGrant):
            credential, detail = await keep_grant(db, self._vault, tenant_id, sealed, values, outcome)
            act = Act("token.refresh", f"connection/{connection_id}", detail=detail)
            await record(db, Part(tenant_id, CONTROL_PLANE), act)
            return credential
        return await failures.failed(db, tenant_id, sealed, outcome)
