"""An answer as it came off the wire: its head, and its body still to be read."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from headrace.outbound.connector import Dial
from headrace.outbound.failures import CallCode, TransportFailure
from headrace.outbound.fields import is_token
from headrace.outbound.wire_failures import WIRE_ERRORS, raise_failure

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Reply:
    """`method` is the request's. Names of headers are given in lower case.

    Who has it reads the body to its end, which gives the connection back, or closes it. `writing` is the rest of the
    request's body on its way, if any.
    """

    __slots__ = ("_connection", "_content", "_named", "_writing", "method", "raw_headers", "status")

    def __init__(
        self,
        method: str,
        head: RawResponseMessage,
        content: StreamReader,
        connection: Connection,
        writing: asyncio.Task[None] | None,
    ) -> None:
        self.method, self.status = method, head.code
        self.raw_headers: tuple[tuple[bytes, bytes], ...] = head.raw_headers
        self._named = head.headers
        self._content: StreamReader | None = content
        self._connection: Connection | None = connection
        self._writing = writing
        content.on_eof(self._complete)

    @property
    def redirects(self) -> bool:
        return self.status in _REDIRECTS and bool(self.all("location"))

    def all(self, name: str) -> list[str]:
        """Every value of a header, in their order."""
        if name not in self._named:
            return []
        wanted = name.encode()
        return [field_text(value) for field, value in self.raw_headers if field.lower() == wanted]

    def header(self, name: str) -> str:
        """The values of a header joined with a comma; empty without one."""
        return ", ".join(self.all(name))

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, still encoded. Raises `TransportFailure`."""
        if (whole := self.whole()) is not None:
            yield whole
            return
        try:
            async for piece in self._open().iter_any():
                yield piece
        except WIRE_ERRORS as error:
            raise_failure(error, Dial(sent=True))

    def whole(self) -> bytes | None:
        """The body, still encoded, if its end is there already: a small one comes with its head. Raises
        `TransportFailure`."""
        try:
            content = self._open()
            return content.read_nowait() if content.is_eof() else None
        except WIRE_ERRORS as error:
            raise_failure(error, Dial(sent=True))

    def close(self) -> None:
        """Reading to the end has given the connection back already; anything less drops it."""
        connection, self._connection = self._connection, None
        if self._writing is not None:
            self._writing.cancel()
        if connection is not None:
            connection.close()
            # It knows us, for the end that does not come any more, and would stay with what it has of the body.
            self._content = None

    def _open(self) -> StreamReader:
        if self._content is None:
            raise TransportFailure(
                CallCode.CONNECTION_LOST, "the answer was closed before its end", sent=True
            )
        return self._content

    def _complete(self, _: object = None) -> None:
        """The body's end is there. The connection serves others once the request is out, too."""
        if self._writing is not None and not self._writing.done():
            self._writing.add_done_callback(self._complete)
        elif self._connection is not None:
            connection, self._connection = self._connection, None
            connection.release()


def problem_of(head: RawResponseMessage) -> str:
    """Why an answer is not taken though aiohttp reads it: readers may differ on where it ends. Empty: it is taken.

    RFC 9112, 2.3 (versions), 5.1 (no space before the colon), 6.1 (no other coding was offered). Lengths that are no
    plain number, differ, or stand beside a coding, it does not read.
    """
    if head.code == 101:
        return "the target switched protocols"
    if head.version not in (aiohttp.HttpVersion10, aiohttp.HttpVersion11) or head.code < 200:
        return "the target's answer is not HTTP/1.1"
    if not all(is_token(name.decode("latin-1")) for name, _ in head.raw_headers):
        return "the target's answer has a header without a proper name"
    codings = head.headers.getall("Transfer-Encoding", ())
    if codings and [coding.strip().lower() for coding in codings] != ["chunked"]:
        return "the target's answer has a transfer coding that is not known"
    return ""


def field_text(value: bytes) -> str:
    """A header's value: UTF-8 where it can be, or else ISO 8859-1 (RFC 9110, 5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
