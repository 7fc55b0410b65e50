"""Who the tenants are, and which keys act for them."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from headrace.errors import Conflict, NotFound
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db, Pool, enter_tenant, one_statement, tenant_transaction, transaction
from headrace.workflow.names import NameRule

from headrace_control.audit.record import Act, Doer, Part, record
from headrace_control.auth.caller import Actor, ActorKind, Caller
from headrace_control.auth.keys import mint_key
from headrace_control.auth.permissions import Permission
from headrace_control.auth.roles import Role
from headrace_control.names import check_name
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.tenants import repository
from headrace_control.tenants.model import ApiKey, IssuedKey, NewTenant, Tenant
from headrace_control.tenants.new_key import Ends, WantedKey, checked

_TENANTS = Cursor("tenants")
_KEYS = Cursor("apiKeys")
_TENANT_NAME = NameRule(
    "tenant name",
    "[a-z0-9][a-z0-9-]{0,62}",
    "Use lower case letters, digits and `-`, 63 at most, starting with a letter or digit.",
)
_FIRST_KEY = WantedKey("first admin", Role.ADMIN)
_NEXT_KEY = WantedKey("new admin", Role.ADMIN)
# An admin's key that ends sooner can be followed by another one, so that nobody is shut out meanwhile.
RENEWED_WITHIN = timedelta(days=7)
# Who has the database has no need of a key.
_OPERATOR = Actor(ActorKind.SERVICE, UUID(int=0), "bootstrap")


class TenantService:
    """Tenants and API keys. `pool` is of the role headrace_api; `worker`, of headrace_worker, is asked about all
    tenants, for the platform. `longest_key`: how long a new key lasts at most."""

    def __init__(self, pool: Pool, worker: Pool, longest_key: timedelta | None = None) -> None:
        self._pool, self._worker, self._longest_key = pool, worker, longest_key

    async def current(self, caller: Caller) -> Tenant:
        """The caller's own tenant."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            tenant = await repository.find_tenant(db, caller.tenant_id)
        if tenant is None:
            raise NotFound("tenant")
        return tenant

    async def page(self, caller: Caller, first: int, after: str | None) -> PageOf[Tenant]:
        """The tenants of the deployment, by name. For the platform."""
        caller.require(Permission.MANAGE_TENANTS)
        limit, behind = page_size(first), _TENANTS.read_text(after)
        async with one_statement(self._worker) as db:
            found = await repository.list_tenants(db, behind, limit + 1)
        return page_of(found, limit, lambda tenant: _TENANTS.write(tenant.name))

    async def create(self, caller: Caller, name: str) -> NewTenant:
        """A new tenant and its first ADMIN key, readable this once. Raises `InvalidInput`, `Conflict`."""
        caller.require(Permission.MANAGE_TENANTS)
        check_name(name, rule=_TENANT_NAME)
        tenant_id = new_id()
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            first = replace(_FIRST_KEY, expires_at=(await self._ends(db, caller)).latest)
            await enter_tenant(db, tenant_id)
            tenant = await repository.insert_tenant(db, tenant_id, name)
            if tenant is None:
                raise Conflict("a tenant of this name is already there")
            made = Part(tenant_id, caller.actor, caller.origin)
            act = Act("tenant.create", f"tenant/{name}", after=name)
            await record(db, made, act)
            key = await _issue(db, made, first)
            # Both have a share in it: the new tenant, and the one whose admin made it.
            await enter_tenant(db, caller.tenant_id)
            await record(db, caller, act)
            return NewTenant(tenant, key)

    async def create_admin_key(self, caller: Caller, name: str) -> IssuedKey:
        """A new ADMIN key, readable this once, of the tenant of this name, which has nobody left to make one. For the
        platform.

        It opens the tenant's data, so it is not there for the asking: raises `Conflict` while an admin of the tenant
        can log in, or an ADMIN key of it that was used lasts longer than `RENEWED_WITHIN`; also for a platform tenant.
        Raises `NotFound`.
        """
        caller.require(Permission.MANAGE_TENANTS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            wanted = replace(_NEXT_KEY, expires_at=(await self._ends(db, caller)).latest)
            tenant_id = await repository.tenant_named(db, name)
            if tenant_id is None:
                raise NotFound("tenant")
            await enter_tenant(db, tenant_id)
            tenant = await repository.lock_tenant(db, tenant_id)
            if tenant is None:
                raise NotFound("tenant")
            if tenant.platform:
                raise Conflict("a platform tenant gets a new key by `headrace bootstrap --new-key`")
            if await repository.has_admin(db, tenant_id, RENEWED_WITHIN):
                raise Conflict("the tenant has an admin who can log in, or an ADMIN key in use: ask them")
            made = Part(tenant_id, caller.actor, caller.origin)
            act = Act("admin_key.create", f"tenant/{name}")
            await record(db, made, act)
            key = await _issue(db, made, wanted)
            await enter_tenant(db, caller.tenant_id)
            await record(db, caller, act)
            return key

    async def create_api_key(self, caller: Caller, wanted: WantedKey) -> IssuedKey:
        """A new key of the caller's tenant, readable this once. Raises what `checked` does."""
        caller.require(Permission.MANAGE_KEYS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            there = await repository.workflows_there(db, caller.tenant_id, wanted.workflows or ())
            key = checked(wanted, caller, await self._ends(db, caller), there)
            return await _issue(db, caller, key, _owner(caller))

    async def revoke_api_key(self, caller: Caller, key_id: UUID) -> ApiKey:
        """End a key, from the next request on. Idempotent. Raises `NotFound`."""
        caller.require(Permission.MANAGE_KEYS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            key = await repository.revoke_api_key(db, caller.tenant_id, key_id)
            if key is None:
                raise NotFound("API key")
            await record(
                db, caller, Act("api_key.revoke", _target(key), after=_kept(key), detail=_shown(key))
            )
            return key

    async def api_keys(self, caller: Caller, first: int, after: str | None) -> PageOf[ApiKey]:
        """The tenant's keys, newest first."""
        caller.require(Permission.MANAGE_KEYS)
        limit, before = page_size(first), _KEYS.read_id(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.list_api_keys(db, caller.tenant_id, before, limit + 1)
        return page_of(found, limit, lambda key: _KEYS.write(key.id))

    async def _ends(self, db: Db, caller: Caller) -> Ends:
        """When a key that the caller makes may end: never after the caller's own, or a key that leaked before its end
        would live on in those that it made. `db` is in the caller's tenant."""
        by_key = caller.actor.kind is ActorKind.API_KEY
        own = await repository.end_of_key(db, caller.tenant_id, caller.actor.id) if by_key else None
        return Ends(await repository.now(db), self._longest_key, own)


async def bootstrap(owner: Pool, tenant_name: str, *, new_key: bool = False) -> NewTenant:
    """The platform tenant with an ADMIN key, readable this once.

    `owner` is a pool of the login that migrates. When there is a platform tenant already, raises `Conflict`
    unless `new_key` asks for a further key of it. Safe to call from many processes at once.
    """
    check_name(tenant_name, "tenant", _TENANT_NAME)
    async with transaction(owner) as db:
        tenant = await repository.lock_bootstrap(db)
        if tenant is not None and not new_key:
            raise Conflict("there is a platform tenant already; ask for a new key to get one more")
        if tenant is None:
            tenant = await repository.insert_tenant(db, new_id(), tenant_name, platform=True)
        if tenant is None:
            raise Conflict("a tenant of this name is already there, and it is no platform tenant")
        return NewTenant(tenant, await _issue(db, Part(tenant.id, _OPERATOR), _FIRST_KEY))


def _owner(caller: Caller) -> UUID | None:
    return caller.actor.id if caller.actor.kind is ActorKind.MEMBER else caller.owner


async def _issue(db: Db, by: Doer, wanted: WantedKey, owner: UUID | None = None) -> IssuedKey:
    minted = mint_key()
    key = await repository.insert_api_key(db, by.tenant_id, wanted, minted, owner)
    await record(db, by, Act("api_key.create", _target(key), after=_kept(key), detail=_shown(key)))
    return IssuedKey(key, minted.text)


def _target(key: ApiKey) -> str:
    return f"api_key/{key.id}"


def _kept(key: ApiKey) -> JsonObject:
    """What of a key is worth a digest."""
    return {
        "name": key.name,
        "role": key.role,
        "permissions": list(key.permissions),
        "owner": str(key.owner) if key.owner else None,
        "workflows": None if key.workflows is None else list(key.workflows),
        "expiresAt": key.expires_at.isoformat() if key.expires_at else None,
        "revokedAt": key.revoked_at.isoformat() if key.revoked_at else None,
    }


def _shown(key: ApiKey) -> JsonObject:
    return {"name": key.name, "prefix": key.prefix, "role": key.role.value}
