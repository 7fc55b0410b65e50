"""httpx's transport port over aiohttp's connections: one request in, one request on the wire.

httpx's own pool scans every connection for every request; aiohttp's does not. What aiohttp would do by
itself is switched off: re-sending, redirects, cookies, decompression, proxies, default headers.
"""

import asyncio
import io
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from typing import NoReturn

import aiohttp
import httpx
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from yarl import URL

from headrace.outbound.answering import AnswerBroken, AnswerTooLong
from headrace.outbound.connector import CURRENT_DIAL, Dial, GuardedConnector, Resolve, thread_resolver
from headrace.outbound.failures import CallCode, TransportFailure
from headrace.outbound.fields import is_token
from headrace.outbound.policy import EgressPolicy
from headrace.outbound.target import InvalidTarget, Target, parse_target

DIAL = "headrace.dial"  # request and response extension: the Dial record of this request
TARGET = "headrace.target"  # request extension: the Target, when the caller has it already
CONNECT_TIMEOUT = 10.0
_MAX_FIELD = 32 * 1024  # bytes of one header of an answer
_LARGE = 1 << 18  # bodies above it are written in pieces, so that the loop gets its turn
_OURS = frozenset({b"host", b"content-length", b"transfer-encoding"})
_NO_DEFAULTS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


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
        executor: Executor | None = None,
        tls: ssl.SSLContext | None = None,
        connections: int = 0,
        keepalive: float = 4.0,
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._executor = executor
        self._tls = tls
        self._connections = connections
        self._keepalive = keepalive
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs at INFO

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        dial = request.extensions.get(DIAL) or Dial()
        try:
            target = request.extensions.get(TARGET) or parse_target(str(request.url))
        except InvalidTarget as error:
            raise TransportFailure(CallCode.INVALID_URL, str(error), sent=False) from None
        dial.host = target.host
        CURRENT_DIAL.set(dial)
        body = await request.aread()
        answer = await self._open_session().request(
            request.method,
            _wire_url(target),
            headers=[("Host", target.authority), *_fields(request)],
            data=io.BytesIO(body) if len(body) > _LARGE else body or None,
            allow_redirects=False,
            timeout=_limits(request),
        )
        if problem := _problem(answer):
            answer.close()
            raise TransportFailure(CallCode.BAD_RESPONSE, problem, sent=True)
        return httpx.Response(
            answer.status,
            headers=list(answer.raw_headers),
            stream=_Body(answer),
            extensions={DIAL: dial},
            request=request,
        )

    async def aclose(self) -> None:
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise TransportFailure(CallCode.CONNECT_FAILED, "the transport is closed", sent=False)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=GuardedConnector(
                    self._policy,
                    self._resolve or thread_resolver(self._executor),
                    tls=self._tls,
                    connections=self._connections,
                    keepalive=self._keepalive,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_NO_DEFAULTS,
                auto_decompress=False,
                trust_env=False,
                max_field_size=_MAX_FIELD,
                middlewares=(_translate,),
            )
        return self._session


def trusted_transport(*, tls: ssl.SSLContext | None = None) -> AiohttpTransport:
    """Without the egress guard: for addresses that a service's own operator configured, and no others."""
    return AiohttpTransport(None, tls=tls)


def _limits(request: httpx.Request) -> aiohttp.ClientTimeout:
    given = request.extensions.get("timeout") or {}
    return aiohttp.ClientTimeout(
        total=None, sock_connect=given.get("connect") or CONNECT_TIMEOUT, sock_read=given.get("read")
    )


def _fields(request: httpx.Request) -> Iterator[tuple[str, str]]:
    # aiohttp drops the first of two fields whose names differ in case only; one spelling keeps both.
    spellings: dict[bytes, str] = {}
    for name, value in request.headers.raw:
        if name.lower() not in _OURS:
            yield spellings.setdefault(name.lower(), name.decode("latin-1")), value.decode("latin-1")


def _problem(answer: ClientResponse) -> str:
    """Why an answer is not taken though aiohttp reads it: readers may differ on where it ends. Empty: it is taken.

    RFC 9112, 2.3 (versions), 5.1 (no space before the colon), 6.1 (no other coding was offered). Lengths that are no
    plain number, differ, or stand beside a coding, it does not read.
    """
    if answer.status == 101:
        return "the target switched protocols"
    if answer.version not in (aiohttp.HttpVersion10, aiohttp.HttpVersion11) or answer.status < 200:
        return "the target's answer is not HTTP/1.1"
    if not all(is_token(name.decode("latin-1")) for name, _ in answer.raw_headers):
        return "the target's answer has a header without a proper name"
    codings = answer.headers.getall("Transfer-Encoding", ())
    if codings and [coding.strip().lower() for coding in codings] != ["chunked"]:
        return "the target's answer has a transfer coding that is not known"
    return ""


def _wire_url(target: Target) -> URL:
    # `encoded` keeps the path as it was written: `/a/%2e%2e/b` must not become `/b`.
    host = f"[{target.host}]" if ":" in target.host else target.host
    return URL(f"{target.scheme}://{host}:{target.port}{target.path}", encoded=True)


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _raise(error, Dial(sent=True))

    async def aclose(self) -> None:
        # Reading to the end has given the connection back already; anything less drops it.
        self._answer.close()


async def _translate(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Translates aiohttp's exceptions before its session sees them, which would re-send on some of them."""
    try:
        return await handler(request)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        _raise(error, CURRENT_DIAL.get())


def _raise(error: Exception, dial: Dial) -> NoReturn:
    reason, message = _reason(error, dial)
    raise TransportFailure(reason, message, sent=dial.sent) from None


def _reason(error: Exception, dial: Dial) -> tuple[CallCode, str]:
    if not dial.sent:
        if dial.denied is not None and not dial.opened:
            return CallCode.EGRESS_DENIED, f"the egress policy denies {dial.denied} addresses"
        match error:
            case aiohttp.ClientConnectorDNSError():
                return CallCode.DNS_FAILED, "the target's name could not be resolved"
            case aiohttp.ClientConnectorCertificateError():
                return CallCode.TLS_FAILED, "the target's certificate is not valid for its name"
            case aiohttp.ClientSSLError():
                return CallCode.TLS_FAILED, "the TLS handshake with the target failed"
            case asyncio.TimeoutError():
                return CallCode.TIMEOUT, "connecting to the target took too long"
            case aiohttp.InvalidURL():
                return CallCode.INVALID_URL, "the URL can not be called"
            case _:
                return CallCode.CONNECT_FAILED, "the target could not be connected to"
    match error:
        case AnswerTooLong():
            return CallCode.RESPONSE_TOO_LARGE, "the answer is too long as it is sent, its framing counted"
        case aiohttp.ClientResponseError() | AnswerBroken():
            return CallCode.BAD_RESPONSE, "the target's answer is not HTTP"
        case asyncio.TimeoutError():
            return CallCode.TIMEOUT, "the target did not answer in time"
        case _:  # a close before the answer's end among it, whether by a reset or in order
            return CallCode.CONNECTION_LOST, "the connection was lost before the answer was complete"
