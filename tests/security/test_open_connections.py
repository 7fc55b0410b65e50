"""Who has the connections of the public face when more come than there is room for."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fixtures_edge import Edge, Keyed, listening
from headrace.tls_files import TlsFiles
from headrace_control.app import create_app
from headrace_control.servers import http_servers
from headrace_control.web import open_connections
from headrace_control.web.open_connections import (
    OpenConnections,
    most_connections,
    most_of_runners,
    sockets_within,
)
from loopback import loopback
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.security.http_answers import HARDENED, refused
from tests.security.public_face import NAME, ask, init

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST = 4
BODY = b"POST /webhooks/x HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf"
REST = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf"
WHOLE = b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest_asyncio.fixture(loop_scope="module")
async def crowded(edge: Edge) -> AsyncIterator[int]:
    """The port of a public face with room for `MOST`."""
    app = create_app(edge.composed.services, edge.composed.authenticator, {})
    async with listening(app, connections=OpenConnections(MOST)) as port:
        yield port


def client(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30)


async def ended(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):
            while await reader.read(65_536):
                pass


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nx", BODY, REST, WHOLE], ids=range(5))
async def test_who_has_waited_the_longest_makes_room(
    crowded: int, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("headrace_control.web.server.HEAD_SECONDS", 3_600)
    opened = []
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MOST):
            reader, writer = await asyncio.open_connection("127.0.0.1", crowded)
            stack.callback(writer.close)
            writer.write(sent)
            if sent == WHOLE:
                await reader.readuntil(b"\r\n\r\n")
            opened.append(reader)
        async with client(crowded) as http:
            assert (await http.get("/health")).status_code == 200
            await ended(opened[0])
            assert (await http.get("/health")).status_code == 200
        assert not opened[-1].at_eof()


async def test_many_of_one_address_make_room_for_each_other(crowded: int) -> None:
    async with contextlib.AsyncExitStack() as stack:

        async def opened(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", crowded, local_addr=(address, 0))
            stack.callback(writer.close)
            return reader, writer

        reader, writer = await opened("127.0.0.2")
        many = [await opened("127.0.0.1") for _ in range(3 * MOST)]
        for one, _ in many[: -MOST + 1]:
            await ended(one)
        writer.write(WHOLE)
        assert await reader.readline() == b"HTTP/1.1 404 Not Found\r\n"


async def test_a_websocket_without_a_key_makes_room_and_one_with_a_key_stays(
    edge: Edge, crowded: int
) -> None:
    def socket() -> Any:
        address = f"ws://127.0.0.1:{crowded}/graphql"
        return connect(address, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None)

    async with socket() as known, socket() as unknown:
        await init(known, edge.admin)
        for _ in range(MOST):
            async with client(crowded) as http:
                assert (await http.get("/health")).status_code == 200
                _, writer = await asyncio.open_connection("127.0.0.1", crowded)
                writer.write(b"GET")
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(30):
                await unknown.recv()
        assert (await ask(known, NAME))["type"] == "next"


async def test_strangers_in_the_runners_network_make_room_for_runners(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_control.web.server.HEAD_SECONDS", 3_600)
    settings: Any = SimpleNamespace(
        listen_host="127.0.0.1",
        listen_port=0,
        internal_host="127.0.0.1",
        internal_port=0,
        operator_port=None,
        drain_seconds=1,
        internal_tls_files=TlsFiles(None, None, None),
    )
    servers = http_servers(
        settings, edge.public_app, edge.internal_app, None, OpenConnections(), OpenConnections(MOST)
    )
    with loopback() as listener:
        serving = asyncio.create_task(servers.all[1]._serve(sockets=[listener]))
        port = listener.getsockname()[1]
        async with contextlib.AsyncExitStack() as stack:
            readers = []
            for _ in range(MOST):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                stack.callback(writer.close)
                writer.write(b"GET / HTTP/1.1\r\nx")
                readers.append(reader)
            async with client(port) as http:
                assert (await http.post("/internal/claims", json={})).status_code == 401
            await ended(readers[0])
        servers.all[1].should_exit = True
        await serving


async def test_what_is_under_way_stays_and_others_are_told(
    edge: Edge, crowded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, begun = asyncio.Event(), asyncio.Semaphore(0)
    current = type(edge.composed.services.tenants).current

    async def waiting(*given: Any) -> Any:
        begun.release()
        await going.wait()
        return await current(*given)

    monkeypatch.setattr(type(edge.composed.services.tenants), "current", waiting)
    async with contextlib.AsyncExitStack() as stack:
        https = [await stack.enter_async_context(client(crowded)) for _ in range(MOST)]
        asked = [asyncio.create_task(Keyed(http, edge.admin.key).post(NAME)) for http in https]
        async with asyncio.timeout(30):
            for _ in asked:
                await begun.acquire()
        async with client(crowded) as late:
            answer = await late.post("/graphql")
            assert refused(answer) == (503, "UNAVAILABLE")
            assert answer.headers["retry-after"]
            assert {name: answer.headers.get(name) for name in HARDENED} == HARDENED
            upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
            assert refused(await late.get("/graphql", headers=upgrade)) == (503, "UNAVAILABLE")
            # Whoever restarts what does not answer there would lose all that is under way.
            assert (await late.get("/health")).status_code == 200
            going.set()
            assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * MOST
            assert (await late.get("/nowhere")).status_code == 404


async def test_who_leaves_before_the_answer_makes_no_room(
    edge: Edge, crowded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, begun = asyncio.Event(), asyncio.Semaphore(0)
    caller = type(edge.composed.authenticator).caller

    async def waiting(*given: Any) -> Any:
        begun.release()
        await going.wait()
        return await caller(*given)

    monkeypatch.setattr(type(edge.composed.authenticator), "caller", waiting)
    for _ in range(MOST):
        _, writer = await asyncio.open_connection("127.0.0.1", crowded)
        writer.write(b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\r\n")
        async with asyncio.timeout(30):
            await begun.acquire()
        writer.close()
    async with client(crowded) as late:
        assert refused(await late.get("/nowhere")) == (503, "UNAVAILABLE")
        assert (await late.get("/health")).status_code == 200
        going.set()
        async with asyncio.timeout(30):
            while (await late.get("/nowhere")).status_code == 503:
                pass


@pytest.mark.parametrize(
    ("files", "sockets", "operations", "most", "of_them_sockets"),
    [
        (resource.RLIM_INFINITY, 2_000, 2_000, 4_000, 2_000),
        (resource.RLIM_INFINITY, 2_000, 8_000, 10_000, 2_000),
        (65_536, 20_000, 100, 22_000, 20_000),
        (1_024, 2_000, 8_000, 512, 256),
        (4_096, 10, 2_000, 2_010, 10),
    ],
)
async def test_half_of_the_files_are_left_for_everything_else(
    monkeypatch: pytest.MonkeyPatch,
    files: int,
    sockets: int,
    operations: int,
    most: int,
    of_them_sockets: int,
) -> None:
    monkeypatch.setattr(open_connections.resource, "getrlimit", lambda _: (files, files))
    assert most_connections(sockets, operations) == most
    assert sockets_within(most, sockets) == of_them_sockets
    assert most_of_runners() == (10_000 if files == resource.RLIM_INFINITY else min(files // 4, 10_000))
