"""An answer as it came off the wire: its head, and its body still to be read."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import ClientResponse

from headrace.outbound.connector import Dial
from headrace.outbound.wire_failures import WIRE_ERRORS, raise_failure

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Reply:
    """`method` is the request's. Names of headers are given in lower case."""

    method: str
    answer: ClientResponse

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return self.answer.raw_headers

    @property
    def redirects(self) -> bool:
        return self.answer.status in _REDIRECTS and bool(self.all("location"))

    def all(self, name: str) -> list[str]:
        """Every value of a header, in their order."""
        wanted = name.encode()
        return [_text(value) for field, value in self.answer.raw_headers if field.lower() == wanted]

    def header(self, name: str) -> str:
        """The values of a header joined with a comma; empty without one."""
        return ", ".join(self.all(name))

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, still encoded. Raises `TransportFailure`."""
        content = self.answer.content
        try:
            if content.is_eof():  # a small body comes with its head
                yield content.read_nowait()
                return
            async for piece in content.iter_any():
                yield piece
        except WIRE_ERRORS as error:
            raise_failure(error, Dial(sent=True))

    def close(self) -> None:
        """Reading to the end has given the connection back already; anything less drops it."""
        self.answer.close()


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
