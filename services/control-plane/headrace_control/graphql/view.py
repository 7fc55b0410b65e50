"""GraphQL over HTTP POST, and over websockets for subscriptions (the graphql-transport-ws protocol).

Operations come by POST with a JSON body alone, and keys in a header alone: there is nothing that a browser
would add by itself, so a foreign page can not act for anyone.
"""

import asyncio
from datetime import timedelta
from json import JSONDecodeError
from typing import Any

import orjson
from cross_web import HTTPException
from headrace.errors import HeadraceError, Unauthenticated, Unavailable
from headrace.json_text import read_exact
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.unset import UNSET

from headrace_control.auth.authenticator import Authenticator
from headrace_control.auth.origin import origin_of
from headrace_control.graphql.context import Context, Recheck
from headrace_control.graphql.errors import BAD_QUERY
from headrace_control.graphql.schema import Schema
from headrace_control.http_errors import error_response, errors_response
from headrace_control.services import Services

MAX_BODY = 4 * 1024 * 1024
MAX_OPERATIONS_PER_SOCKET = 20
INIT_SECONDS = 10
# How often an open websocket's key is looked at, so that subscriptions of a key that has ended end too.
RECHECK_SECONDS = 30.0

_WATCH = "headrace.key_watch"


class GraphQLView(GraphQL[Context, None]):
    """The ASGI application behind /graphql."""

    def __init__(
        self,
        schema: Schema,
        services: Services,
        authenticator: Authenticator,
        recheck_seconds: float = RECHECK_SECONDS,
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            allow_queries_via_get=False,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=timedelta(seconds=INIT_SECONDS),
            max_subscriptions_per_connection=MAX_OPERATIONS_PER_SOCKET,
        )
        self._services, self._authenticator = services, authenticator
        self._recheck_seconds = recheck_seconds

    def routes(self, path: str) -> list[Route | WebSocketRoute]:
        return [Route(path, self, methods=["POST"]), WebSocketRoute(path, self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "http":
                response = await self._answer(Request(scope, receive))
                await response(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)
        finally:
            if (watch := scope.get(_WATCH)) is not None:
                watch.cancel()

    async def _answer(self, request: Request) -> Response:
        try:
            return await self.run(request)
        except HTTPException as refused:
            return errors_response(refused.status_code, refused.reason, {"code": BAD_QUERY})
        except HeadraceError as error:
            return error_response(error)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        if isinstance(request, WebSocket):
            return SocketContext(self._services, request)
        authorization = request.headers.get("authorization")
        return Context(self._services, await self._authenticator.caller(authorization, origin_of(request)))

    async def on_ws_connect(self, context: Context) -> Any:
        assert isinstance(context, SocketContext)  # noqa: S101 - only websockets connect
        key = context.key

        async def recheck() -> None:
            caller = await self._authenticator.caller(key, origin_of(context.socket))
            if context.recheck is not None and caller != context.caller:
                # What goes on here was begun with other rights; who has new ones connects anew.
                raise Unauthenticated("the caller's role has changed: connect anew")
            context.identify(caller)

        try:
            await recheck()
        except Unauthenticated:
            raise ConnectionRejectionError from None
        context.recheck = recheck
        context.socket.scope[_WATCH] = asyncio.create_task(self._watch(context.socket, recheck))
        return UNSET

    async def _watch(self, socket: WebSocket, recheck: Recheck) -> None:
        while True:
            await asyncio.sleep(self._recheck_seconds)
            try:
                await recheck()
            except Unavailable:
                continue
            except Exception:
                # Whatever keeps us from knowing who this is ends it.
                await socket.close(4403, "Forbidden")
                return

    def decode_json(self, data: str | bytes) -> object:
        """NaN, lone surrogates and endless nesting are refused; bodies were bounded on their way in."""
        if len(data) > MAX_BODY:
            raise JSONDecodeError("too long", "", 0)
        value = read_exact(data.encode() if isinstance(data, str) else data)
        if not isinstance(value, dict):
            raise JSONDecodeError("not an object", "", 0)
        return value

    def encode_json(self, data: object) -> str | bytes:
        return orjson.dumps(data).decode()


class SocketContext(Context):
    """The context of one websocket."""

    def __init__(self, services: Services, socket: WebSocket) -> None:
        super().__init__(services)
        self.socket = socket

    @property
    def key(self) -> str | None:
        """The Authorization that came with connection_init, else with the handshake: browsers can not set a
        websocket's headers."""
        params = self.connection_params if isinstance(self.connection_params, dict) else {}
        given = params.get("authorization") or self.socket.headers.get("authorization")
        return given if isinstance(given, str) else None
