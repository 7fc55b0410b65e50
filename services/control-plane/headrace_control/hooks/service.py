"""Hooks as people see them: made, changed, given secrets, paused, taken away, listed; and their messages sent again."""

from collections.abc import Sequence
from uuid import UUID

from headrace.errors import InvalidInput, LimitExceeded, NotFound
from headrace.ids import new_id
from headrace.postgres.pool import Db, Pool, tenant_transaction

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.hooks import repository
from headrace_control.hooks.model import Hook, HookEvent, HookMessage, IssuedHook
from headrace_control.hooks.terms import hook_problems
from headrace_control.names import name_problems
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.signing_secrets.issue import issue_secret, read_overlap
from headrace_control.signing_secrets.repository import HOOKS
from headrace_control.vault.vault import Vault

_HOOKS = Cursor("hooks")
_MESSAGES = Cursor("hookMessages")

MAX_HOOKS = 20
# Messages that go in one transaction.
_LOT = 1_000


class HookService:
    """Hooks of the caller's tenant, over a pool of the role headrace_api. Their addresses may hold secrets: they are
    shown to who manages them alone."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def create(self, caller: Caller, name: str, url: str, events: Sequence[HookEvent]) -> IssuedHook:
        """Raises `InvalidInput`, `Conflict`, `LimitExceeded`, `KeysShredded`."""
        caller.require(Permission.MANAGE_HOOKS)
        if problems := [*name_problems(name), *hook_problems(url, events)]:
            raise InvalidInput(problems)
        tenant_id, hook_id = caller.tenant_id, new_id()
        async with tenant_transaction(self._pool, tenant_id) as db:
            if await repository.count(db, tenant_id) >= MAX_HOOKS:
                raise LimitExceeded(f"a tenant has {MAX_HOOKS} hooks at most; delete some")
            await repository.insert(db, tenant_id, hook_id, name, url, sorted({*events}))
            secret = await issue_secret(db, self._vault, tenant_id, HOOKS, hook_id)
            hook = await _found(db, tenant_id, name)
            await record(db, caller, Act("hook.create", f"hook/{name}", after=hook.as_json()))
            return IssuedHook(hook, secret)

    async def update(
        self, caller: Caller, name: str, url: str | None, events: Sequence[HookEvent] | None
    ) -> Hook:
        """What is None stays. Messages that wait go to the new address. Raises `InvalidInput`, `NotFound`."""
        caller.require(Permission.MANAGE_HOOKS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            before = await _found(db, caller.tenant_id, name, lock=True)
            url = before.url if url is None else url
            events = before.events if events is None else sorted({*events})
            if problems := hook_problems(url, events):
                raise InvalidInput(problems)
            await repository.change(db, caller.tenant_id, before.id, url, events)
            hook = await _found(db, caller.tenant_id, name)
            act = Act("hook.update", f"hook/{name}", before=before.as_json(), after=hook.as_json())
            await record(db, caller, act)
            return hook

    async def rotate(self, caller: Caller, name: str, overlap_seconds: int) -> IssuedHook:
        """A new secret; messages are signed with the one before, too, for the overlap. Raises `InvalidInput`,
        `NotFound`, `KeysShredded`."""
        caller.require(Permission.MANAGE_HOOKS)
        overlap = read_overlap(overlap_seconds)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            hook = await _found(db, caller.tenant_id, name, lock=True)
            secret = await issue_secret(db, self._vault, caller.tenant_id, HOOKS, hook.id, overlap)
            detail = {"overlapSeconds": overlap_seconds}
            await record(db, caller, Act("hook_secret.rotate", f"hook/{name}", detail=detail))
            return IssuedHook(await _found(db, caller.tenant_id, name), secret)

    async def pause(self, caller: Caller, name: str) -> Hook:
        """It is told of nothing that happens until it is resumed; messages that wait are kept for then."""
        return await self._set_paused(caller, name, True)

    async def resume(self, caller: Caller, name: str) -> Hook:
        return await self._set_paused(caller, name, False)

    async def _set_paused(self, caller: Caller, name: str, paused: bool) -> Hook:
        caller.require(Permission.MANAGE_HOOKS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            hook = await _found(db, caller.tenant_id, name, lock=True)
            await repository.set_paused(db, caller.tenant_id, hook.id, paused)
            await record(db, caller, Act(f"hook.{'pause' if paused else 'resume'}", f"hook/{name}"))
            await repository.tell(db)
            return await _found(db, caller.tenant_id, name)

    async def delete(self, caller: Caller, name: str) -> Hook:
        """Take it away with its secrets and its messages, those that wait among them."""
        caller.require(Permission.MANAGE_HOOKS)
        tenant_id = caller.tenant_id
        # Told nothing from now on, and emptied a lot at a time: what happens to runs meanwhile waits for none of it.
        async with tenant_transaction(self._pool, tenant_id) as db:
            hook = await _found(db, tenant_id, name, lock=True)
            await repository.set_paused(db, tenant_id, hook.id, True)
        while True:
            async with tenant_transaction(self._pool, tenant_id) as db:
                if await repository.drop_messages(db, tenant_id, hook.id, _LOT) < _LOT:
                    break
        async with tenant_transaction(self._pool, tenant_id) as db:
            hook = await _found(db, tenant_id, name, lock=True)
            await repository.delete(db, tenant_id, hook.id)
            await record(db, caller, Act("hook.delete", f"hook/{name}", before=hook.as_json()))
            return hook

    async def resend(self, caller: Caller, name: str) -> int:
        """Send what was given up once more, under the same ids; how many there are."""
        caller.require(Permission.MANAGE_HOOKS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            hook = await _found(db, caller.tenant_id, name, lock=True)
            sent = await repository.resend(db, caller.tenant_id, hook.id)
            await record(db, caller, Act("hook_messages.resend", f"hook/{name}", detail={"messages": sent}))
            await repository.tell(db)
            return sent

    async def find(self, caller: Caller, name: str) -> Hook | None:
        caller.require(Permission.MANAGE_HOOKS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await repository.find(db, caller.tenant_id, name)

    async def page(self, caller: Caller, first: int, after: str | None) -> PageOf[Hook]:
        """By name."""
        caller.require(Permission.MANAGE_HOOKS)
        limit, name = page_size(first), _HOOKS.read_text(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.by_name(db, caller.tenant_id, name or "", limit + 1)
        return page_of(found, limit, lambda hook: _HOOKS.write(hook.name))

    async def messages(self, caller: Caller, name: str, first: int, after: str | None) -> PageOf[HookMessage]:
        """A hook's messages, newest first; empty of a hook that is not there."""
        caller.require(Permission.MANAGE_HOOKS)
        limit, before = page_size(first), _MESSAGES.read_id(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.messages(db, caller.tenant_id, name, before, limit + 1)
        return page_of(found, limit, lambda message: _MESSAGES.write(message.id))


async def _found(db: Db, tenant_id: UUID, name: str, *, lock: bool = False) -> Hook:
    hook = await repository.find(db, tenant_id, name, lock=lock)
    if hook is None:
        raise NotFound("hook")
    return hook
