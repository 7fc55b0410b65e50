"""The door of the internal API: it stands before the routes, so no spelling of a path goes around it."""

import hmac

from headrace.errors import Unauthenticated
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace_control.http_errors import error_response


class TokenGate:
    """ASGI middleware: without `Authorization: Bearer <token>` nothing behind it is reached, by any path or method."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).getlist("authorization")
        # Two of them: who stands in front may have looked at the other one.
        if len(given) == 1 and hmac.compare_digest(given[0].encode("latin-1"), self._expected):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await error_response(Unauthenticated("the internal API is for runners"))(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
