"""What stands on the wire, and what is said when the wire breaks."""

import asyncio
import socket

import pytest
from headrace.outbound.call import OutboundCall
from headrace.outbound.client import OutboundClient

from tests.journal_server import Exchange, JournalServer, answering, writing
from tests.outbound_calls import failing, succeeding


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


async def test_proxies_of_the_environment_are_not_asked(
    client: OutboundClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with JournalServer(answering()) as proxy, JournalServer(answering()) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        await succeeding(client, OutboundCall("GET", server.url))
    assert (len(server.requests), len(proxy.requests)) == (1, 0)


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


async def test_so_it_does_when_its_body_takes_too_long(client: OutboundClient) -> None:
    """What is not there is not asked for again, and who asks to be left alone is."""

    async def drip(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 429 Slow\r\nRetry-After: 30\r\nContent-Length: 10\r\n\r\nabc")
        await exchange.forever()

    async with JournalServer(drip) as server:
        failure = await failing(client, OutboundCall("GET", server.url, timeout=0.3))
    assert (failure.code, failure.status, failure.notes) == ("HTTP_429", 429, ("TIMEOUT",))
    assert failure.retry_after == 30
    assert failure.response == {"status": 429, "headers": {}, "body": None}


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("2.0", 2),
        ("0.65", 0.65),
        ("000000000120", 120),
        ("9" * 400, 86_400),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("-1", None),
        ("1e3", None),
        ("soon", None),
        ("", None),
    ],
)
async def test_what_the_target_asks_to_be_left_alone_for(
    client: OutboundClient, asked: str, seconds: float | None
) -> None:
    head = {"Retry-After": asked, "Date": "Sun, 06 Nov 1994 08:49:37 GMT"}
    async with JournalServer(answering(429, b"", head)) as server:
        failure = await failing(client, OutboundCall("GET", server.url))
    assert failure.retry_after == seconds


async def test_a_long_header_is_taken(client: OutboundClient) -> None:
    async with JournalServer(answering(200, b"", {"X-Long": "x" * 20_000})) as server:
        result = await succeeding(client, OutboundCall("GET", server.url))
    assert result.headers["x-long"] == "x" * 20_000


async def test_informational_answers_are_passed_over(client: OutboundClient) -> None:
    data = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with JournalServer(writing(data)) as server:
        assert (await succeeding(client, OutboundCall("GET", server.url))).body == "ok"


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
