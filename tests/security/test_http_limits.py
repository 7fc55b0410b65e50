"""How fast and how long: the public face's own limits, and the settings that are too loose for it."""

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest
from fixtures_edge import Edge, Keyed
from headrace.errors import RateLimited
from headrace_control.auth.roles import Role
from headrace_control.web import rates
from headrace_control.web.addresses import ClientAddress, bucket_of
from headrace_control.web.policy import HttpPolicy, HttpSettings
from headrace_control.web.rates import BURST_SECONDS, AddressRate, Buckets

from tests.security.public_face import LISTED, NAME, ask, code, face, opened_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")


# -- rates ---------------------------------------------------------------------------------------------------


async def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    now = 0.0
    buckets = Buckets(10, clock=lambda: now)
    for _ in range(int(10 * BURST_SECONDS)):
        buckets.take("a")
    with pytest.raises(RateLimited) as refused:
        buckets.take("a")
    assert refused.value.retry_after == 1
    buckets.take("b")
    now = 0.1
    buckets.take("a")
    with pytest.raises(RateLimited):
        buckets.take("a")
    now = 3_600.0
    for _ in range(int(10 * BURST_SECONDS)):
        buckets.take("a")


async def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_BUCKETS", 100)
    buckets = Buckets(1, clock=lambda: 0.0)
    for number in range(1_000):
        buckets.take(number)
    assert len(buckets._full_at) == 100


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(edge: Edge) -> None:
    async with face(edge, HttpPolicy(rate_per_key=0.01)) as http:
        admin, viewer = (Keyed(http, edge.keys[role].key) for role in (Role.ADMIN, Role.VIEWER))
        assert (await admin.post(NAME)).status_code == 200
        answer = await admin.post(NAME)
        assert (answer.status_code, code(answer)) == (429, "RATE_LIMITED")
        assert 1 <= int(answer.headers["retry-after"]) <= 100
        assert (await viewer.post(NAME)).status_code == 200


async def test_an_address_that_asks_too_often_is_refused_whatever_it_asks(edge: Edge) -> None:
    async with face(edge, HttpPolicy(rate_per_address=0.2)) as http:
        assert (await http.get("/nowhere")).status_code == 404
        for path in ("/nowhere", "/health", "/callbacks/x", "/webhooks/x", "/graphql"):
            answer = await http.post(path)
            assert (answer.status_code, code(answer)) == (429, "RATE_LIMITED")
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_forged_header_buys_no_further_requests(edge: Edge) -> None:
    async with face(edge, HttpPolicy(rate_per_address=0.2)) as http:
        answers = [await http.get("/health", headers={"x-forwarded-for": f"8.8.8.{n}"}) for n in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 429]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("9.9.9.9", ["1.2.3.4"], "9.9.9.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4", "10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["1.2.3.4, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4:5678"], "1.2.3.4"),
        ("10.0.0.1", ["[2001:db8::1]:5678"], "2001:db8::1"),
        ("10.0.0.1", ["::ffff:1.2.3.4"], "1.2.3.4"),
        ("::ffff:10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["1.2.3.4, ::ffff:10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [",,,"], "10.0.0.1"),
    ],
)
async def test_the_client_is_the_first_from_the_right_that_is_no_proxy_of_ours(
    peer: str, forwarded: list[str], client: str
) -> None:
    seen = []

    async def look(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    scope = {"type": "http", "client": (peer, 1), "headers": headers}
    await ClientAddress(look, [ip_network("10.0.0.0/8")])(scope, None, None)  # type: ignore[arg-type]
    assert seen == [client]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("1.2.3.4", "::ffff:1.2.3.4", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("1.2.3.4", "1.2.3.5", False),
    ],
)
async def test_what_one_subscriber_has_shares_a_rate(one: str, other: str, together: bool) -> None:
    assert (bucket_of(one) == bucket_of(other)) is together


async def test_a_handshake_counts_as_a_request() -> None:
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def never(*_: Any) -> None:
        raise AssertionError("reached")

    buckets = Buckets(0.1, clock=lambda: 0.0)
    buckets.take("1.2.3.4")
    await AddressRate(never, buckets)({"type": "websocket", "client": ("1.2.3.4", 1)}, None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["websocket.close"]


# -- time ----------------------------------------------------------------------------------------------------


@pytest.fixture
def stuck(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait_for_ever(*_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(type(edge.composed.services.tenants), "current", wait_for_ever)


@pytest.mark.usefixtures("stuck")
async def test_an_operation_that_takes_too_long_is_ended(edge: Edge) -> None:
    policy = HttpPolicy(operation_seconds=0.3)
    async with face(edge, policy) as http:
        answer = await Keyed(http, edge.admin.key).post(NAME)
        assert (answer.status_code, code(answer)) == (503, "TIMED_OUT")
    async with opened_socket(edge, edge.admin, policy) as ws:
        assert (await ask(ws, NAME))["payload"][0]["extensions"]["code"] == "TIMED_OUT"
        assert (await ask(ws, "{ __typename }"))["payload"]["data"] == {"__typename": "Query"}


# -- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "console.example.com"),
        ("CORS_ORIGINS", "https://console.example.com/"),
        ("CORS_ORIGINS", "null"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "everybody"),
        ("RATE_PER_KEY", "-1"),
    ],
)
async def test_a_loose_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"HEADRACE_{name}", value)
    with pytest.raises(ValueError, match=name.lower()):
        HttpSettings(_env_prefix="HEADRACE_")
    monkeypatch.setenv("HEADRACE_CORS_ORIGINS", f"{LISTED}, http://localhost:5173")
    monkeypatch.setenv("HEADRACE_TRUSTED_PROXIES", "10.0.0.0/8,::1")
    monkeypatch.delenv("HEADRACE_RATE_PER_KEY", raising=False)
    policy = HttpSettings(_env_prefix="HEADRACE_").http_policy({})
    assert list(policy.origins) == [LISTED, "http://localhost:5173"]
    assert [str(network) for network in policy.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert policy.introspection is False
