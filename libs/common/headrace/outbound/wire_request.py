"""One request on a connection, and the head of its answer: written once, whole, with nothing that was not asked for.

aiohttp's session would add header fields, send again what was lost, follow redirects and keep cookies; each had to be
switched off. Its requests and responses know proxies, forms, cookies and charsets. What is switched off, or never asked
for, still takes half of a call's time. So its connector, its writer and its parser are used without the rest: there is
nothing here that could send twice.
"""

import asyncio
from collections.abc import Iterable

import aiohttp
from aiohttp import ClientTimeout
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import TimerNoop, set_exception
from aiohttp.http import RawResponseMessage, StreamWriter
from aiohttp.streams import StreamReader
from multidict import CIMultiDict

from headrace.outbound.connector import GuardedConnector
from headrace.outbound.failures import CallCode, TransportFailure
from headrace.outbound.reply import Reply, problem_of
from headrace.outbound.target import Target

_LARGE = 1 << 18  # bodies above it are written in pieces, so that the loop gets its turn
_PIECE = 1 << 16
_MAX_FIELD = 32 * 1024  # bytes of one header of an answer
_NO_TIMER = TimerNoop()
_SENDS_NOTHING = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # without a body, they have no length either


async def answered(
    connector: GuardedConnector,
    target: Target,
    method: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    limits: ClientTimeout,
) -> Reply:
    """`headers` go in their order, behind Host and before the body's length; they name neither. Raises what aiohttp
    raises, and `TransportFailure` for an answer that is not taken; then the connection is closed."""
    method = method.upper()
    fields = CIMultiDict((("Host", target.authority), *headers))
    if body or method not in _SENDS_NOTHING:
        fields.add("Content-Length", str(len(body)))
    connection = await connector.connected(target, limits)
    writing: asyncio.Task[None] | None = None
    try:
        protocol = connection.protocol
        if protocol is None:
            raise aiohttp.ClientConnectionError("the connection is closed")
        protocol.set_response_params(
            timer=_NO_TIMER,
            skip_payload=method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=limits.sock_read,
            max_field_size=_MAX_FIELD,
        )
        writer = StreamWriter(protocol, asyncio.get_running_loop())
        await writer.write_headers(f"{method} {target.path} HTTP/1.1", fields)
        if len(body) > _LARGE:
            writing = asyncio.create_task(_write(writer, protocol, body))
        else:
            await writer.write_eof(body)
            protocol.start_timeout()
        head, content = await _read_head(protocol)
        if problem := problem_of(head):
            raise TransportFailure(CallCode.BAD_RESPONSE, problem, sent=True)
    except BaseException:
        if writing is not None:
            writing.cancel()
        connection.close()
        raise
    return Reply(method, head, content, connection, writing)


async def _read_head(protocol: ResponseHandler) -> tuple[RawResponseMessage, StreamReader]:
    """Of the final answer; interim ones (RFC 9110, 15.2) are read over."""
    while True:
        head, content = await protocol.read()
        if not 100 <= head.code < 200 or head.code == 101:
            return head, content


async def _write(writer: StreamWriter, protocol: ResponseHandler, body: bytes) -> None:
    """Beside the reading, for the target may answer before it has read all."""
    try:
        for start in range(0, len(body), _PIECE):
            await writer.write(body[start : start + _PIECE])
            await asyncio.sleep(0)
        await writer.write_eof()
    except (aiohttp.ClientError, OSError) as error:
        set_exception(protocol, error)
    else:
        protocol.start_timeout()
