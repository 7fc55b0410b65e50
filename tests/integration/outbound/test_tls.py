"""Whom a call trusts."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from headrace.outbound.call import OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools

from tests.certificates import self_signed
from tests.journal_server import JournalServer, answering
from tests.outbound_calls import failing, succeeding


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("tls")
    return lambda name: self_signed(folder, name)


async def test_tls_verifies_the_name_that_was_asked_for(
    certificate: Callable[[str], tuple[Path, Path]],
) -> None:
    good, key = certificate("target.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(good, key)
    trust = ssl.create_default_context(cafile=str(good))

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    loopback = EgressPolicy((Opening.parse("127.0.0.0/8"),))
    trusting = OutboundPools(loopback, resolve=resolve, tls=trust)
    distrusting = OutboundPools(loopback, resolve=resolve)
    async with JournalServer(answering(200, b"ok"), tls=context) as server:
        at = f":{server.port}/"
        ok = await succeeding(OutboundClient(trusting), OutboundCall("GET", "https://target.example" + at))
        other = await failing(OutboundClient(trusting), OutboundCall("GET", "https://other.example" + at))
        literal = await failing(OutboundClient(trusting), OutboundCall("GET", "https://127.0.0.1" + at))
        unknown = await failing(
            OutboundClient(distrusting), OutboundCall("GET", "https://target.example" + at)
        )
        await trusting.aclose()
        await distrusting.aclose()
    assert ok.body == "ok"
    assert len(server.requests) == 1
    for failure in (other, literal, unknown):
        assert (failure.code, failure.sent) == ("TLS_FAILED", False)


async def test_plain_http_where_tls_is_expected(client: OutboundClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        failure = await failing(client, OutboundCall("GET", f"https://127.0.0.1:{port}/"))
    assert (failure.code, failure.sent) == ("TLS_FAILED", False)
