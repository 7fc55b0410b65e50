"""The reading side of a connection: aiohttp's, with bounds on what an answer may cost before it is read.

aiohttp bounds headers and buffers bodies. It does not bound what carries neither: interim answers, the sizes and
extensions of chunks, empty lines, padding; each would keep a processor busy until the call's time is over. And it
keeps what comes over an idle connection for the next request's answer.
"""

import asyncio
import select
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import set_exception
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from headrace.outbound.handshake import TargetTls

MAX_INTERIM = 32  # answers of 1xx before the final one
_HEAD_END = b"\r\n\r\n"


class AnswerTooLong(aiohttp.ClientError):
    """More bytes than the answer may have as it is sent, or too many interim answers."""


class AnswerBroken(aiohttp.ClientError):
    """The body breaks off the framing that the head names."""


class AnswerProtocol(ResponseHandler):
    """One connection, used again as long as nothing comes over it but what was asked for.

    `begin` comes before each request. `address` is the other end's.
    """

    _budget: int | None = None
    _interim = 0
    _final = False
    _tls: Any = None
    _looking: "select.poll | None" = None
    address: str | None = None

    def begin(self, budget: int | None) -> None:
        """A request is about to be written; its answer may have `budget` bytes in all (None: any number)."""
        self._budget, self._interim, self._final = budget, 0, False

    def data_received(self, data: bytes) -> None:
        if data and self._is_complete():
            self.abort()  # nobody asked for it, and the next request must not take it for its answer
            return
        if self._budget is not None:
            self._budget -= len(data)
            if self._budget < 0:
                self._give_up()
                return
        start = 0
        for _ in range(MAX_INTERIM):
            # Head by head: what stands behind an answer without a body must not spoil it.
            end = data.find(_HEAD_END, start) + len(_HEAD_END)
            if self._final or end < len(_HEAD_END) or end == len(data):
                break
            super().data_received(data[start:end])
            start = end
            if self._is_complete():
                self.force_close()
                return
            if self.exception() is not None:
                return
        super().data_received(data[start:])
        if self.exception() is not None:
            # aiohttp ends the connection, and lets the reader of the body wait.
            self._end_body(AnswerBroken("the body is not framed as HTTP"))

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        status = data[0].code
        if self._final or self.exception() is not None:
            self.force_close()  # an answer behind the answer, or behind more than is read
            return
        self._final = status >= 200 or status == 101
        if not self._final:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                self._give_up()
                return
        super().feed_data(data, size)

    def resume_reading(self, resume_parser: bool = True) -> None:
        # Asked for with every piece that is taken out of the buffer, though reading seldom had to pause.
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tls = transport.get_extra_info("ssl_object")
        peer, end = transport.get_extra_info("peername"), transport.get_extra_info("socket")
        if peer:
            self.address = peer[0]
        if end is not None:
            self._looking = select.poll()
            self._looking.register(end.fileno(), select.POLLIN)
        super().connection_made(transport)

    def has_news(self) -> bool:
        """Whether something lies at the idle connection's socket: its end, or what nobody asked for. True when in
        doubt."""
        if self._looking is None or self.transport is None or self.transport.is_closing():
            return True
        return bool(self._looking.poll(0))

    def connection_lost(self, exc: BaseException | None) -> None:
        self._looking = None  # the number of its socket may be another's from now on
        if exc is not None or (isinstance(self._tls, TargetTls) and not self._tls.closed):
            # A body without a length ends where the connection does, but a reset is no end, nor is one that whoever
            # stands on the way may have made.
            self._end_body(aiohttp.ClientPayloadError("cut off"))
        super().connection_lost(exc)

    def _is_complete(self) -> bool:
        return self._final and self._payload is not None and self._payload.is_eof()

    def _give_up(self) -> None:
        error = AnswerTooLong("the answer is too long as it is sent")
        self._end_body(error)
        self.set_exception(error)
        if self.transport is not None:
            self.transport.abort()

    def _end_body(self, error: aiohttp.ClientError) -> None:
        """Whoever reads the body is told `error`, unless it is complete or ended already."""
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            set_exception(body, error)
