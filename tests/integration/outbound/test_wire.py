"""What stands on the wire, and what is said when the wire breaks."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.pools import OutboundPools

from tests.journal_server import Exchange, JournalServer, Script, answering, writing

TENANT = "0190a0a0-0000-7000-8000-000000000001"


async def failing(client: OutboundClient, call: OutboundCall) -> CallFailure:
    outcome = await client.send(call, tenant_id=TENANT)
    assert isinstance(outcome, CallFailure), outcome
    return outcome


async def succeeding(client: OutboundClient, call: OutboundCall) -> CallResult:
    outcome = await client.send(call, tenant_id=TENANT)
    assert isinstance(outcome, CallResult), outcome
    return outcome


async def test_a_call_is_one_request_written_as_it_was_given(client: OutboundClient) -> None:
    async with JournalServer(
        answering(201, b'{"a": [1, null]}', {"Content-Type": "application/json"})
    ) as server:
        call = OutboundCall(
            "POST",
            f"{server.url}/a/%2e%2e/b%2Fc/../d?x=%20y&x=&z=a+b",
            (("X-Two", "b"), ("Content-Type", "text/plain"), ("x-two", "c")),
            b"body",
        )
        result = await succeeding(client, call)
    [seen] = server.requests
    assert seen.head.decode().split("\r\n") == [
        "POST /a/%2e%2e/b%2Fc/../d?x=%20y&x=&z=a+b HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Accept: */*",
        "Accept-Encoding: gzip, deflate, br",
        "User-Agent: headrace",
        "X-Two: b",
        "Content-Type: text/plain",
        "x-two: c",
        "Content-Length: 4",
        "",
    ]
    assert seen.body == b"body"
    assert result.output == {
        "status": 201,
        "headers": {"content-type": "application/json", "content-length": "16"},
        "body": {"a": [1, None]},
    }
    assert result.dialled == "127.0.0.1"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
async def test_every_method_goes_through(client: OutboundClient, method: str) -> None:
    async with JournalServer(answering(200, b"" if method == "HEAD" else b"ok")) as server:
        result = await succeeding(client, OutboundCall(method, f"{server.url}/x"))
    assert [seen.method for seen in server.requests] == [method]
    assert result.body == (None if method == "HEAD" else "ok")


async def test_head_takes_no_body_for_what_its_length_says(client: OutboundClient) -> None:
    async with JournalServer(
        answering(200, b"", {"Content-Length": "99999999", "Content-Encoding": "gzip"})
    ) as s:
        result = await succeeding(client, OutboundCall("HEAD", s.url))
    assert result.body is None


@pytest.mark.parametrize("size", [0, 1, 1 << 18, 3_000_000])
async def test_bodies_of_every_size_arrive_whole(client: OutboundClient, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with JournalServer(answering()) as server:
        await succeeding(client, OutboundCall("PUT", server.url, body=body))
    assert server.requests[0].body == body


@pytest.mark.parametrize("closes", [True, False])
async def test_an_answer_before_the_end_of_a_large_body_counts(client: OutboundClient, closes: bool) -> None:
    """The target refuses by the head alone. The connection is not used again."""
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        if closes:
            writer.write_eof()
        while await reader.read(1 << 16):
            pass
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for path in ("/one", "/two"):
            call = OutboundCall("PUT", url + path, body=bytes(40_000_000), timeout=20.0)
            failure = await failing(client, call)
            assert (failure.code, failure.sent, failure.status) == ("HTTP_413", True, 413)
    assert heads == [b"PUT /one HTTP/1.1", b"PUT /two HTTP/1.1"]


async def test_a_connection_that_ends_while_a_large_body_is_written_is_lost(client: OutboundClient) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    server = await asyncio.start_server(leave, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        failure = await failing(client, OutboundCall("PUT", url, body=bytes(40_000_000)))
    assert (failure.code, failure.sent, failure.status) == ("CONNECTION_LOST", True, None)


async def test_a_large_body_is_not_written_on_once_the_call_is_cut_off(client: OutboundClient) -> None:
    cut, got = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await cut.wait()
        size = 0
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1 << 20):
                size += len(piece)
        writer.close()
        got.set_result(size)

    server = await asyncio.start_server(stall, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        failure = await failing(client, OutboundCall("PUT", url, body=bytes(40_000_000), timeout=0.3))
        cut.set()
        assert await asyncio.wait_for(got, 20) < 40_000_000
    assert (failure.code, failure.sent) == ("TIMEOUT", True)


async def test_connections_are_kept_and_cookies_are_not(client: OutboundClient) -> None:
    async with JournalServer(answering(200, b"", {"Set-Cookie": "a=b"})) as server:
        for _ in range(3):
            await succeeding(client, OutboundCall("GET", server.url))
    assert server.connections == 1
    assert all("cookie" not in seen.headers for seen in server.requests)


async def test_proxies_of_the_environment_are_not_asked(
    client: OutboundClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with JournalServer(answering()) as proxy, JournalServer(answering()) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        await succeeding(client, OutboundCall("GET", server.url))
    assert (len(server.requests), len(proxy.requests)) == (1, 0)


def ends(how: str) -> Script:
    """Answers the first request of a connection, and ends the connection at the second."""

    async def script(exchange: Exchange) -> None:
        before = [seen for seen in exchange.server.requests if seen.connection == exchange.request.connection]
        if len(before) == 1:
            await exchange.respond()
        else:
            exchange.reset() if how == "reset" else exchange.close()

    return script


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_dropped_kept_connection_is_not_tried_again(
    client: OutboundClient, method: str, how: str
) -> None:
    async with JournalServer(ends(how)) as server:
        await succeeding(client, OutboundCall("GET", server.url))
        failure = await failing(client, OutboundCall(method, f"{server.url}/once", body=b"x"))
    assert server.paths == ["/", "/once"]
    assert (failure.code, failure.sent, failure.status) == ("CONNECTION_LOST", True, None)


async def test_a_connection_closed_while_idle_is_replaced(client: OutboundClient) -> None:
    """The target closed it between two calls; the second must not be written into it."""
    ended = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.respond()
        exchange.close()
        await exchange.writer.wait_closed()
        ended.set()

    async with JournalServer(script) as server:
        await succeeding(client, OutboundCall("POST", server.url, body=b"1"))
        await ended.wait()
        await succeeding(client, OutboundCall("POST", server.url, body=b"2"))
    assert [(seen.body, seen.connection) for seen in server.requests] == [(b"1", 1), (b"2", 2)]


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_dropped_after_sending(client: OutboundClient, how: str) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.reset() if how == "reset" else exchange.close()

    async with JournalServer(script) as server:
        failure = await failing(client, OutboundCall("POST", server.url, body=b"pay"))
    assert [seen.body for seen in server.requests] == [b"pay"]
    assert (failure.code, failure.sent) == ("CONNECTION_LOST", True)


async def test_refused_connection_is_not_sent(client: OutboundClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        failure = await failing(client, OutboundCall("POST", f"http://127.0.0.1:{unused.getsockname()[1]}/"))
    assert (failure.code, failure.sent, failure.dialled) == ("CONNECT_FAILED", False, "127.0.0.1")


async def test_slow_headers_end_in_time(client: OutboundClient) -> None:
    async with JournalServer(Exchange.forever) as server:
        failure = await failing(client, OutboundCall("POST", server.url, timeout=1))
    assert (failure.code, failure.sent, failure.status) == ("TIMEOUT", True, None)


async def test_a_body_that_drips_ends_in_time(client: OutboundClient) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not exchange.server.stopping.is_set():
            await exchange.write(b"x")
            await asyncio.sleep(0.02)

    async with JournalServer(script) as server:
        failure = await failing(client, OutboundCall("GET", server.url, timeout=1))
    assert (failure.code, failure.sent, failure.status) == ("TIMEOUT", True, 200)


async def test_time_spent_before_sending_is_told_apart(client: OutboundClient) -> None:
    """A server that accepts nothing: its queue is full, so that connecting hangs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            failure = await failing(client, OutboundCall("POST", f"http://127.0.0.1:{port}/", timeout=0.3))
        finally:
            for filler in fillers:
                filler.close()
    assert (failure.code, failure.sent) == ("TIMEOUT", False)


@pytest.mark.parametrize(
    "data",
    [
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header line\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\ngarbage\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"\x16\x03\x01\x00\x01",
    ],
)
async def test_an_answer_that_is_not_well_formed_is_a_typed_failure(
    client: OutboundClient, data: bytes
) -> None:
    async with JournalServer(writing(data)) as server:
        failure = await failing(client, OutboundCall("GET", server.url, timeout=5))
        assert failure.code in ("BAD_RESPONSE", "CONNECTION_LOST")
        assert failure.sent
        server.script = answering(200, b"next")
        assert (await succeeding(client, OutboundCall("GET", server.url))).body == "next"


CUT_SHORT = [
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    b"Content-Length: 10\r\n\r\nabc",
    b"Content-Length: 10\r\n\r\n",
]


@pytest.mark.parametrize("rest", CUT_SHORT)
async def test_an_answer_that_is_cut_short_is_a_lost_connection(client: OutboundClient, rest: bytes) -> None:
    """However the connection ends. That its status came says that the call was carried out."""
    async with JournalServer(writing(b"HTTP/1.1 200 OK\r\n" + rest)) as server:
        failure = await failing(client, OutboundCall("POST", server.url))
    assert (failure.code, failure.sent, failure.status) == ("CONNECTION_LOST", True, 200)


@pytest.mark.parametrize("rest", CUT_SHORT)
async def test_a_status_that_is_a_failure_says_more_than_what_was_cut_off(
    client: OutboundClient, rest: bytes
) -> None:
    async with JournalServer(writing(b"HTTP/1.1 404 Not Found\r\n" + rest)) as server:
        failure = await failing(client, OutboundCall("GET", server.url))
    assert (failure.code, failure.status, failure.notes) == ("HTTP_404", 404, ("CONNECTION_LOST",))


async def test_a_long_header_is_taken(client: OutboundClient) -> None:
    async with JournalServer(answering(200, b"", {"X-Long": "x" * 20_000})) as server:
        result = await succeeding(client, OutboundCall("GET", server.url))
    assert result.headers["x-long"] == "x" * 20_000


async def test_informational_answers_are_passed_over(client: OutboundClient) -> None:
    data = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with JournalServer(writing(data)) as server:
        assert (await succeeding(client, OutboundCall("GET", server.url))).body == "ok"


async def test_what_follows_an_answer_unasked_is_not_taken_for_the_next(client: OutboundClient) -> None:
    """Response splitting over a kept connection: the second answer was never asked for."""

    async def script(exchange: Exchange) -> None:
        await exchange.respond(200, b"own", {"Connection": "keep-alive"})
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")

    async with JournalServer(script) as server:
        assert (await succeeding(client, OutboundCall("GET", f"{server.url}/1"))).body == "own"
        outcome = await client.send(OutboundCall("GET", f"{server.url}/2"), tenant_id=TENANT)
    assert isinstance(outcome, CallFailure) or outcome.body == "own"


async def test_two_hundred_slow_calls_at_once(client: OutboundClient, pools: OutboundPools) -> None:
    gate = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await gate.wait()
        await exchange.respond(200, b"ok")

    async with JournalServer(script) as server:
        calls = [
            asyncio.create_task(succeeding(client, OutboundCall("GET", f"{server.url}/{number}")))
            for number in range(250)
        ]
        await server.until(250)  # all of them are in flight: none waits for another
        gate.set()
        results = await asyncio.gather(*calls)
    assert {result.body for result in results} == {"ok"}
    assert len(pools) == 1


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    from tests.certificates import self_signed

    folder = tmp_path_factory.mktemp("tls")
    return lambda name: self_signed(folder, name)


async def test_tls_verifies_the_name_that_was_asked_for(
    certificate: Callable[[str], tuple[Path, Path]],
) -> None:
    from headrace.outbound.policy import EgressPolicy, Opening

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


@pytest.mark.parametrize(
    ("method", "header"),
    [
        ("CONNECT", ("X-A", "1")),
        ("GET /x HTTP/1.1\r\n", ("X-A", "1")),
        ("", ("X-A", "1")),
        ("GET", ("X A", "1")),
        ("GET", ("X-A\r\nX-B", "1")),
        ("GET", ("X-A", "1\r\nX-B: 2")),
        ("GET", ("X-A", "\ud800")),
    ],
)
async def test_what_can_not_be_written_as_http_is_not_sent(
    client: OutboundClient, method: str, header: tuple[str, str]
) -> None:
    async with JournalServer(answering()) as server:
        failure = await failing(client, OutboundCall(method, server.url, (header,)))
    assert (failure.code, failure.sent, server.requests) == ("INVALID_REQUEST", False, [])


async def test_failures_quote_no_data(client: OutboundClient) -> None:
    async with JournalServer(writing(b"HTTP/1.1 200 OK\r\ncanary-one\r\n\r\n")) as server:
        failure = await failing(
            client,
            OutboundCall("GET", f"{server.url}/canary-two", (("X-A", "canary-three"),), b"canary-four"),
        )
    assert "canary" not in repr(failure)
    assert "canary" not in repr(OutboundCall("GET", "http://canary/", (("X", "canary"),), b"canary"))
