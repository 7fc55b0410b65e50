"""Caps on request bodies: how large, how slow, how much of them at once, and in no encoding but their own."""

import asyncio
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from headrace.errors import LimitExceeded, Unavailable
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace_control.body_budget import BodyBudget
from headrace_control.http_errors import error_response, errors_response, refusal
from headrace_control.web.addresses import bucket_of

BODY_SECONDS = 30.0
# Room is a matter of how quickly others' bodies come: in seconds.
_RETRY_AFTER = "1"


def address_of(scope: Scope) -> Hashable:
    """Whose a body is as long as nobody knows who sends it."""
    client = scope.get("client")
    return bucket_of(client[0]) if client else None


@dataclass(frozen=True, slots=True)
class Bodies:
    """Those that are posted to a path: at most `most` bytes each, held within `budget` in the name of `owner`.

    `on_demand`: one is read when the application asks for it, which knows by then who sends it, and for how long it
    waits; else it is read before, within `BODY_SECONDS`.
    """

    most: int
    budget: BodyBudget
    owner: Callable[[Scope], Hashable] = address_of
    on_demand: bool = False


class BodyLimit:
    """ASGI middleware: a body that is larger than its path takes is answered 413, whether it says its length or not;
    one that is not whole in time 408; one with a content coding 415, for what it grows to is not known before; one for
    which there is no room 503.

    `paths` are paths, or end in / for all that is beneath. A body that comes elsewhere, or by another method than POST,
    is left where it is: nothing looks at it.
    """

    def __init__(self, app: ASGIApp, paths: Mapping[str, Bodies], seconds: float = BODY_SECONDS) -> None:
        self._app, self._paths, self._seconds = app, paths, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bodies = self._of(scope["path"]) if scope["method"] == "POST" else None
        if bodies is None:
            await self._app(scope, _Nothing(receive), send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
            await refusal(415)(scope, receive, send)
            return
        if not (length.isascii() and length.isdigit() and len(length) < 20) or int(length) > bodies.most:
            await _too_large(bodies.most)(scope, receive, send)
            return
        body = _Body(bodies, scope, receive)
        try:
            if not bodies.on_demand:
                await body.read(self._seconds)
            await self._app(scope, body.receive, send)
            return
        except _Refused as refused:
            answer = refused.answer
        finally:
            body.give_back()
        if answer is not None:
            if "content-length" not in headers:
                # What still comes would be read to no purpose, without an end in sight.
                answer.headers["connection"] = "close"
            await answer(scope, receive, send)

    def _of(self, path: str) -> Bodies | None:
        found = self._paths.get(path)
        return found or self._paths.get(path[: path.find("/", 1) + 1])


class _Refused(Exception):
    """A body that is not read to its end; None to answer when nobody is left who would hear it."""

    def __init__(self, answer: Response | None) -> None:
        super().__init__()
        self.answer = answer


class _Nothing:
    """What there is to receive where no body is taken: an empty one, then what comes by itself."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._told = receive, False

    async def __call__(self) -> Message:
        if self._told:
            return await self._receive()
        self._told = True
        return {"type": "http.request", "body": b"", "more_body": False}


class _Body:
    """One request's body on its way in."""

    __slots__ = ("_bodies", "_owner", "_read", "_receive", "_scope", "_taken", "_whole")

    def __init__(self, bodies: Bodies, scope: Scope, receive: Receive) -> None:
        self._bodies, self._scope, self._receive = bodies, scope, receive
        self._owner: Hashable = None
        # None once the application has it.
        self._whole: bytes | None = b""
        self._read = False
        self._taken = 0

    async def read(self, seconds: float) -> None:
        """Read the whole of it. Raises `_Refused`."""
        try:
            async with asyncio.timeout(seconds):
                self._whole = await self._gather()
        except TimeoutError:
            raise _Refused(refusal(408, {"connection": "close"})) from None
        self._read = True

    async def receive(self) -> Message:
        """As ASGI has it, in one message."""
        if self._whole is None:
            return await self._receive()
        whole = self._whole if self._read else await self._gather()
        self._whole = None
        return {"type": "http.request", "body": whole, "more_body": False}

    def give_back(self) -> None:
        self._whole = None
        if self._taken:
            self._bodies.budget.give_back(self._owner, self._taken)
            self._taken = 0

    async def _gather(self) -> bytes:
        self._owner = self._bodies.owner(self._scope)
        gathered = bytearray()
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise _Refused(None)
            part: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            self._take(len(part))
            if not more and not gathered:
                return part
            # One text, not the parts: a body that comes byte by byte would cost many times its size.
            gathered += part
            if not more:
                return bytes(gathered)

    def _take(self, size: int) -> None:
        if self._taken + size > self._bodies.most:
            raise _Refused(_too_large(self._bodies.most))
        if size:
            if not self._bodies.budget.take(self._owner, size):
                raise _Refused(_no_room())
            self._taken += size


def _too_large(most: int) -> Response:
    return error_response(LimitExceeded(f"the request's body is larger than {most} bytes"))


def _no_room() -> Response:
    return errors_response(
        503,
        "too much is being sent at once; try again later",
        {"code": Unavailable.code},
        {"retry-after": _RETRY_AFTER},
    )
