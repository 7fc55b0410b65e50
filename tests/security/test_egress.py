"""P8: no call leaves for an address that the policy forbids, by whatever spelling, redirect or DNS answer.

A real server listens where calls must not go; that it saw no connection is what counts.
"""

import ast
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.failures import CallCode, TransportFailure
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools
from headrace.outbound.transport import AiohttpTransport, trusted_transport

from tests.journal_server import JournalServer, answering

TENANT = "0190a0a0-0000-7000-8000-000000000001"


@pytest.fixture
async def forbidden() -> AsyncIterator[JournalServer]:
    async with JournalServer(answering(200, b"forbidden")) as server:
        yield server
    assert server.connections == 0


def opening(*entries: str) -> EgressPolicy:
    return EgressPolicy(tuple(Opening.parse(entry) for entry in entries))


async def send(pools: OutboundPools, url: str, tenant: str = TENANT) -> CallResult | CallFailure:
    return await OutboundClient(pools).send(OutboundCall("GET", url, timeout=5), tenant_id=tenant)


def is_denied(outcome: CallResult | CallFailure) -> bool:
    return isinstance(outcome, CallFailure) and outcome.code == "EGRESS_DENIED" and not outcome.sent


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "%3127.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "localhost",
        "LOCALHOST.",
        "0.0.0.0",
        "0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
    ],
)
async def test_no_spelling_of_loopback_gets_there(forbidden: JournalServer, host: str) -> None:
    pools = OutboundPools(EgressPolicy())
    assert is_denied(await send(pools, f"http://{host}:{forbidden.port}/"))
    await pools.aclose()


@pytest.mark.parametrize(
    "host",
    [
        "[::1]",
        "[::]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[::ffff:0:127.0.0.1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "0xA9FEA9FE",
        "[::ffff:a9fe:a9fe]",
        "100.100.100.200",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
async def test_no_other_denied_address_is_dialled(host: str) -> None:
    pools = OutboundPools(EgressPolicy())
    outcome = await send(pools, f"http://{host}/")
    await pools.aclose()
    assert is_denied(outcome)
    assert outcome.dialled is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}@example.com/",
        "http://example.com@127.0.0.1:{port}/",
        "ftp://127.0.0.1:{port}/",
    ],
)
async def test_urls_that_readers_disagree_about_are_refused(forbidden: JournalServer, url: str) -> None:
    pools = OutboundPools(EgressPolicy())
    outcome = await send(pools, url.format(port=forbidden.port))
    await pools.aclose()
    assert isinstance(outcome, CallFailure)
    assert outcome.code == "INVALID_URL"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "localhost"])
async def test_no_redirect_gets_there(forbidden: JournalServer, status: int, host: str) -> None:
    location = f"http://{host}:{forbidden.port}/"
    async with JournalServer(answering(status, b"", {"Location": location})) as allowed:
        pools = OutboundPools(opening(f"127.0.0.1:{allowed.port}"))
        outcome = await send(pools, allowed.url)
        await pools.aclose()
    assert isinstance(outcome, CallFailure)
    assert outcome.code == "EGRESS_DENIED"
    assert outcome.sent  # the first request was
    assert len(allowed.requests) == 1


async def test_a_refusal_names_the_place_of_the_call_and_the_mend() -> None:
    pools = OutboundPools(EgressPolicy())
    for url, place in (("http://0x7f000001/x?secret", "127.0.0.1:80"), ("https://[::1]:8443/", "[::1]:8443")):
        outcome = await send(pools, url)
        assert isinstance(outcome, CallFailure)
        assert f"LOOPBACK addresses, and {place} is one" in outcome.message
        assert f"--allow {place}" in outcome.message
        Opening.parse(place)  # the mend can be done
        assert "secret" not in outcome.message
    await pools.aclose()


async def test_a_refusal_tells_nothing_of_the_network_or_of_an_answer() -> None:
    """Neither the address of a name that only we can resolve, nor where a target redirects to."""
    pools = OutboundPools(EgressPolicy(), resolve=Answers(["10.11.12.13"]))
    outcome = await send(pools, "http://billing.internal/")
    await pools.aclose()
    assert isinstance(outcome, CallFailure)
    assert "billing.internal:80" in outcome.message
    assert "10.11" not in outcome.message
    location = {"Location": "http://canary.internal:9/"}
    async with JournalServer(answering(302, b"", location)) as allowed:
        pools = OutboundPools(opening(f"127.0.0.1:{allowed.port}"), resolve=Answers(["10.11.12.13"]))
        outcome = await send(pools, allowed.url)
        await pools.aclose()
    assert isinstance(outcome, CallFailure)
    assert outcome.code == "EGRESS_DENIED"
    assert "redirect" in outcome.message
    assert "canary" not in outcome.message


class Answers:
    """A resolver that gives each lookup its own answer, as a rebinding name server would."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::ffff:127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "64:ff9b::7f00:1"]
)
async def test_no_name_leads_to_a_denied_address(forbidden: JournalServer, address: str) -> None:
    pools = OutboundPools(EgressPolicy(), resolve=Answers([address]))
    assert is_denied(await send(pools, f"http://innocent.example:{forbidden.port}/"))
    await pools.aclose()


async def test_a_name_is_resolved_once_and_what_was_checked_is_dialled(forbidden: JournalServer) -> None:
    """The classic rebinding: a harmless answer for the check, another for the connection."""
    async with JournalServer(answering(200, b"ok"), host="127.0.0.2", port=forbidden.port) as allowed:
        answers = Answers(["127.0.0.2"], ["127.0.0.1"])
        pools = OutboundPools(opening("127.0.0.2"), resolve=answers)
        outcome = await send(pools, f"http://rebinding.example:{allowed.port}/")
        await pools.aclose()
    assert isinstance(outcome, CallResult)
    assert (outcome.dialled, answers.asked) == ("127.0.0.2", 1)
    assert allowed.requests[0].headers["host"] == f"rebinding.example:{allowed.port}"


async def test_a_new_connection_is_checked_anew(forbidden: JournalServer) -> None:
    """The name moves between two calls; neither cache nor pool carries the permission over."""
    answers = Answers(["127.0.0.2"], ["127.0.0.1"])
    policy = opening("127.0.0.2")
    url = f"http://rebinding.example:{forbidden.port}/"
    pools = OutboundPools(policy, resolve=answers)
    async with JournalServer(answering(), host="127.0.0.2", port=forbidden.port):
        assert isinstance(await send(pools, url, "tenant-one"), CallResult)
    assert is_denied(await send(pools, url, "tenant-two"))
    await pools.aclose()
    assert answers.asked == 2


@pytest.mark.parametrize("order", [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]])
async def test_of_a_mixed_answer_only_the_permitted_address_is_dialled(
    forbidden: JournalServer, order: list[str]
) -> None:
    async with JournalServer(answering(), host="127.0.0.2", port=forbidden.port) as allowed:
        pools = OutboundPools(opening("127.0.0.2"), resolve=Answers(order))
        outcome = await send(pools, f"http://mixed.example:{forbidden.port}/")
        await pools.aclose()
    assert isinstance(outcome, CallResult)
    assert len(allowed.requests) == 1


async def test_a_permitted_address_that_fails_does_not_lead_to_a_denied_one(forbidden: JournalServer) -> None:
    pools = OutboundPools(opening("127.0.0.2"), resolve=Answers(["127.0.0.2", "127.0.0.1"]))
    outcome = await send(pools, f"http://mixed.example:{forbidden.port}/")
    await pools.aclose()
    assert isinstance(outcome, CallFailure)
    assert outcome.code == "CONNECT_FAILED"


async def test_an_opening_of_one_tenant_is_no_others(forbidden: JournalServer) -> None:
    policy = EgressPolicy((), {TENANT: (Opening.parse("127.0.0.2"),)})
    pools = OutboundPools(policy)
    async with JournalServer(answering(200, b"ok"), host="127.0.0.2") as server:
        assert isinstance(await send(pools, server.url, TENANT.upper()), CallResult)
        # A connection to it is kept by now; another tenant must not be given it.
        assert is_denied(await send(pools, server.url, "0190a0a0-0000-7000-8000-000000000002"))
        assert is_denied(await send(pools, forbidden.url, TENANT))
    await pools.aclose()
    assert len(server.requests) == 1


async def test_the_guard_is_in_the_transport_itself(forbidden: JournalServer) -> None:
    """Whoever uses httpx's client over it gets the same answer, redirects by httpx included."""
    async with JournalServer(answering(302, b"", {"Location": forbidden.url})) as allowed:
        guarded = AiohttpTransport(opening(f"127.0.0.1:{allowed.port}"))
        async with httpx.AsyncClient(transport=guarded, follow_redirects=True, trust_env=False) as client:
            with pytest.raises(TransportFailure) as caught:
                await client.get(allowed.url)
    assert caught.value.reason is CallCode.EGRESS_DENIED


async def test_the_trusted_transport_is_for_addresses_of_our_own() -> None:
    async with (
        JournalServer(answering(200, b"ok")) as server,
        httpx.AsyncClient(transport=trusted_transport(), trust_env=False) as client,
    ):
        assert (await client.get(server.url)).text == "ok"


# What opens connections to addresses that tenants choose, if anything does.
OPENERS = {
    "AsyncClient",
    "Client",
    "ClientSession",
    "TCPConnector",
    "open_connection",
    "urlopen",
    "urlretrieve",
}
LIBRARIES = {"requests", "urllib3", "http.client", "urllib.request", "websockets"}
ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for package in ("libs/common/headrace", "services/control-plane", "services/runner", "services/reporter")
    for path in (ROOT / package).rglob("*.py")
    if "headrace/outbound" not in path.as_posix()
)


def test_services_open_connections_through_outbound_alone() -> None:
    """An httpx client is given its transport by hand, and no other client is used."""
    assert len(SOURCES) > 50
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in OPENERS:
                    if "transport" not in {keyword.arg for keyword in node.keywords}:
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
                case ast.Import(names=names) if LIBRARIES & {alias.name for alias in names}:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
                case ast.ImportFrom(module=str(module)) if module in LIBRARIES:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {module}")
    assert found == []
