"""What every HTTP face answers with, its headers and the shape of its errors, and what is no request to any."""

import asyncio
import contextlib
import re

import httpx

HARDENED = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}

GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    b"\x00" * 1_000,
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    b"POST /graphql HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"POST /graphql HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"\r\n" * 40_000,
    "GET /canary-é HTTP/1.1\r\n\r\n".encode(),
]


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an error, which must have the shape that all have."""
    assert answer.headers["content-type"].startswith("application/json")
    (error,) = answer.json()["errors"]
    assert re.fullmatch("[0-9a-f]{32}", error["extensions"]["correlationId"])
    assert error["message"]
    return answer.status_code, error["extensions"]["code"]


async def raw(port: int, sent: bytes, *, end: bool = True) -> bytes:
    """All that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    came = b""
    # A server that has heard enough closes; what is still under way is answered by a reset then.
    with contextlib.suppress(OSError):
        writer.write(sent)
        if end:
            writer.write_eof()
        while more := await reader.read(65_536):
            came += more
    writer.close()
    return came
