"""Secrets for `env` references: written and deleted by people, read by runs alone."""

from collections.abc import Sequence
from uuid import UUID

import structlog
from headrace.errors import InvalidInput, NotFound, Problem
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.workflow.paths import at_index

from headrace_control.apps.model import Keep
from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.names import name_problems
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.secrets import repository
from headrace_control.secrets.model import OpenedSecret, Secret
from headrace_control.secrets.refusals import not_told, refusals
from headrace_control.vault.vault import Vault
from headrace_control.workflows.gates import Notice
from headrace_control.workflows.repository import require_unused

_log = structlog.get_logger(__name__)
_SECRETS = Cursor("secrets")

MAX_VALUE = 65_536
MAX_APPS = 100


class SecretService:
    """Secrets, over a pool of the role headrace_api."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def put(
        self, caller: Caller, name: str, value: str, apps: Sequence[str] | Keep | None = Keep.KEEP
    ) -> Secret:
        """Make the secret hold `value`; runs claimed from now on see it. Steps send it to these `apps` alone, by name;
        None: to any. Kept, they are as they were: a new value opens nothing."""
        caller.require(Permission.MANAGE_CONNECTIONS)
        problems = name_problems(name)
        if not 0 < len(value) <= MAX_VALUE:
            words = f"a text of 1 to {MAX_VALUE} characters is needed"
            problems.append(Problem("value", words, "Give the secret's value."))
        if not isinstance(apps, Keep) and apps is not None and not 0 < len(apps) <= MAX_APPS:
            words = f"1 to {MAX_APPS} names of apps are needed"
            problems.append(Problem("apps", words, "Name the apps, or write null for any."))
        if problems:
            raise InvalidInput(problems)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            secret_id = await repository.lock_secret(db, caller.tenant_id, name) or new_id()
            place = repository.place_of(caller.tenant_id, secret_id)
            (sealed,) = await self._vault.seal(db, caller.tenant_id, {place: value})
            if not isinstance(apps, Keep) and apps is not None:
                await _check_apps(db, caller.tenant_id, apps)
                apps = sorted(set(apps))
            secret = await repository.put_secret(db, caller.tenant_id, name, sealed, apps)
            detail: JsonObject = {} if secret.apps is None else {"apps": list(secret.apps)}
            await record(db, caller, Act("secret.set", f"secret/{name}", detail=detail))
            return secret

    async def refusals(self, caller: Caller, name: str) -> Sequence[Notice]:
        """For who has set the secret of this name for some apps: versions whose runs fail by that."""
        caller.require(Permission.MANAGE_CONNECTIONS)
        if not caller.may(Permission.READ):
            return not_told()
        return await refusals(self._pool, caller.tenant_id, secret=name)

    async def refusals_at(self, caller: Caller, app: str) -> Sequence[Notice]:
        """For who has moved the app of this name: versions whose runs fail by that, for they pinned where it was."""
        if not caller.may(Permission.MANAGE_CONNECTIONS):
            return ()  # who may not move it while a secret names it
        if not caller.may(Permission.READ):
            return not_told()
        return await refusals(self._pool, caller.tenant_id, app=app)

    async def delete(self, caller: Caller, name: str) -> Secret:
        """Raises `NotFound`, and `Conflict` while a published version uses it."""
        caller.require(Permission.MANAGE_CONNECTIONS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            await repository.lock_secret(db, caller.tenant_id, name)
            secret = await repository.find_secret(db, caller.tenant_id, name)
            if secret is None:
                raise NotFound("secret")
            await require_unused(db, caller.tenant_id, secret=name)
            await repository.delete_secret(db, caller.tenant_id, secret.id)
            await record(db, caller, Act("secret.delete", f"secret/{name}"))
            return secret

    async def list(self, caller: Caller, first: int, after: str | None) -> PageOf[Secret]:
        """By name."""
        caller.require(Permission.READ)
        limit, name = page_size(first), _SECRETS.read_text(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.list_secrets(db, caller.tenant_id, name, limit + 1)
        return page_of(found, limit, lambda secret: _SECRETS.write(secret.name))

    async def values(self, tenant_id: UUID, names: Sequence[str]) -> dict[str, OpenedSecret]:
        """For claims, by name; one that is gone, or does not open, is left out."""
        if not names:
            return {}
        async with tenant_transaction(self._pool, tenant_id) as db:
            sealed = await repository.sealed_values(db, tenant_id, names)
        opened = await self._vault.unseal(tenant_id, [one for one, _ in sealed.values()])
        values = {
            name: OpenedSecret(opened[one.place], apps)
            for name, (one, apps) in sealed.items()
            if one.place in opened
        }
        if len(values) < len(sealed):
            _log.error("a secret does not open", tenant_id=str(tenant_id))
        return values


async def _check_apps(db: Db, tenant_id: UUID, names: Sequence[str]) -> None:
    """Raises `InvalidInput` for those that there are not: whoever makes one says where it is."""
    there = await repository.keep_apps(db, tenant_id, names)
    problems = [
        Problem(at_index("apps", index), "there is no such app", "Create it first.", "UNKNOWN_APP")
        for index, name in enumerate(names)
        if name not in there
    ]
    if problems:
        raise InvalidInput(problems)
