"""The HTTP server under the control plane's two faces: uvicorn, with deadlines of ours around its connections."""

import asyncio
import contextlib
import functools
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from headrace_control.http_errors import bare_refusal
from headrace_control.web.open_connections import NoRoom, OpenConnections
from headrace_control.web.sockets import BoundedSocket

# A request's line and headers have to be here by then, after the connection's or the request's first byte.
HEAD_SECONDS = 10.0
# A client that reads nothing of its answer for this long is left.
STALLED_SECONDS = 60.0
# What is left of a body whose request was answered before is read to no purpose; so long, for who asks hears no answer
# before they have sent it.
REST_SECONDS = 30.0
# Of one connection: all that there may be, each with a head that is not whole, take 128 MiB by default. As much may be
# sent ahead, behind a request that is being answered.
MAX_HEAD_BYTES = 32 * 1024
# Of clients: more of the request is to come.
_ASKING = (h11.IDLE, h11.SEND_BODY)


class PatientConnection(H11Protocol):
    """uvicorn waits without end for a request's head, for the rest of a body after its answer, and for who does not
    read an answer; this one does not. It forgets what came of a body that nothing asked for, and is one of
    `connections` that are bounded together."""

    _head: asyncio.TimerHandle | None = None
    _rest: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def __init__(self, *given: Any, connections: OpenConnections, **named: Any) -> None:
        super().__init__(*given, **named)
        self._all = connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._all.opened(transport)
        self._head = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        self.app = NoRoom(self.config.loaded_app) if self._no_room() else self.config.loaded_app
        super().data_received(data)
        if self._rest is not None and self.conn.our_state is not h11.DONE:
            _stop(self._rest)
            self._rest = None
        if self.conn.their_state is not h11.IDLE:
            _stop(self._head)
            self._head = None
        elif self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)
        if self._comes_unasked():
            self.flow.pause_reading()
        if self.conn.their_state not in _ASKING and len(self.conn.trailing_data[0]) > MAX_HEAD_BYTES:
            self.transport.abort()
        self._tell()

    def _comes_unasked(self) -> bool:
        """Whether the rest of a body is to come: it is read when the application asks for it, or has answered."""
        return (
            self.conn.their_state is h11.SEND_BODY
            and self.conn.our_state is h11.SEND_RESPONSE
            and self.transport.get_protocol() is self
        )

    def _should_upgrade(self) -> bool:
        return not self._no_room() and super()._should_upgrade()

    def _no_room(self) -> bool:
        return self._all.too_many or len(self.tasks) >= self._all.most

    def on_response_complete(self) -> None:
        if self.cycle.body:
            self.cycle.body = bytearray()
        if self._rest is None and self.conn.their_state is h11.SEND_BODY:
            self._rest = self.loop.call_later(REST_SECONDS, self.transport.abort)
        super().on_response_complete()
        self._tell()

    def _tell(self) -> None:
        """For whom it waits: for its client, or for the application. A websocket tells so itself."""
        if self.transport.is_closing() or self.conn.their_state in _ASKING:
            self._all.waits(self.transport)
        elif self.transport.get_protocol() is self:
            self._all.works(self.transport)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _stop(self._stalled)

    def connection_lost(self, exc: Exception | None) -> None:
        _stop(self._head)
        _stop(self._rest)
        _stop(self._stalled)
        self._all.closed(self.transport)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What can not be read as HTTP is answered in the shape of every other error, and the connection ends."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers, body = bare_refusal(400)
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


class _Server(uvicorn.Server):
    """Leaves signals to `run`: two servers share the process, and neither owns it."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()


def http_server(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    max_message: int,
    grace: float = 1,
    connections: OpenConnections | None = None,
    **more: Any,
) -> uvicorn.Server:
    """The server, not started. `max_message` bounds a websocket's message in bytes; `grace` is in seconds. Without
    `connections` there may be any number.

    Websockets are not compressed: a small message that grows is nothing that a client of ours needs. Addresses in
    X-Forwarded-For are `web.addresses`' to judge, so uvicorn leaves them alone.
    """
    connections = connections or OpenConnections()
    return _Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            lifespan="off",
            http=functools.partial(PatientConnection, connections=connections),  # type: ignore[arg-type]
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws=functools.partial(BoundedSocket, connections=connections),  # type: ignore[arg-type]
            ws_max_size=max_message,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=max(int(grace), 1),
            **more,
        )
    )
