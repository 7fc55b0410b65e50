"""P9, for answers: nothing that a target sends stops a runner or reaches a database that can not hold it.

Bombs, and what else is hostile byte by byte, are in the corpus (`test_corpus_responses`).
"""

import gzip
import zlib

import brotli
import orjson
import pytest
from headrace.json_types import Json
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools
from headrace.outbound.response import INLINE_LIMIT

from tests.journal_server import Exchange, JournalServer, answering, writing

TENANT = "0190a0a0-0000-7000-8000-000000000001"
JSON = "application/json"


async def get(server: JournalServer, limit: int = INLINE_LIMIT) -> CallResult | CallFailure:
    pools = OutboundPools(EgressPolicy((Opening.parse("127.0.0.0/8"),)))
    try:
        call = OutboundCall("GET", server.url, timeout=10, response_limit=limit)
        return await OutboundClient(pools).send(call, tenant_id=TENANT)
    finally:
        await pools.aclose()


async def body_of(data: bytes, content_type: str, **headers: str) -> tuple[Json, tuple[str, ...]]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with JournalServer(answering(200, data, {"Content-Type": content_type, **given})) as server:
        outcome = await get(server)
    assert isinstance(outcome, CallResult), outcome
    return outcome.body, outcome.notes


async def refused(server: JournalServer) -> str:
    async with server:
        outcome = await get(server)
    assert isinstance(outcome, CallFailure), outcome
    assert (outcome.sent, outcome.status) == (True, 200)
    return outcome.code


@pytest.mark.parametrize("size", [INLINE_LIMIT + 1, 10_000_000, 50_000_000])
@pytest.mark.parametrize("how", ["declared", "chunked", "until the end"])
async def test_a_large_answer_is_a_typed_failure_and_is_not_read(size: int, how: str) -> None:
    unread = 0

    async def script(exchange: Exchange) -> None:
        nonlocal unread
        head = {
            "declared": f"Content-Length: {size}\r\n",
            "chunked": "Transfer-Encoding: chunked\r\n",
            "until the end": "Connection: close\r\n",
        }[how]
        await exchange.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode())
        left = size
        while left > 0:
            piece = min(left, 65_536)
            data = b"x" * piece
            await exchange.write(b"%x\r\n%s\r\n" % (piece, data) if how == "chunked" else data)
            left -= piece
            unread = left
        await exchange.write(b"0\r\n\r\n" if how == "chunked" else b"")
        exchange.close()

    assert await refused(JournalServer(script)) == "RESPONSE_TOO_LARGE"
    if size > 20_000_000:  # more than the kernel takes over
        assert unread > 0  # the connection was dropped long before the end


async def test_of_several_types_the_last_one_counts() -> None:
    assert (await body_of(b'{"a": 1}', "image/png", **{"content-type": JSON}))[0] == {"a": 1}
    assert (await body_of(b"a", JSON, **{"content-type": "text/plain"}))[0] == "a"


async def test_an_answer_at_the_limit_is_taken() -> None:
    body, _ = await body_of(b"x" * INLINE_LIMIT, "text/plain")
    assert body == "x" * INLINE_LIMIT


@pytest.mark.parametrize(
    ("data", "coding"),
    [
        (b'{"a": 1}', "gzip"),
        (b'{"a": 1}', "deflate"),
        (b'{"a": 1}', "br"),
        (gzip.compress(b'{"a": 1}'), "br"),
        (gzip.compress(b'{"a": 1}' * 100)[:-6], "gzip"),
        (b'{"a": 1}', "zstd"),
        (b'{"a": 1}', "gzip, gzip, gzip, gzip"),
    ],
)
async def test_a_coding_that_is_not_what_the_header_names(data: bytes, coding: str) -> None:
    server = JournalServer(answering(200, data, {"Content-Encoding": coding, "Content-Type": JSON}))
    assert await refused(server) == "BAD_RESPONSE"


async def test_too_many_header_bytes() -> None:
    fields = {f"X-{number}": "x" * 1000 for number in range(100)}
    assert await refused(JournalServer(answering(200, b"", fields))) == "RESPONSE_TOO_LARGE"


@pytest.mark.parametrize(
    ("data", "content_type", "body", "notes"),
    [
        (b'{"a": [1]}', "application/json; charset=utf-8", {"a": [1]}, ()),
        (b'{"a": 1}', "application/problem+json", {"a": 1}, ()),
        (b'{"a": 1}', "APPLICATION/JSON", {"a": 1}, ()),
        (b"<html>", JSON, "<html>", ("NOT_JSON",)),
        (b'{"a": 1', JSON, '{"a": 1', ("NOT_JSON",)),
        (b"\xff\xfe\xfa", JSON, "\ufffd\ufffd\ufffd", ("NOT_JSON", "TEXT_REPAIRED")),
        (b"[" * 5000 + b"]" * 5000, JSON, "[" * 5000 + "]" * 5000, ("JSON_TOO_DEEP",)),
        (b'{"a": "\\u0000\\ud800", "b": NaN}', JSON, {"a": "\ufffd\ufffd", "b": None}, ()),
        (b"123456789012345678901234567890", JSON, "123456789012345678901234567890", ()),
        (b'{"a": 1}', "text/plain", '{"a": 1}', ()),
        ("é".encode(), "text/plain", "é", ()),
        ("é".encode("latin-1"), "text/plain; charset=ISO-8859-1", "é", ()),
        ("é".encode("utf-16"), 'text/plain; charset="UTF-16"', "é", ()),
        ("é".encode("utf-16"), "text/plain", "é", ()),
        ("\ufeffé".encode("utf-16-be"), "text/plain", "é", ()),
        ("é".encode("latin-1"), "text/plain", "\ufffd", ("TEXT_REPAIRED",)),
        (b"a\0b", "text/html", "a\ufffdb", ("TEXT_REPAIRED",)),
        ("é".encode(), "text/plain; charset=nonsense", "é", ("UNKNOWN_CHARSET",)),
        (b"abc-", "text/plain; charset=punycode", "abc-", ("UNKNOWN_CHARSET",)),
        (b"6162", "text/plain; charset=hex", "6162", ("UNKNOWN_CHARSET",)),
        (b"x", "text/plain; charset=unicode_escape", "x", ("UNKNOWN_CHARSET",)),
        (b"x", "text/plain; charset=\xe9\x00", "x", ("UNKNOWN_CHARSET",)),
        (b"<a/>", "application/xml", "<a/>", ()),
        (b"\x89PNG", "image/png", {"contentType": "image/png", "base64": "iVBORw=="}, ()),
        (b"\x00\xff", "", {"contentType": "application/octet-stream", "base64": "AP8="}, ()),
        (b"plain", "", "plain", ()),
        (b' [1, "a"]', "", [1, "a"], ()),
        (b"{not json", "", "{not json", ()),
        (b"", JSON, None, ()),
        (b"x", ";;;", "x", ()),
    ],
)
async def test_what_a_body_becomes(
    data: bytes, content_type: str, body: Json, notes: tuple[str, ...]
) -> None:
    assert await body_of(data, content_type.replace("\0", "")) == (body, notes)
    assert b"\\u0000" not in orjson.dumps(body)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
async def test_codings_are_undone(coding: str) -> None:
    encoded = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}[coding](b'{"a": 1}')
    assert await body_of(encoded, JSON, Content_Encoding=coding) == ({"a": 1}, ())


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body(status: int) -> None:
    async with JournalServer(
        writing(f"HTTP/1.1 {status} X\r\nContent-Encoding: gzip\r\n\r\n".encode())
    ) as server:
        outcome = await get(server)
    assert outcome.status == status
    body = outcome.body if isinstance(outcome, CallResult) else (outcome.response or {}).get("body")
    assert body is None


async def test_an_unreadable_error_keeps_its_status() -> None:
    async with JournalServer(
        answering(503, b"x", {"Content-Encoding": "gzip", "Retry-After": "7"})
    ) as server:
        outcome = await get(server)
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, outcome.status, outcome.retry_after) == ("HTTP_503", 503, 7.0)
    assert outcome.notes == ("BAD_RESPONSE",)


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("120", None, 120.0),
        ("0", None, 0.0),
        ("99999999999999999999", None, 86_400.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 07:27:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 86_400.0),
        ("Wednesday, 21-Oct-26 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("-5", None, None),
        ("soon", None, None),
        ("٣", None, None),
        ("", None, None),
    ],
)
async def test_retry_after(value: str, date: str | None, seconds: float | None) -> None:
    fields = {"Retry-After": value} if value.isascii() else {}
    if date:
        fields["Date"] = date
    async with JournalServer(answering(429, b"", fields)) as server:
        outcome = await get(server)
    assert isinstance(outcome, CallFailure)
    assert outcome.retry_after == seconds


async def test_headers_are_storable() -> None:
    data = (
        b"HTTP/1.1 200 OK\r\nX-Latin: \xe9\xff\r\nX-Two: a\r\nx-two: b\r\n"
        b"Set-Cookie: a=1, b\r\nSet-Cookie: c=2\r\nContent-Length: 0\r\n\r\n"
    )
    async with JournalServer(writing(data)) as server:
        outcome = await get(server)
    assert isinstance(outcome, CallResult)
    assert outcome.headers == {
        "x-latin": "éÿ",
        "x-two": "a, b",
        "set-cookie": ["a=1, b", "c=2"],
        "content-length": "0",
    }
