"""The websockets under the public face: uvicorn's, which holds what has come of a message as long as it is to come."""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from http import HTTPStatus
from typing import Any, TypeAlias

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import StatusLike

from headrace_control.body_budget import BodyBudget
from headrace_control.http_errors import bare_refusal
from headrace_control.web.open_connections import OpenConnections

# All that a websocket may send before the application says who it is: its key, and a ping or two. Afterwards as much
# may wait on each without being counted.
UNKNOWN_BYTES = 16 * 1024
# What a message or a part of one costs beside its own bytes, as long as it waits.
_MESSAGE_BYTES = 256
_INVALID_DATA, _TOO_MUCH, _TRY_AGAIN_LATER = 1007, 1009, 1013

# Tells that from now on the socket is an owner's, who has room within a budget.
Known: TypeAlias = Callable[[BodyBudget, Hashable], None]
_KNOWN = "headrace.known"


def make_known(scope: Any, budget: BodyBudget, owner: Hashable) -> None:
    """The application knows whose the websocket of `scope` is."""
    known: Known | None = scope.get(_KNOWN)
    if known is not None:
        known(budget, owner)


def _is_text(frames: Sequence[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True


def _rejected(status: StatusLike, text: str) -> Response:
    """In place of the library's own answer to a handshake, whose `text` may quote it."""
    status = HTTPStatus(status)
    headers, body = bare_refusal(status)
    named = Headers([(name.decode(), value.decode()) for name, value in headers])
    return Response(status.value, status.phrase, named, body)


class BoundedSocket(WebSocketsSansIOProtocol):
    """Closes a websocket that sends more than `UNKNOWN_BYTES` before it is known whose it is with 1009; later with
    1013 when its messages, until the application has them, find no room in its owner's budget. Until it is known, and
    from its close on, it is one of `connections` that wait for their clients."""

    _unknown_left: int | None = UNKNOWN_BYTES
    _budget: BodyBudget | None = None
    _owner: Hashable = None
    _waiting = 0
    _taken = 0
    _ended = False

    def __init__(self, *given: Any, connections: OpenConnections, **named: Any) -> None:
        super().__init__(*given, **named)
        self._all = connections
        self.conn.reject = _rejected  # type: ignore[method-assign]
        # Of the messages that wait for the application.
        self._sizes: deque[int] = deque()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            scope: Any = self.scope
            scope[_KNOWN] = self._make_known

    def _make_known(self, budget: BodyBudget, owner: Hashable) -> None:
        self._unknown_left, self._budget, self._owner = None, budget, owner
        self._all.works(self.transport)

    def data_received(self, data: bytes) -> None:
        if self._unknown_left is not None and self.handshake_initiated:
            self._unknown_left -= len(data)
            if self._unknown_left < 0:
                self._end(_TOO_MUCH)
                return
        super().data_received(data)
        if not self.handshake_initiated:
            # A handshake comes whole; of one that can not be read (too long, with a body) nobody else tells.
            self.handshake_complete = self.close_sent = True
            self.transport.write(b"".join(self.conn.data_to_send()) or _rejected(400, "").serialize())
            self.transport.close()
        if self._budget is not None and not self._take():
            self._end(_TRY_AGAIN_LATER)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_text(self.frames):
            # uvicorn would close it so, too, and log an error of ours with the stack.
            self.frames = []
            self.conn.fail(_INVALID_DATA, "invalid UTF-8")
            self.handle_parser_exception()
            return
        size = sum(map(len, self.frames)) + _MESSAGE_BYTES
        if not self.close_sent:
            self._sizes.append(size)
            self._waiting += size
        super().send_receive_event_to_app()

    async def receive(self) -> Any:
        message = await super().receive()
        if self._sizes and message["type"] == "websocket.receive":
            self._waiting -= self._sizes.popleft()
            if self._taken:
                self._take()
        return message

    async def send(self, message: Any) -> None:
        if self._ended:
            # The application has not heard of the end yet.
            raise ClientDisconnected
        await super().send(message)
        if self.close_sent:
            self._all.waits(self.transport)

    def handle_parser_exception(self) -> None:
        self._ended = True
        super().handle_parser_exception()
        self._all.waits(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_back(0)
        self._budget = None
        self._all.closed(self.transport)
        super().connection_lost(exc)

    def _take(self) -> bool:
        """Whether there is room for all that waits, and for what has come of a message that is not whole."""
        come = 0 if self._ended else len(self.conn.reader.buffer) + (self.conn.current_size or 0)
        held = self._waiting + come + len(self.frames) * _MESSAGE_BYTES
        held = held if held > UNKNOWN_BYTES else 0
        if held <= self._taken or self._budget is None:
            self._give_back(held)
        elif self._budget.take(self._owner, held - self._taken):
            self._taken = held
        else:
            return False
        return True

    def _give_back(self, but: int) -> None:
        if self._budget is not None and self._taken > but:
            self._budget.give_back(self._owner, self._taken - but)
            self._taken = but

    def _end(self, code: int) -> None:
        """Close at once, with `code` where the handshake is over and no code was sent."""
        if self.handshake_complete and not self.close_sent:
            self.conn.fail(code, "too much was sent")
        # Its room is others' at once: the connection is lost only after all else that came at the same time was read.
        self._ended, self.frames = True, []
        self._give_back(self._waiting)
        if self.conn.close_sent is not None and not self.close_sent:
            self.handle_parser_exception()
        else:
            self.transport.close()
