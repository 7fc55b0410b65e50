"""httpx's transport port over aiohttp's connections: one request in, one request on the wire.

httpx's own pool scans every connection for every request; aiohttp's does not. What aiohttp's session would do by
itself is not there: re-sending, redirects, cookies, decompression, proxies, default headers.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator

import aiohttp
import httpx

from headrace.outbound.connector import CURRENT_DIAL, Dial, GuardedConnector
from headrace.outbound.failures import CallCode, TransportFailure
from headrace.outbound.lookups import LOOKUPS, Resolve, thread_resolver
from headrace.outbound.policy import EgressPolicy
from headrace.outbound.reply import Reply
from headrace.outbound.target import InvalidTarget, Target, parse_target
from headrace.outbound.wire_failures import WIRE_ERRORS, raise_failure
from headrace.outbound.wire_request import answered

CONNECT_TIMEOUT = 10.0
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})
_CONNECTING = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends requests over pooled connections of its own. Raises `TransportFailure` for whatever goes wrong.

    The whole time is the caller's to limit (`asyncio.timeout`); of httpx's own limits, `connect` is kept for
    each address (`CONNECT_TIMEOUT` seconds without it) and `read` between two pieces of the answer. The
    response body is raw: as it came, still encoded. A closed transport stays closed.
    """

    def __init__(
        self,
        policy: EgressPolicy | None,
        *,
        resolve: Resolve | None = None,
        lookups: asyncio.Semaphore | None = None,
        tls: ssl.SSLContext | None = None,
        connections: int = 0,
        keepalive: float = 4.0,
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._lookups = lookups or asyncio.Semaphore(LOOKUPS)
        self._tls = tls
        self._connections = connections
        self._keepalive = keepalive
        self._connector: GuardedConnector | None = None
        self._closed = False
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs at INFO

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            target = parse_target(str(request.url))
        except InvalidTarget as error:
            raise TransportFailure(CallCode.INVALID_URL, str(error), sent=False) from None
        reply = await self.exchange(
            request.method, target, _fields(request), await request.aread(), Dial(), _limits(request)
        )
        return httpx.Response(
            reply.status,
            headers=list(reply.raw_headers),
            stream=_Body(reply),
            request=request,
        )

    async def exchange(
        self,
        method: str,
        target: Target,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        dial: Dial,
        limits: aiohttp.ClientTimeout = _CONNECTING,
    ) -> Reply:
        """One request, and the head of its answer; whoever asks closes the reply. What httpx's objects around it would
        cost is as much as all the rest, so that calls of workflows go without them."""
        dial.host = target.host
        CURRENT_DIAL.set(dial)
        connector = self._open_connector()
        try:
            return await answered(connector, target, method, headers, body, limits)
        except WIRE_ERRORS as error:
            raise_failure(error, dial)

    async def aclose(self) -> None:
        self._closed = True
        connector, self._connector = self._connector, None
        if connector is not None:
            await connector.close()

    def _open_connector(self) -> GuardedConnector:
        if self._closed:
            raise TransportFailure(CallCode.CONNECT_FAILED, "the transport is closed", sent=False)
        if self._connector is None:
            self._connector = GuardedConnector(
                self._policy,
                self._resolve or thread_resolver(self._lookups),
                tls=self._tls,
                connections=self._connections,
                keepalive=self._keepalive,
            )
        return self._connector


def trusted_transport(*, tls: ssl.SSLContext | None = None) -> AiohttpTransport:
    """Without the egress guard: for addresses that a service's own operator configured, and no others."""
    return AiohttpTransport(None, tls=tls)


def _limits(request: httpx.Request) -> aiohttp.ClientTimeout:
    given = request.extensions.get("timeout") or {}
    return aiohttp.ClientTimeout(
        total=None, sock_connect=given.get("connect") or CONNECT_TIMEOUT, sock_read=given.get("read")
    )


def _fields(request: httpx.Request) -> Iterator[tuple[str, str]]:
    """But for what frames the message, which is written from what is sent."""
    return (
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in request.headers.raw
        if name.lower() not in _FRAMING
    )


class _Body(httpx.AsyncByteStream):
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._reply.pieces()

    async def aclose(self) -> None:
        self._reply.close()
