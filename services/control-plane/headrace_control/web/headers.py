"""The headers that every answer carries."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Nothing that is answered here is a page, so no browser may run, frame or guess at any of it. Nothing may be stored:
# most answers are one tenant's. OWASP, HTTP Security Response Headers Cheat Sheet.
_ALWAYS: Sequence[tuple[bytes, bytes]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class SecurityHeaders:
    """ASGI middleware: adds the headers that an answer does not have. `hsts_seconds` above 0 adds RFC 6797's, for
    deployments whose proxy speaks TLS."""

    def __init__(self, app: ASGIApp, hsts_seconds: int = 0) -> None:
        self._app = app
        hsts = (b"strict-transport-security", b"max-age=%d; includeSubDomains" % hsts_seconds)
        self._headers = (*_ALWAYS, hsts) if hsts_seconds > 0 else tuple(_ALWAYS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dressed(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                message = {**message, "headers": [*given, *(h for h in self._headers if h[0] not in names)]}
            await send(message)

        await self._app(scope, receive, dressed)
