"""Waits on the loopback for the browser to come back (RFC 8252, 7.3)."""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qsl, urlsplit

PATH = "/done"
_LONGEST_HEAD = 16 * 1024
_HEAD_SECONDS = 10.0
_PAGE = (
    "<!doctype html><meta charset=utf-8><title>Headrace</title>"
    "<p>Headrace: you can close this window and go back to the terminal."
)


class Listener:
    """`redirect` is where the browser is to be sent; `answer` what it brings, once it brings our `state`."""

    def __init__(self, state: str) -> None:
        self._state = state
        self.redirect = ""
        self.answer: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request. Whatever is not the browser that we wait for changes nothing."""
        with contextlib.suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            status, page = self._read(head.split(b"\r\n", 1)[0].decode("ascii"))
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(page)}\r\n"
                "Content-Security-Policy: default-src 'none'\r\nReferrer-Policy: no-referrer\r\n"
                f"Cache-Control: no-store\r\nConnection: close\r\n\r\n{page}".encode()
            )
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()

    def _read(self, line: str) -> tuple[str, str]:
        method, _, rest = line.partition(" ")
        target = urlsplit(rest.partition(" ")[0])
        given = dict(parse_qsl(target.query))
        if method != "GET" or target.path != PATH:
            return "404 Not Found", ""
        if not hmac.compare_digest(given.get("state", "").encode(), self._state.encode()):
            return "400 Bad Request", ""
        if not self.answer.done():
            self.answer.set_result(given)
        return "200 OK", _PAGE


@contextlib.asynccontextmanager
async def listening(state: str) -> AsyncIterator[Listener]:
    """A listener on a free port of 127.0.0.1."""
    listener = Listener(state)
    server = await asyncio.start_server(listener.handle, "127.0.0.1", 0, limit=_LONGEST_HEAD)
    listener.redirect = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{PATH}"
    try:
        yield listener
    finally:
        server.close()
