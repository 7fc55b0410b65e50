"""Caps on request bodies, before anything reads them: how large, how slow, and in no encoding but their own."""

import asyncio

from headrace.errors import LimitExceeded
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace_control.http_errors import error_response, refusal

BODY_SECONDS = 30.0


class BodyLimit:
    """ASGI middleware: a body above `most` bytes is answered 413, whether it says its length or not; one that is not
    whole after `seconds` 408; one with a content coding 415, for what it grows to is not known before."""

    def __init__(self, app: ASGIApp, most: int, seconds: float = BODY_SECONDS) -> None:
        self._app, self._most, self._seconds = app, most, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
            await refusal(415)(scope, receive, send)
            return
        if not (length.isascii() and length.isdigit() and len(length) < 20) or int(length) > self._most:
            await self._too_large()(scope, receive, send)
            return
        messages: list[Message] = []
        try:
            async with asyncio.timeout(self._seconds):
                whole = await self._read(receive, messages)
        except TimeoutError:
            await refusal(408, {"connection": "close"})(scope, receive, send)
            return
        if messages[-1]["type"] == "http.disconnect":
            return  # nobody is left to answer
        if not whole:
            # What still comes would be read to no purpose, without an end in sight.
            answer = self._too_large()
            answer.headers["connection"] = "close"
            await answer(scope, receive, send)
            return

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive, messages: list[Message]) -> bool:
        """Whether the whole body fits; it is in `messages` then."""
        size = 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self._most:
                return False
            if message["type"] != "http.request" or not message.get("more_body"):
                return True

    def _too_large(self) -> Response:
        return error_response(LimitExceeded(f"the request's body is larger than {self._most} bytes"))
