"""A key management service as the keeper of the wrapping key: moto's server stands for it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import boto3
import httpx
import pytest
from fleet import free_port
from headrace.errors import InvalidInput, Unavailable
from headrace.ids import new_id
from headrace.outbound.transport import trusted_transport
from headrace.postgres.pool import API, open_pool
from headrace.process import CanNotStart
from headrace_control.auth.caller import Actor, ActorKind, Caller
from headrace_control.auth.roles import Role
from headrace_control.secrets.service import SecretService
from headrace_control.settings import AwsSettings, ControlPlaneSettings
from headrace_control.tenants.service import bootstrap
from headrace_control.vault.envelope import KEY_BYTES, SecretUnreadable
from headrace_control.vault.kms import KmsAddress, KmsKeys
from headrace_control.vault.open import OpenKeys
from headrace_control.vault.providers import RememberedKeys
from headrace_control.vault.sigv4 import AwsCredentials
from headrace_control.vault.vault import Vault
from headrace_control.vault.wrapping import KeyWrapping
from moto.server import ThreadedMotoServer

from tests.secret_values import secret_values

REGION = "eu-central-1"
CREDENTIALS = AwsCredentials("test-access-key", "test-secret-key")
TENANT, DATA_KEY = new_id(), b"d" * KEY_BYTES
KEY_LINE = "6b" * KEY_BYTES


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def account(service: str) -> Any:
    return boto3.client(
        "kms",
        endpoint_url=service,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS.access_key_id,
        aws_secret_access_key=CREDENTIALS.secret_access_key,
    )


@pytest.fixture
def address(service: str, account: Any) -> KmsAddress:
    """Of a key of its own."""
    return KmsAddress(account.create_key()["KeyMetadata"]["KeyId"], REGION, service)


@pytest.fixture
async def keys(address: KmsAddress) -> AsyncIterator[KmsKeys]:
    provider = KmsKeys(address, CREDENTIALS, trusted_transport())
    yield provider
    await provider.aclose()


async def test_a_wrapped_key_opens_for_its_tenant_alone(keys: KmsKeys, address: KmsAddress) -> None:
    wrapped = await keys.wrap(TENANT, DATA_KEY)
    assert (wrapped.provider, wrapped.wrapped_by) == keys.wraps_with == ("kms", address.key_id)
    assert DATA_KEY not in wrapped.wrapped
    assert await keys.unwrap(TENANT, wrapped) == DATA_KEY
    for tenant, changed in (
        (new_id(), wrapped),
        (TENANT, replace(wrapped, wrapped=wrapped.wrapped[:-1] + bytes([wrapped.wrapped[-1] ^ 1]))),
        (TENANT, replace(wrapped, provider="own")),
    ):
        with pytest.raises(SecretUnreadable):
            await keys.unwrap(tenant, changed)


async def test_a_key_that_is_not_there_is_unreadable_and_wraps_nothing(
    keys: KmsKeys, address: KmsAddress
) -> None:
    wrapped = await keys.wrap(TENANT, DATA_KEY)
    gone = replace(address, key_id=str(new_id()))
    with pytest.raises(SecretUnreadable):
        await keys.unwrap(TENANT, replace(wrapped, wrapped_by=gone.key_id))
    other = KmsKeys(gone, CREDENTIALS, trusted_transport())
    with pytest.raises(Unavailable):
        await other.wrap(TENANT, DATA_KEY)
    await other.aclose()


async def test_a_service_that_is_away_is_unavailable(address: KmsAddress) -> None:
    away = KmsKeys(
        replace(address, endpoint=f"http://127.0.0.1:{free_port()}"), CREDENTIALS, trusted_transport()
    )
    with pytest.raises(Unavailable):
        await away.wrap(TENANT, DATA_KEY)
    await away.aclose()


@pytest.mark.parametrize(
    ("status", "body", "raised", "calls"),
    [
        (400, b'{"__type": "ThrottlingException"}', Unavailable, 3),
        (500, b'{"__type": "KMSInternalException"}', Unavailable, 3),
        (503, b"<html>", Unavailable, 3),
        (400, b'{"__type": "AccessDeniedException", "message": "quotes data"}', Unavailable, 1),
        (400, b'{"__type": "com.amazonaws#InvalidCiphertextException"}', SecretUnreadable, 1),
        (400, b'{"__type": "DisabledException"}', SecretUnreadable, 1),
        (400, b'{"__type": "\\u0000<quoted>"}', Unavailable, 1),
        (200, b"[]", Unavailable, 1),
        (200, b'{"Plaintext": "%%%"}', Unavailable, 1),
        (200, b'{"Plaintext": "c2hvcnQ="}', SecretUnreadable, 1),
        (200, b"x" * 100_000, Unavailable, 1),
    ],
)
async def test_what_the_service_answers_is_read_strictly(
    address: KmsAddress, status: int, body: bytes, raised: type[Exception], calls: int
) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status, stream=httpx.ByteStream(body))

    keys = KmsKeys(address, CREDENTIALS, httpx.MockTransport(answer))
    own = KmsKeys(address, CREDENTIALS, trusted_transport())
    wrapped = await own.wrap(TENANT, DATA_KEY)
    with pytest.raises(raised) as caught:
        await keys.unwrap(TENANT, wrapped)
    assert "quote" not in str(caught.value)
    assert len(seen) == calls
    await own.aclose()


async def test_a_remembered_key_is_asked_for_once_and_not_for_long(keys: KmsKeys) -> None:
    time = [0.0]
    asked = []

    class Counted(KmsKeys):
        async def unwrap(self, *given: Any) -> bytes:
            asked.append(given)
            return await keys.unwrap(*given)

    counted = Counted(KmsAddress("k", REGION), CREDENTIALS, trusted_transport())
    remembered = RememberedKeys(counted, seconds=60, most=2, clock=lambda: time[0])
    wrapped = await keys.wrap(TENANT, DATA_KEY)
    found = await asyncio.gather(*(remembered.unwrap(TENANT, wrapped) for _ in range(5)))
    assert set(found) == {DATA_KEY}
    assert len(asked) == 1
    with pytest.raises(SecretUnreadable):  # bound to its tenant in the memory, too
        await remembered.unwrap(new_id(), wrapped)
    time[0] = 60.0
    await remembered.unwrap(TENANT, wrapped)
    assert len(asked) == 3
    remembered.forget(TENANT)
    await remembered.unwrap(TENANT, wrapped)
    assert len(asked) == 4
    await counted.aclose()


async def test_data_keys_move_from_a_file_to_the_kms_and_back_online(
    address: KmsAddress, database: str
) -> None:
    aws = AwsSettings(access_key_id="a", secret_access_key="s", region=REGION)
    stages = {
        "file": settings(database, key=KEY_LINE),
        "both": settings(database, key=KEY_LINE, kms_key_id=address.key_id, kms_endpoint=address.endpoint),
        "kms": settings(database, kms_key_id=address.key_id, kms_endpoint=address.endpoint),
        "back": settings(
            database,
            key=KEY_LINE,
            kms_key_id=address.key_id,
            kms_endpoint=address.endpoint,
            key_provider="own",
        ),
    }
    async with await open_pool(database) as owner, await open_pool(database, API) as pool:
        made = await bootstrap(owner, "platform")
        actor = Actor(ActorKind.API_KEY, made.key.api_key.id, made.key.api_key.name)
        platform = Caller(made.tenant.id, actor, Role.ADMIN, platform=True)
        standing = []
        for stage, chosen in stages.items():
            opened = OpenKeys(chosen, aws)
            secrets = SecretService(pool, Vault(opened.provider))
            if stage == "file":
                await secrets.put(platform, "mine", "canary")
            assert await secret_values(secrets, platform.tenant_id, ["mine"]) == {"mine": "canary"}
            assert (await KeyWrapping(pool, opened.provider).rewrap(platform)).remaining == 0
            assert await secret_values(secrets, platform.tenant_id, ["mine"]) == {"mine": "canary"}
            standing.append(await owner.fetchval("SELECT provider FROM data_keys"))
            await opened.aclose()
        assert standing == ["own", "kms", "kms", "own"]


def test_settings_that_do_not_fit_together_are_refused(database: str) -> None:
    for given in ({}, {"key": KEY_LINE, "key_file": "x"}, {"kms_key_id": "k", "key_provider": "own"}):
        with pytest.raises(ValueError, match="HEADRACE_KEY"):
            settings(database, **given)
    for key_id in ("alias/mine", "arn:aws:kms:eu-central-1:1:alias/mine"):
        with pytest.raises(InvalidInput):
            KmsKeys(KmsAddress(key_id, REGION), CREDENTIALS, trusted_transport())
    with pytest.raises(CanNotStart, match="AWS_ACCESS_KEY_ID"):
        OpenKeys(settings(database, kms_key_id="k"), None)


def settings(database: str, **given: Any) -> ControlPlaneSettings:
    return ControlPlaneSettings(
        database_url=database, bus_url=database, log_store_url=database, runner_token="r" * 32, **given
    )
