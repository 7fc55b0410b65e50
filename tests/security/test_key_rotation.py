"""Keys are replaced while they are in use, and deleted for good; what is half done is taken up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from headrace.errors import Forbidden, InvalidInput, NotFound, Unavailable
from headrace.postgres.pool import API, Pool, open_pool, tenant_transaction
from headrace_control.auth.caller import Actor, ActorKind, Caller
from headrace_control.auth.roles import Role
from headrace_control.callbacks.keys import CallbackKeys
from headrace_control.secrets.service import SecretService
from headrace_control.tenants.model import NewTenant
from headrace_control.tenants.service import TenantService, bootstrap
from headrace_control.vault import rotation as rotation_module
from headrace_control.vault.envelope import KEY_BYTES, KeysShredded
from headrace_control.vault.keys import OwnKeys, WrappedKey
from headrace_control.vault.rotation import KeyRotation
from headrace_control.vault.shredding import KeyShredding
from headrace_control.vault.vault import Vault
from headrace_control.vault.wrapping import KeyWrapping

from tests.secret_values import secret_values

OLD, NEW = b"k" * KEY_BYTES, b"n" * KEY_BYTES
NAMES = [f"secret-{number}" for number in range(7)]
VALUES = {name: f"value of {name}" for name in NAMES}


class Failing(OwnKeys):
    """A provider that is lost after it has unwrapped so many keys."""

    def __init__(self, keys: list[bytes], unwraps: int) -> None:
        super().__init__(keys)
        self._left = unwraps

    async def unwrap(self, tenant_id: UUID, key: WrappedKey) -> bytes:
        if self._left == 0:
            raise Unavailable("the key provider is away")
        self._left -= 1
        return await super().unwrap(tenant_id, key)


class Waiting(OwnKeys):
    """A provider that says when it is asked to unwrap, and takes its time."""

    def __init__(self, keys: list[bytes]) -> None:
        super().__init__(keys)
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def unwrap(self, tenant_id: UUID, key: WrappedKey) -> bytes:
        self.asked.set()
        await self.answer.wait()
        return await super().unwrap(tenant_id, key)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, API) as opened:
        yield opened


@pytest.fixture
async def owner(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database) as opened:
        yield opened


@pytest.fixture
async def platform(owner: Pool) -> Caller:
    made = await bootstrap(owner, "platform")
    return admin_of(made, platform=True)


@pytest.fixture
async def admin(pool: Pool, platform: Caller) -> Caller:
    return await new_tenant(pool, platform, "acme")


async def test_a_rotation_that_was_cut_off_between_two_batches_is_taken_up(
    pool: Pool, owner: Pool, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_module, "BATCH", 2)
    vault = Vault(OwnKeys([OLD]))
    await with_secrets(pool, admin, vault)
    # A batch unwraps the old key and the new: this is in the middle of the third.
    with pytest.raises(Unavailable):
        await KeyRotation(pool, Vault(Failing([OLD], 6))).rotate(admin)
    rotation = KeyRotation(pool, vault)
    halfway = await rotation.progress(admin)
    assert (halfway.values, halfway.data_keys) == (len(NAMES), 2)
    assert 0 < halfway.remaining < len(NAMES)
    assert await secret_values(SecretService(pool, vault), admin.tenant_id, NAMES) == VALUES
    done = await rotation.rotate(admin, resume=True)
    assert (done.resealed, done.remaining, done.deleted) == (halfway.remaining, 0, 1)
    assert await data_keys(owner, admin) == {done.key_id}
    assert await secret_values(SecretService(pool, vault), admin.tenant_id, NAMES) == VALUES


async def test_rotations_at_once_share_the_work_and_leave_one_key(
    pool: Pool, owner: Pool, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_module, "BATCH", 2)
    vault = Vault(OwnKeys([OLD]))
    await with_secrets(pool, admin, vault)
    rotation, secrets = KeyRotation(pool, vault), SecretService(pool, vault)
    stop = asyncio.Event()

    async def read() -> int:
        reads = 0
        while not stop.is_set():
            assert await secret_values(secrets, admin.tenant_id, NAMES) == VALUES
            reads += 1
        return reads

    readers = [asyncio.create_task(read()) for _ in range(2)]
    for _ in range(5):
        await asyncio.gather(*(rotation.rotate(admin) for _ in range(3)))
    stop.set()
    assert all(reads > 0 for reads in await asyncio.gather(*readers))
    last = await rotation.rotate(admin)
    assert last.remaining == 0
    assert await data_keys(owner, admin) == {last.key_id}


async def test_who_is_sealing_while_the_key_is_replaced_is_waited_for(
    pool: Pool, owner: Pool, admin: Caller
) -> None:
    vault = Vault(OwnKeys([OLD]))
    await with_secrets(pool, admin, vault)
    rotation = KeyRotation(pool, vault)
    async with tenant_transaction(pool, admin.tenant_id) as db:
        key = await CallbackKeys(vault).of(db, admin.tenant_id)  # stored under the old key, not yet committed
        rotating = asyncio.create_task(rotation.rotate(admin))
        await blocked(owner)
    done = await rotating
    assert (done.resealed, done.remaining, done.deleted) == (len(NAMES) + 1, 0, 1)
    async with tenant_transaction(pool, admin.tenant_id) as db:
        assert await CallbackKeys(vault).find(db, admin.tenant_id) == key


async def test_what_was_read_opens_although_its_key_is_deleted_meanwhile(
    pool: Pool, owner: Pool, admin: Caller
) -> None:
    vault, slow = Vault(OwnKeys([OLD])), Waiting([OLD])
    await with_secrets(pool, admin, vault)
    reading = asyncio.create_task(secret_values(SecretService(pool, Vault(slow)), admin.tenant_id, NAMES))
    await slow.asked.wait()
    assert (await KeyRotation(pool, vault).rotate(admin)).deleted == 1
    slow.answer.set()
    assert await reading == VALUES


async def test_what_does_not_open_keeps_its_key_and_stops_nothing(
    pool: Pool, owner: Pool, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_module, "BATCH", 2)
    vault = Vault(OwnKeys([OLD]))
    await with_secrets(pool, admin, vault)
    await owner.execute("UPDATE secrets SET sealed = 'garbage' WHERE name = ANY($1)", NAMES[:4])
    done = await KeyRotation(pool, vault).rotate(admin)
    assert (done.resealed, done.remaining, done.deleted) == (3, 4, 0)


async def test_the_wrapping_key_is_replaced_for_every_tenant(
    pool: Pool, owner: Pool, platform: Caller, admin: Caller
) -> None:
    other = await new_tenant(pool, platform, "other")
    for caller in (admin, other):
        await with_secrets(pool, caller, Vault(OwnKeys([OLD])))
    both = OwnKeys([NEW, OLD])
    # Cut off after the first tenant, then by two at once.
    with pytest.raises(Unavailable):
        await KeyWrapping(pool, Failing([NEW, OLD], 1)).rewrap(platform)
    wrapping = KeyWrapping(pool, both)
    standing = {key.current: key.data_keys for key in await wrapping.keys(platform)}
    assert standing == {True: 1, False: 1}
    done = await asyncio.gather(wrapping.rewrap(platform), wrapping.rewrap(platform))
    assert sum(one.rewrapped for one in done) == 1
    assert [one.remaining for one in done] == [0, 0]
    (key,) = await wrapping.keys(platform)
    assert (key.current, key.data_keys, key.tenants) == (True, 2, 2)
    for caller in (admin, other):
        alone = SecretService(pool, Vault(OwnKeys([NEW])))
        assert await secret_values(alone, caller.tenant_id, NAMES) == VALUES


async def test_a_data_key_of_an_unknown_wrapping_key_is_counted_and_left(
    pool: Pool, platform: Caller, admin: Caller
) -> None:
    await with_secrets(pool, admin, Vault(OwnKeys([OLD])))
    done = await KeyWrapping(pool, OwnKeys([NEW])).rewrap(platform)
    assert (done.rewrapped, done.unreadable, done.remaining) == (0, 1, 1)


async def test_shredded_keys_are_gone_for_good_and_of_one_tenant_alone(
    pool: Pool, owner: Pool, platform: Caller, admin: Caller
) -> None:
    other = await new_tenant(pool, platform, "other")
    vault = Vault(OwnKeys([OLD]))
    for caller in (admin, other):
        await with_secrets(pool, caller, vault)
    await KeyRotation(pool, vault).rotate(admin)
    secrets, shredding = SecretService(pool, vault), KeyShredding(pool, vault.provider)
    done = await shredding.shred(platform, "acme", "acme")
    assert (done.data_keys, done.values) == (1, len(NAMES))
    assert await data_keys(owner, admin) == set()
    assert await secret_values(secrets, admin.tenant_id, NAMES) == {}
    with pytest.raises(KeysShredded):
        await secrets.put(admin, "new", "value")
    with pytest.raises(KeysShredded):
        await KeyRotation(pool, vault).rotate(admin)
    assert await data_keys(owner, admin) == set()
    again = await shredding.shred(platform, "acme", "acme")
    assert (again.data_keys, again.values, again.at) == (0, 0, done.at)
    assert await secret_values(secrets, other.tenant_id, NAMES) == VALUES


async def test_a_value_written_while_the_keys_are_shredded_does_not_outlive_them(
    pool: Pool, owner: Pool, platform: Caller, admin: Caller
) -> None:
    vault = Vault(OwnKeys([OLD]))
    shredding = KeyShredding(pool, vault.provider)
    async with tenant_transaction(pool, admin.tenant_id) as db:
        await CallbackKeys(vault).of(db, admin.tenant_id)  # the first key, not yet committed
        shred = asyncio.create_task(shredding.shred(platform, "acme", "acme"))
        await blocked(owner)
    done = await shred
    assert (done.data_keys, done.values) == (1, 1)
    assert await data_keys(owner, admin) == set()


async def test_shredding_asks_for_the_name_twice_and_for_a_platform_key(
    pool: Pool, platform: Caller, admin: Caller
) -> None:
    shredding = KeyShredding(pool, OwnKeys([OLD]))
    with pytest.raises(InvalidInput):
        await shredding.shred(platform, "acme", "other")
    with pytest.raises(NotFound):
        await shredding.shred(platform, "nobody", "nobody")
    wrapping = KeyWrapping(pool, OwnKeys([OLD]))
    for call in (shredding.shred(admin, "acme", "acme"), wrapping.rewrap(admin), wrapping.keys(admin)):
        with pytest.raises(Forbidden):
            await call


async def new_tenant(pool: Pool, platform: Caller, name: str) -> Caller:
    made = await TenantService(pool, pool).create(platform, name)
    return admin_of(made)


def admin_of(made: NewTenant, *, platform: bool = False) -> Caller:
    actor = Actor(ActorKind.API_KEY, made.key.api_key.id, made.key.api_key.name)
    return Caller(made.tenant.id, actor, Role.ADMIN, platform=platform)


async def with_secrets(pool: Pool, caller: Caller, vault: Vault) -> None:
    for name, value in VALUES.items():
        await SecretService(pool, vault).put(caller, name, value)


async def data_keys(owner: Pool, caller: Caller) -> set[UUID]:
    rows: list[Any] = await owner.fetch("SELECT id FROM data_keys WHERE tenant_id = $1", caller.tenant_id)
    return {row["id"] for row in rows}


async def blocked(owner: Pool) -> None:
    """Wait until a session waits for another's lock."""
    async with asyncio.timeout(30):
        while not await owner.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ):
            await asyncio.sleep(0.01)  # nothing tells of a lock
