"""Which pages' scripts may read answers: those of the origins that an operator lists, and by default none (CORS)."""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# How long a browser may remember a preflight's answer, in seconds.
_REMEMBERED = 600


class Origins:
    """ASGI middleware: answers a listed origin's preflights, and lets it read. No browser keeps anything that it would
    send by itself: keys come in a header."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app, self._origins = app, frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        listed = origin in self._origins
        if listed and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            allowed = {
                "access-control-allow-origin": origin or "",
                "access-control-allow-methods": "POST",
                "access-control-allow-headers": "authorization, content-type",
                "access-control-max-age": str(_REMEMBERED),
                "vary": "Origin",
            }
            await Response(status_code=204, headers=allowed)(scope, receive, send)
            return

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer.add_vary_header("Origin")
                if listed:
                    answer["access-control-allow-origin"] = origin or ""
                    answer["access-control-expose-headers"] = "retry-after"
            await send(message)

        await self._app(scope, receive, named)
