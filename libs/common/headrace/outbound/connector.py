"""The one place where a socket to a target is opened, and where the egress policy is asked.

aiohttp resolves names, then opens each candidate address through a socket factory; literal addresses skip
the resolver but not the factory. So the factory is the guard: it sees the very address that the kernel will
be asked to connect to.
"""

import asyncio
import socket
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from headrace.outbound.answering import AnswerProtocol
from headrace.outbound.handshake import trusting_the_system
from headrace.outbound.lookups import Resolve
from headrace.outbound.policy import EgressPolicy
from headrace.outbound.target import Target

if TYPE_CHECKING:
    from aiohttp.connector import Connection

MAX_PLACES = 256  # kept at once
MAX_ADDRESSES = 16  # of one name; aiohttp tries the rest anew after each that fails


@dataclass(slots=True)
class Dial:
    """What became of one request's connection; written while it is made.

    `budget` is the bytes that the answer may have as it is sent; None sets no bound. `sent` is true from the
    moment a connection was handed to the request: from then on bytes may be out.
    """

    host: str = ""
    address: str | None = None
    denied: str | None = None
    opened: bool = False
    sent: bool = False
    budget: int | None = None


CURRENT_DIAL: ContextVar[Dial] = ContextVar("headrace_outbound_dial")


class EgressRefused(OSError):
    """Raised inside the socket factory; never leaves this package."""


class GuardedConnector(aiohttp.TCPConnector):
    """aiohttp's connector with the egress policy at its socket factory; `policy` None guards nothing.

    `keepalive` is seconds; a little below what common servers keep (5), so that a request seldom meets a
    connection that is being closed.
    """

    def __init__(
        self,
        policy: EgressPolicy | None,
        resolve: Resolve,
        *,
        tls: ssl.SSLContext | None,
        connections: int,
        keepalive: float,
    ) -> None:
        super().__init__(
            resolver=_Resolver(resolve),
            ttl_dns_cache=10,
            ssl=tls or trusting_the_system(),
            limit=connections,
            keepalive_timeout=keepalive,
            socket_factory=partial(_open_socket, policy),
        )
        self._factory = partial(AnswerProtocol, loop=self._loop)  # type: ignore[assignment]
        self._places: dict[tuple[str, str, int], aiohttp.ClientRequest] = {}

    async def connected(self, target: Target, limits: aiohttp.ClientTimeout) -> "Connection":
        """A connection to the target with nothing on it, for one request. Raises what aiohttp raises."""
        dial, place = CURRENT_DIAL.get(), self._place(target)
        while True:
            dial.opened = False
            connection = await self.connect(place, [], limits)
            protocol = connection.protocol
            ours = protocol if isinstance(protocol, AnswerProtocol) else None
            if not dial.opened and (ours is None or ours.has_news()):
                # A pooled connection may have been closed by the target while the loop was busy. Two turns
                # of the loop let that news arrive before the request is written into the void.
                await _turns(connection, 2)
                if connection.protocol is None or not connection.protocol.is_connected():
                    connection.close()
                    continue
            if ours is not None:
                ours.begin(dial.budget)
                dial.address = ours.address or dial.address
            dial.sent = True
            return connection

    def _place(self, target: Target) -> aiohttp.ClientRequest:
        """Where to, as aiohttp wants to be told it: a request, of which it reads the origin alone."""
        place = self._places.get(target.origin)
        if place is None:
            if len(self._places) >= MAX_PLACES:
                self._places.clear()
            host = f"[{target.host}]" if ":" in target.host else target.host
            url = URL(f"{target.scheme}://{host}:{target.port}/", encoded=True)
            place = self._places[target.origin] = aiohttp.ClientRequest("GET", url, loop=self._loop)
        return place


async def _turns(connection: "Connection", count: int) -> None:
    try:
        for _ in range(count):
            await asyncio.sleep(0)
    except BaseException:
        connection.close()
        raise


def _open_socket(policy: EgressPolicy | None, info: "aiohttp.AddrInfoType") -> socket.socket:
    family, kind, protocol, _, address = info
    dial = CURRENT_DIAL.get()
    if policy is not None:
        denied = policy.check(str(address[0]), int(address[1]), dial.host)
        if denied is not None:
            dial.denied = denied.kind
            raise EgressRefused("denied by the egress policy")
    dial.opened = True
    dial.address = str(address[0])
    return socket.socket(family, kind, protocol)


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


class _Resolver(AbstractResolver):
    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            answered = await self._resolve(host, port)
        except UnicodeError:  # the system's own encoding of names
            raise socket.gaierror(socket.EAI_NONAME, "not a name") from None
        addresses = [address for address in answered[:MAX_ADDRESSES] if _is_address(address)]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass
