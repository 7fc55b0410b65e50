"""Webhooks as people see them: made, changed, given secrets, paused, taken away, listed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from headrace.errors import InvalidInput, LimitExceeded, NotFound
from headrace.ids import new_id
from headrace.postgres.pool import Db, Pool, tenant_transaction

from headrace_control.answer_size import Sized, look_up
from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.names import name_problems
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.runs.model import RunStart
from headrace_control.runs.parameters import Parameters
from headrace_control.runs.startable import rule_of_start
from headrace_control.signing_secrets.issue import issue_secret, read_overlap
from headrace_control.signing_secrets.repository import WEBHOOKS
from headrace_control.vault.vault import Vault
from headrace_control.webhooks import repository
from headrace_control.webhooks.addresses import Address, write_address
from headrace_control.webhooks.model import Delivery, Issued, Terms, Webhook
from headrace_control.webhooks.terms import terms_problems

_WEBHOOKS = Cursor("webhooks")
_DELIVERIES = Cursor("webhookDeliveries")

MAX_WEBHOOKS = 1_000


class WebhookService:
    """Webhooks of the caller's tenant, over a pool of the role headrace_api. `base` is the address by which the outside
    reaches the public API."""

    def __init__(self, pool: Pool, vault: Vault, base: str) -> None:
        self._pool, self._vault, self._base = pool, vault, base
        self._parameters = Parameters()

    async def create(self, caller: Caller, name: str, terms: Terms) -> Issued:
        """Raises `InvalidInput`, `NotFound`, `Conflict`, `LimitExceeded`, `KeysShredded`. Its runs are the caller's, as
        if the caller had started them."""
        caller.require(Permission.MANAGE_WEBHOOKS)
        if problems := [*name_problems(name), *terms_problems(terms)]:
            raise InvalidInput(problems)
        tenant_id, webhook_id = caller.tenant_id, new_id()
        async with tenant_transaction(self._pool, tenant_id) as db:
            await self._check_workflow(db, tenant_id, terms)
            if await repository.count(db, tenant_id) >= MAX_WEBHOOKS:
                raise LimitExceeded(f"a tenant has {MAX_WEBHOOKS} webhooks at most; delete some")
            await repository.insert(db, tenant_id, webhook_id, name, terms, caller.actor.id)
            secret = await issue_secret(db, self._vault, tenant_id, WEBHOOKS, webhook_id)
            await record(db, caller, Act("webhook.create", f"webhook/{name}", after=terms.as_json()))
            return Issued(await _found(db, tenant_id, name), secret)

    async def update(self, caller: Caller, name: str, changes: Mapping[str, Any]) -> Webhook:
        """Change what is among `changes`, fields of `Terms`. From now on its runs are the caller's. Raises as `create`
        does."""
        caller.require(Permission.MANAGE_WEBHOOKS)
        tenant_id = caller.tenant_id
        async with tenant_transaction(self._pool, tenant_id) as db:
            before = await _found(db, tenant_id, name, lock=True)
            terms = replace(before.terms, **changes)
            if problems := terms_problems(terms):
                raise InvalidInput(problems)
            await self._check_workflow(db, tenant_id, terms)
            await repository.change(db, tenant_id, before.id, terms, caller.actor.id)
            act = Act(
                "webhook.update",
                f"webhook/{name}",
                before=before.terms.as_json(),
                after=terms.as_json(),
            )
            await record(db, caller, act)
            return await _found(db, tenant_id, name)

    async def rotate(self, caller: Caller, name: str, overlap_seconds: int) -> Issued:
        """A new secret; the newest one of before counts for the overlap more, older ones at once no more. Raises
        `InvalidInput`, `NotFound`, `KeysShredded`."""
        caller.require(Permission.MANAGE_WEBHOOKS)
        overlap = read_overlap(overlap_seconds)
        tenant_id = caller.tenant_id
        async with tenant_transaction(self._pool, tenant_id) as db:
            webhook = await _found(db, tenant_id, name, lock=True)
            secret = await issue_secret(db, self._vault, tenant_id, WEBHOOKS, webhook.id, overlap)
            detail = {"overlapSeconds": overlap_seconds}
            await record(db, caller, Act("webhook_secret.rotate", f"webhook/{name}", detail=detail))
            return Issued(await _found(db, tenant_id, name), secret)

    async def pause(self, caller: Caller, name: str) -> Webhook:
        """Its address answers as if there were none, until it is resumed. Asking again changes nothing."""
        return await self._set_paused(caller, name, True)

    async def resume(self, caller: Caller, name: str) -> Webhook:
        return await self._set_paused(caller, name, False)

    async def _set_paused(self, caller: Caller, name: str, paused: bool) -> Webhook:
        caller.require(Permission.MANAGE_WEBHOOKS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            webhook = await _found(db, caller.tenant_id, name, lock=True)
            await repository.set_paused(db, caller.tenant_id, webhook.id, paused)
            await record(db, caller, Act(f"webhook.{'pause' if paused else 'resume'}", f"webhook/{name}"))
            return await _found(db, caller.tenant_id, name)

    async def delete(self, caller: Caller, name: str) -> Webhook:
        """Take it away with its secrets and what is kept of its messages; its runs stay. One that is made anew has
        another address."""
        caller.require(Permission.MANAGE_WEBHOOKS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            webhook = await _found(db, caller.tenant_id, name, lock=True)
            await repository.delete(db, caller.tenant_id, webhook.id)
            act = Act("webhook.delete", f"webhook/{name}", before=webhook.terms.as_json())
            await record(db, caller, act)
            return webhook

    async def find(self, caller: Caller, name: str) -> Webhook | None:
        caller.require(Permission.READ)
        return next(iter(await self._shown(caller, 1, name=name)), None)

    async def page(self, caller: Caller, first: int, after: str | None) -> PageOf[Webhook]:
        """By name."""
        caller.require(Permission.READ)
        limit, name = page_size(first), _WEBHOOKS.read_text(after)
        found = await self._shown(caller, limit, name or "")
        return page_of(found, limit, lambda webhook: _WEBHOOKS.write(webhook.name))

    async def _shown(
        self, caller: Caller, first: int, after: str = "", name: str | None = None
    ) -> Sequence[Webhook]:
        async def read(most: int) -> Sized[Sequence[Webhook]]:
            async with tenant_transaction(self._pool, caller.tenant_id) as db:
                return await repository.shown(db, caller.tenant_id, after, name, first, most)

        return await look_up(first, read)

    async def deliveries(self, caller: Caller, name: str, first: int, after: str | None) -> PageOf[Delivery]:
        """What came of the webhook's messages, newest first; empty of a webhook that is not there."""
        caller.require(Permission.READ)
        limit, before = page_size(first), _DELIVERIES.read_id(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.deliveries(db, caller.tenant_id, name, before, limit + 1)
        return page_of(found, limit, lambda delivery: _DELIVERIES.write(delivery.id))

    def url(self, caller: Caller, webhook: Webhook) -> str:
        """Where its messages go to."""
        return f"{self._base}/webhooks/{write_address(Address(caller.tenant_id, webhook.id))}"

    async def _check_workflow(self, db: Db, tenant_id: UUID, terms: Terms) -> None:
        """Raises what every start would be refused for."""
        rule = await rule_of_start(
            db, tenant_id, RunStart(terms.workflow, {}, terms.version), self._parameters
        )
        if rule.unusable:
            raise InvalidInput(rule.unusable)


async def _found(db: Db, tenant_id: UUID, name: str, *, lock: bool = False) -> Webhook:
    webhook = await repository.find(db, tenant_id, name, lock=lock)
    if webhook is None:
        raise NotFound("webhook")
    return webhook
