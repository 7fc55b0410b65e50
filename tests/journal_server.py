"""A target for calls: a raw server on loopback that answers by script and journals the bytes it was sent."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

Script: TypeAlias = Callable[["Exchange"], Awaitable[None]]


@dataclass(frozen=True)
class Seen:
    """One request as it stood on the wire. `connection` counts the server's connections from 1."""

    head: bytes
    body: bytes
    connection: int

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
        }


@dataclass
class Exchange:
    """One request and the means to answer it."""

    request: Seen
    writer: asyncio.StreamWriter
    server: "JournalServer"
    closed: bool = False

    async def respond(
        self, status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        fields = {"Content-Length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await self.write(f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode("latin-1") + body)

    async def json(self, text: str, status: int = 200) -> None:
        await self.respond(status, text.encode(), {"Content-Type": "application/json"})

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        """Ends the connection with a FIN."""
        self.closed = True
        self.writer.close()

    def reset(self) -> None:
        """Ends the connection with an RST."""
        self.closed = True
        self.writer.transport.abort()

    async def forever(self) -> None:
        """Waits until the server is stopped."""
        await self.server.stopping.wait()


@dataclass
class JournalServer:
    """Runs `script` for each request; use it with `async with`. `port` is known once it runs."""

    script: Script
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [seen.path for seen in self.requests]

    async def until(self, count: int) -> None:
        """Returns when `count` requests have arrived in all."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, self.host, self.port, ssl=self.tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        while self._writers:
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        try:
            while not self.stopping.is_set():
                seen = await _read(reader, number)
                if seen is None:
                    return
                self.requests.append(seen)
                async with self.arrived:
                    self.arrived.notify_all()
                exchange = Exchange(seen, writer, self)
                await self.script(exchange)
                if exchange.closed:
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.transport.abort() if self.stopping.is_set() else writer.close()
            self._writers.discard(writer)


async def _read(reader: asyncio.StreamReader, connection: int) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    seen = Seen(head[:-2], b"", connection)
    body = await reader.readexactly(int(seen.headers.get("content-length", "0")))
    return Seen(head[:-2], body, connection)


def answering(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Script:
    """A script that always gives the same answer."""

    async def script(exchange: Exchange) -> None:
        await exchange.respond(status, body, headers)

    return script


def writing(data: bytes) -> Script:
    """A script that writes `data` as it is, and closes."""

    async def script(exchange: Exchange) -> None:
        await exchange.write(data)
        exchange.close()

    return script
