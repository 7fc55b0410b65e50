"""Sealed values open at their own place, under their own key, and nowhere else."""

import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from headrace.errors import InvalidInput
from headrace.ids import new_id
from headrace.postgres.pool import API, Pool, open_pool, tenant_transaction
from headrace_control.auth.caller import Actor, ActorKind, Caller
from headrace_control.auth.roles import Role
from headrace_control.secrets.service import SecretService
from headrace_control.tenants.service import bootstrap
from headrace_control.vault.envelope import KEY_BYTES, Place, SecretUnreadable, seal, unseal
from headrace_control.vault.keys import OwnKeys, create_key_file, open_key_file, read_keys
from headrace_control.vault.rotation import BATCH, KeyRotation
from headrace_control.vault.vault import Vault
from hypothesis import given
from hypothesis import strategies as st

from tests.secret_values import secret_values

KEY, OTHER_KEY = b"k" * KEY_BYTES, b"o" * KEY_BYTES
KEY_ID = new_id()
PLACE = Place(new_id(), "connection", new_id(), "apiKey")


@given(st.text())
def test_every_text_comes_back(value: str) -> None:
    assert unseal(KEY, KEY_ID, PLACE, seal(KEY, KEY_ID, PLACE, value)) == value


def test_the_same_value_is_never_sealed_alike() -> None:
    assert seal(KEY, KEY_ID, PLACE, "same") != seal(KEY, KEY_ID, PLACE, "same")


@pytest.mark.parametrize(
    "place",
    [
        replace(PLACE, tenant_id=new_id()),
        replace(PLACE, owner_id=new_id()),
        replace(PLACE, owner="secret"),
        replace(PLACE, field="apiKey2"),
    ],
    ids=["tenant", "row", "table", "field"],
)
def test_a_value_moved_elsewhere_does_not_open(place: Place) -> None:
    with pytest.raises(SecretUnreadable):
        unseal(KEY, KEY_ID, place, seal(KEY, KEY_ID, PLACE, "value"))


def test_another_key_or_key_id_does_not_open() -> None:
    sealed = seal(KEY, KEY_ID, PLACE, "value")
    for key, key_id in ((OTHER_KEY, KEY_ID), (KEY, new_id())):
        with pytest.raises(SecretUnreadable):
            unseal(key, key_id, PLACE, sealed)


@given(st.integers(0), st.integers(1, 255))
def test_a_changed_byte_does_not_open(position: int, change: int) -> None:
    sealed = bytearray(seal(KEY, KEY_ID, PLACE, "value"))
    sealed[position % len(sealed)] ^= change
    with pytest.raises(SecretUnreadable):
        unseal(KEY, KEY_ID, PLACE, bytes(sealed))


@given(st.binary(max_size=40))
def test_what_was_never_sealed_does_not_open(anything: bytes) -> None:
    with pytest.raises(SecretUnreadable):
        unseal(KEY, KEY_ID, PLACE, anything)


async def test_a_wrapped_key_is_bound_to_its_tenant_and_its_provider() -> None:
    tenant_id = new_id()
    wrapped = await OwnKeys([KEY]).wrap(tenant_id, b"d" * KEY_BYTES)
    # The first key wraps, the others still unwrap: that is how the wrapping key itself is replaced.
    assert await OwnKeys([OTHER_KEY, KEY]).unwrap(tenant_id, wrapped) == b"d" * KEY_BYTES
    for keys, tenant in ((OwnKeys([OTHER_KEY]), tenant_id), (OwnKeys([KEY]), new_id())):
        with pytest.raises(SecretUnreadable):
            await keys.unwrap(tenant, wrapped)


def test_a_key_file_is_its_owners_alone_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "key"
    assert create_key_file(path)
    before = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not create_key_file(path)
    assert path.read_bytes() == before
    open_key_file(path)


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", "not base64 at all", "ab" * 31, "zz" * 32])
def test_a_key_of_the_wrong_shape_is_refused_unquoted(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_keys(text)
    assert not text or text not in str(caught.value)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, API) as opened:
        yield opened


@pytest.fixture
async def owner(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database) as opened:
        yield opened


@pytest.fixture
async def admin(owner: Pool) -> Caller:
    made = await bootstrap(owner, "platform")
    actor = Actor(ActorKind.API_KEY, made.key.api_key.id, made.key.api_key.name)
    return Caller(made.tenant.id, actor, Role.ADMIN, platform=True)


async def test_a_value_copied_to_another_row_does_not_open(pool: Pool, owner: Pool, admin: Caller) -> None:
    secrets = SecretService(pool, Vault(OwnKeys([KEY])))
    await secrets.put(admin, "mine", "canary-of-mine")
    await secrets.put(admin, "yours", "canary-of-yours")
    assert await secret_values(secrets, admin.tenant_id, ["mine", "yours", "none"]) == {
        "mine": "canary-of-mine",
        "yours": "canary-of-yours",
    }
    await owner.execute("UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'mine')")
    assert await secret_values(secrets, admin.tenant_id, ["mine", "yours"]) == {"mine": "canary-of-mine"}


async def test_no_value_stands_in_the_database(pool: Pool, owner: Pool, admin: Caller) -> None:
    await SecretService(pool, Vault(OwnKeys([KEY]))).put(admin, "mine", "canary-of-mine")
    for table in ("secrets", "data_keys"):
        rows = await owner.fetch(f"SELECT t::text AS everything FROM {table} t")
        assert rows
        for row in rows:
            assert "canary" not in row["everything"]
            assert b"canary".hex() not in row["everything"]


async def test_a_rotation_that_was_cut_off_goes_on_where_it_was(
    pool: Pool, owner: Pool, admin: Caller
) -> None:
    vault = Vault(OwnKeys([KEY]))
    secrets, rotation = SecretService(pool, vault), KeyRotation(pool, vault)
    names = [f"secret-{number}" for number in range(3)]
    for name in names:
        await secrets.put(admin, name, f"value of {name}")
    async with tenant_transaction(pool, admin.tenant_id) as db:
        await vault.replace_key(db, admin.tenant_id)  # as if it had been cut off right after this
    done = await rotation.rotate(admin, resume=True)
    assert (done.resealed, done.remaining) == (3, 0)
    assert await keys_in_use(owner) == {done.key_id}
    again = await rotation.rotate(admin)
    assert (again.resealed, again.remaining) == (3, 0)
    assert again.key_id != done.key_id
    assert await secret_values(secrets, admin.tenant_id, names) == {
        name: f"value of {name}" for name in names
    }


async def test_a_rotation_takes_more_than_one_batch(pool: Pool, owner: Pool, admin: Caller) -> None:
    vault = Vault(OwnKeys([KEY]))
    await SecretService(pool, vault).put(admin, "first", "value")
    async with tenant_transaction(pool, admin.tenant_id) as db:
        key = await vault.active_key(db, admin.tenant_id)
    rows: list[Any] = []
    for number in range(BATCH + 5):
        place = Place(admin.tenant_id, "secret", new_id(), "value")
        rows.append(
            (admin.tenant_id, place.owner_id, f"s{number}", key.id, seal(key.key, key.id, place, "v"))
        )
    await owner.executemany(
        "INSERT INTO secrets (tenant_id, id, name, key_id, sealed) VALUES ($1, $2, $3, $4, $5)", rows
    )
    done = await KeyRotation(pool, vault).rotate(admin)
    assert (done.resealed, done.remaining) == (BATCH + 6, 0)


async def test_without_the_wrapping_key_nothing_opens(pool: Pool, admin: Caller) -> None:
    await SecretService(pool, Vault(OwnKeys([KEY]))).put(admin, "mine", "canary")
    lost = SecretService(pool, Vault(OwnKeys([OTHER_KEY])))
    assert await secret_values(lost, admin.tenant_id, ["mine"]) == {}
    with pytest.raises(SecretUnreadable):
        await lost.put(admin, "new", "value")


async def keys_in_use(owner: Pool) -> set[UUID]:
    return {row["key_id"] for row in await owner.fetch("SELECT key_id FROM secrets")}
