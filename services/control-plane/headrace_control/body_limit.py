"""A cap on the size of request bodies, before anything reads them."""

from headrace.errors import LimitExceeded
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace_control.http_errors import error_response


class BodyLimit:
    """ASGI middleware: a body above `most` bytes is answered 413, whether it says its length or not."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = error_response(LimitExceeded(f"the request's body is larger than {self._most} bytes"))
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most:
            await refusal(scope, receive, send)
            return
        messages, size = [], 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self._most:
                await refusal(scope, receive, send)
                return
            if message["type"] != "http.request" or not message.get("more_body"):
                break

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, replay, send)
