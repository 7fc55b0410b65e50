"""The API that measured runs call: trivial, quick, and it counts every call. A process of its own.

`POST /{delay}/{bytes}/{name}` answers `{"n": n + 1}` after `delay` milliseconds, with a `text` that makes the body
about `bytes` long. `GET /journal` says what was called. It speaks just enough HTTP/1.1 for that: requests with a
Content-Length, kept alive, one after another on a connection. A framework would cost more than what is measured.
"""

import asyncio
import sys
from collections import Counter
from typing import cast

import orjson
import uvloop

JOURNAL = "/journal"


class Journal:
    """Calls by name, and how many idempotency keys came once or again."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0
        self._keys: set[int] = set()
        self._repeated = 0

    def enter(self, name: str, key: bytes) -> None:
        self.calls[name] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if key:
            # Millions of keys have to fit: their hashes do, and two alike among them are not to be expected.
            seen = hash(key)
            self._repeated += seen in self._keys
            self._keys.add(seen)

    def text(self) -> bytes:
        return orjson.dumps(
            {
                "calls": dict(self.calls),
                "keys": len(self._keys),
                "repeated": self._repeated,
                "mostInFlight": self.most_in_flight,
            }
        )


class Echo(asyncio.Protocol):
    """One connection."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A stream server makes no other; uvloop's are not declared to be.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end])
            length = int(_header(head, b"content-length") or 0)
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].decode("ascii")
        if path == JOURNAL:
            self._write(self._journal.text())
            return
        _, delay, size, name = path.split("/", 3)
        self._journal.enter(name, _header(head, b"idempotency-key"))
        answer: dict[str, object] = {"n": (orjson.loads(body) if body else {}).get("n", 0) + 1}
        if int(size):
            answer["text"] = "x" * int(size)
        text = orjson.dumps(answer)
        if int(delay):
            asyncio.get_running_loop().call_later(int(delay) / 1000, self._end, text)
        else:
            self._end(text)

    def _end(self, text: bytes) -> None:
        self._journal.in_flight -= 1
        self._write(text)

    def _write(self, text: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(text), text)
            )


def _header(head: bytes, name: bytes) -> bytes:
    """The value of a header, empty when there is none."""
    at = head.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    return head[at + len(name) + 3 :].split(b"\r\n", 1)[0].strip()


async def main() -> None:
    journal = Journal()
    server = await asyncio.get_running_loop().create_server(
        lambda: Echo(journal), "127.0.0.1", 0, backlog=4096
    )
    # As our services write, so that it is read like them.
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(orjson.dumps({"event": "listening", "level": "info", "port": port}).decode() + "\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
