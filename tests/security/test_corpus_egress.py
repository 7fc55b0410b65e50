"""P8, by corpus: no call leaves for an address that the policy forbids, wherever a URL enters and however it is spelt.

Servers listen where calls must not go, and every connection that this process begins is written down at the socket:
both must be left alone.
"""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from itertools import count, product
from typing import Any

import pytest
import pytest_asyncio
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.oauth2 import Grant, TokenFailure, TokenRequest, request_token
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools
from headrace.workflow.assign import RequestParts
from headrace.workflow.definition import ActionDefinition
from headrace.workflow.pagination import HEADER, NextLink, Pagination
from headrace.workflow.state import Failure
from headrace_runner.pagination import Pages, PagesFailed
from headrace_runner.requests import build_request

from tests.journal_server import Exchange, JournalServer, answering
from tests.security.hostile_server import CORPORA, read

ADDRESSES = read(CORPORA / "egress_addresses.yaml", texts=True)
ANSWERS = read(CORPORA / "egress_answers.yaml")
REDIRECTS = read(CORPORA / "egress_redirects.yaml")
PLACES = read(CORPORA / "egress_places.yaml")
MOST_CPU = 1.0
TENANT = "0190a0a0-0000-7000-8000-000000000001"
NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "app.localhost": ["::1"],
    "localhost.localdomain": ["127.0.0.1"],
    "ip6-localhost": ["::1"],
    "loopback": ["127.0.0.1"],
    "localtest.me": ["127.0.0.1"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "127.0.0.2.private.example": ["127.0.0.1"],
    "spoofed.burpcollaborator.example": ["127.0.0.1"],
    "private.example": ["127.0.0.1"],
    "intranet.example": ["10.0.0.1"],
    "metadata": ["169.254.169.254"],
    "metadata.google.internal": ["169.254.169.254"],
    "instance-data": ["169.254.169.254"],
}


async def resolve(host: str, port: int) -> Sequence[str]:
    try:
        return NAMES[host]
    except KeyError:
        raise OSError("no such name") from None


@dataclass
class Ground:
    """What listens where calls must not go, on `port`; what may be called at 127.0.0.2 is on the same port."""

    port: int
    forbidden: list[JournalServer]
    allowed: JournalServer

    @property
    def touched(self) -> int:
        return sum(server.connections for server in self.forbidden)

    def policy(self) -> EgressPolicy:
        return EgressPolicy((Opening.parse(f"127.0.0.2:{self.port}"),))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground() -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(JournalServer(answering(200, b"forbidden")))
        forbidden = [first]
        if socket.has_ipv6:
            with_ipv6 = JournalServer(answering(200, b"forbidden"), host="::1", port=first.port)
            with suppress(OSError):  # without an IPv6 loopback there is nothing to be called at it either
                forbidden.append(await stack.enter_async_context(with_ipv6))
        allowed = JournalServer(answering(200, b"ok"), host="127.0.0.2", port=first.port)
        yield Ground(first.port, forbidden, await stack.enter_async_context(allowed))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def closed() -> AsyncIterator[OutboundPools]:
    """Pools of a policy that opens nothing."""
    pools = OutboundPools(EgressPolicy(), resolve=resolve)
    yield pools
    await pools.aclose()


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The address of every connection that is begun in this process."""
    addresses: list[str] = []
    connect = socket.socket.connect

    def recorded(self: socket.socket, address: Any) -> None:
        addresses.append(str(address[0]))
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", recorded)
    return addresses


def spellings() -> Iterator[tuple[str, dict[str, Any]]]:
    for group in ADDRESSES:
        for host in group.get("hosts", ()):
            yield f"http://{host}:{{port}}/", group
        for url in group.get("urls", ()):
            yield url, group


def test_there_are_cases_enough() -> None:
    urls = [url for url, _ in spellings()]
    assert len(urls) >= 150
    assert len(set(urls)) == len(urls)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("url", "group"), list(spellings()), ids=lambda value: ascii(value) if isinstance(value, str) else ""
)
async def test_no_spelling_leads_anywhere(
    ground: Ground, closed: OutboundPools, dialled: list[str], url: str, group: dict[str, Any]
) -> None:
    call = OutboundCall("GET", url.replace("{port}", str(ground.port)), timeout=20)
    started = time.process_time()
    outcome = await OutboundClient(closed).send(call, tenant_id=TENANT)
    assert time.process_time() - started < MOST_CPU
    assert isinstance(outcome, CallFailure)
    if "denied" in group:
        assert (outcome.code, outcome.message.partition(", ")[0]) == (
            "EGRESS_DENIED",
            f"the egress policy denies {group['denied']} addresses",
        )
    else:
        assert outcome.code == "INVALID_URL"
        assert group["refused"] in outcome.message
    assert (dialled, outcome.dialled, outcome.sent, ground.touched) == ([], None, False, 0)


class Answering:
    """A name server that answers by a case, however often it is asked."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers, self.asked = answers, 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        match self.answers[min(self.asked, len(self.answers)) - 1]:
            case "failure":
                raise OSError("no such name")
            case "not a name":
                raise UnicodeError("label too long")
            case "silence":
                await asyncio.Event().wait()
                raise AssertionError
            case {"many": int(many), **others}:
                private = [f"10.{number >> 8}.{number & 255}.1" for number in range(many)]
                return [others["before"], *private] if "before" in others else [*private, *others.values()]
            case addresses:
                return list(addresses)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case["name"])
async def test_no_answer_of_a_name_server_leads_there(
    ground: Ground, dialled: list[str], case: dict[str, Any]
) -> None:
    answers = Answering(case["answers"])
    port = 1 if case.get("closed") else ground.port
    pools = OutboundPools(EgressPolicy((Opening.parse("127.0.0.2"),)), resolve=answers)
    tenants = count() if case.get("fresh") else None
    started, told = time.process_time(), []
    for _ in case["calls"]:
        call = OutboundCall("GET", f"http://rebinding.example:{port}/", timeout=case.get("timeout", 20))
        tenant = f"tenant-{next(tenants)}" if tenants else TENANT
        outcome = await OutboundClient(pools).send(call, tenant_id=tenant)
        told.append(outcome.code if isinstance(outcome, CallFailure) else outcome.status)
    await pools.aclose()
    assert told == case["calls"]
    assert answers.asked == case.get("asked", len(case["calls"]))
    assert set(dialled) <= {"127.0.0.2"}
    assert ground.touched == 0
    assert time.process_time() - started < MOST_CPU


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", REDIRECTS, ids=lambda case: case["name"])
async def test_no_chain_of_redirects_leads_there(
    ground: Ground, dialled: list[str], case: dict[str, Any]
) -> None:
    chain = [place.replace("{port}", str(ground.port)) for place in case["chain"]]
    names = Answering([["127.0.0.2"], ["127.0.0.1"]])

    async def script(exchange: Exchange) -> None:
        path = exchange.request.path.removeprefix("/")
        if path.isdigit() and int(path) < len(chain):
            location = chain[int(path)].encode().decode("latin-1")
            await exchange.respond(case.get("status", 302), b"", {"Location": location})
        else:
            await exchange.respond(404)

    async def named(host: str, port: int) -> Sequence[str]:
        return await (names(host, port) if host == "turning.example" else resolve(host, port))

    pools = OutboundPools(ground.policy(), resolve=named)
    ground.allowed.script, before = script, len(ground.allowed.requests)
    call = OutboundCall("GET", f"{ground.allowed.url}/0", timeout=20)
    outcome = await OutboundClient(pools).send(call, tenant_id=TENANT)
    await pools.aclose()
    ground.allowed.script = answering(200, b"ok")
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, len(ground.allowed.requests) - before) == (case["code"], case["hops"])
    assert set(dialled) == {"127.0.0.2"}
    assert ground.touched == 0


# -- wherever a URL enters ---------------------------------------------------------------------------------------

ACTION = ActionDefinition("app", "read", "GET", "/items/{id}")


async def by_base_url(client: OutboundClient, ground: Ground, url: str) -> str:
    call = build_request(ACTION, url, RequestParts({"id": "1"}))
    if isinstance(call, Failure):
        return call.code
    return code_of(await client.send(call, tenant_id=TENANT))


async def by_path_parameter(client: OutboundClient, ground: Ground, url: str) -> str:
    """It stays one segment of a path at the app's own host, or is refused."""
    call = build_request(ACTION, ground.allowed.url, RequestParts({"id": url}))
    if isinstance(call, Failure):
        return call.code
    return code_of(await client.send(call, tenant_id=TENANT))


async def by_endpoint(client: OutboundClient, ground: Ground, url: str) -> str:
    """An endpoint template as no definition may have it: joined as text, it stays at the app's host."""
    action = ActionDefinition("app", "read", "GET", url)
    call = build_request(action, ground.allowed.url, RequestParts())
    if isinstance(call, Failure):
        return call.code
    return code_of(await client.send(call, tenant_id=TENANT))


async def by_redirect(client: OutboundClient, ground: Ground, url: str) -> str:
    ground.allowed.script = answering(302, b"", {"Location": url.encode().decode("latin-1")})
    return code_of(await client.send(OutboundCall("GET", ground.allowed.url, timeout=20), tenant_id=TENANT))


async def by_token_endpoint(client: OutboundClient, ground: Ground, url: str) -> str:
    request = TokenRequest(url, Grant.CLIENT_CREDENTIALS, "id", "a-client-secret", timeout=20)
    outcome = await request_token(client, request, tenant_id=TENANT)
    return outcome.code if isinstance(outcome, TokenFailure) else "GRANTED"


async def by_redirect_of_a_token_endpoint(client: OutboundClient, ground: Ground, url: str) -> str:
    ground.allowed.script = answering(307, b"", {"Location": url.encode().decode("latin-1")})
    return await by_token_endpoint(client, ground, ground.allowed.url)


async def by_link_header(client: OutboundClient, ground: Ground, url: str) -> str:
    headers = {"Content-Type": "application/json", "Link": f"<{url}>; rel=next".encode().decode("latin-1")}
    ground.allowed.script = answering(200, b"[1]", headers)
    return await paged(client, ground, Pagination("$.body", NextLink(HEADER)))


async def by_link_in_the_body(client: OutboundClient, ground: Ground, url: str) -> str:
    async def script(exchange: Exchange) -> None:
        await exchange.json(json.dumps({"items": [1], "next": url}))

    ground.allowed.script = script
    return await paged(client, ground, Pagination("$.body.items", NextLink("$.body.next")))


async def paged(client: OutboundClient, ground: Ground, rule: Pagination) -> str:
    """Two pages as a step asks for them."""
    pages = Pages(rule, OutboundCall("GET", f"{ground.allowed.url}/items", timeout=20))
    answer = await client.send(pages.first, tenant_id=TENANT)
    assert isinstance(answer, CallResult)
    try:
        following = pages.take(answer, None)
    except PagesFailed as error:
        return error.failure.code
    assert following is not None
    return code_of(await client.send(following, tenant_id=TENANT))


def code_of(outcome: CallResult | CallFailure) -> str:
    return outcome.code if isinstance(outcome, CallFailure) else f"HTTP_{outcome.status}"


ENTRANCES: dict[str, Callable[[OutboundClient, Ground, str], Awaitable[str]]] = {
    "base-url": by_base_url,
    "path-parameter": by_path_parameter,
    "endpoint": by_endpoint,
    "redirect": by_redirect,
    "token-endpoint": by_token_endpoint,
    "redirect-of-a-token-endpoint": by_redirect_of_a_token_endpoint,
    "link-header": by_link_header,
    "link-in-the-body": by_link_in_the_body,
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("entrance", "url"),
    list(product(ENTRANCES, PLACES["urls"])),
    ids=lambda value: ascii(value),
)
async def test_no_entrance_leads_there(ground: Ground, dialled: list[str], entrance: str, url: str) -> None:
    pools = OutboundPools(ground.policy(), resolve=resolve)
    try:
        written = url.replace("{port}", str(ground.port))
        told = await ENTRANCES[entrance](OutboundClient(pools), ground, written)
    finally:
        ground.allowed.script = answering(200, b"ok")
        await pools.aclose()
    assert told in PLACES["entrances"][entrance]
    assert set(dialled) <= {"127.0.0.2"}
    assert ground.touched == 0
