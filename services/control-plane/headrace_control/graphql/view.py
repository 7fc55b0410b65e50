"""GraphQL over HTTP POST, and over websockets for subscriptions (the graphql-transport-ws protocol).

Operations come by POST with a JSON body alone, and keys in a header alone: there is nothing that a browser
would add by itself, so a foreign page can not act for anyone.
"""

import asyncio
from datetime import timedelta
from json import JSONDecodeError
from typing import Any
from uuid import UUID

import orjson
from cross_web import HTTPException
from headrace.errors import HeadraceError, TimedOut, Unauthenticated, Unavailable
from headrace.json_text import read_exact
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http import GraphQLRequestData, process_result
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType
from strawberry.types.unset import UNSET

from headrace_control.answer_room import ANSWER, AnswerRoom, answering
from headrace_control.auth.authenticator import Authenticator
from headrace_control.auth.caller import Caller
from headrace_control.auth.origin import origin_of
from headrace_control.body_budget import BodyBudget
from headrace_control.body_limit import BODY_SECONDS, address_of
from headrace_control.graphql.beginnings import Beginnings
from headrace_control.graphql.carried import Carried
from headrace_control.graphql.context import Context
from headrace_control.graphql.errors import BAD_QUERY, NO_OPERATION
from headrace_control.graphql.persisted import PersistedQueries
from headrace_control.graphql.schema import Schema
from headrace_control.graphql.sockets import Socket, SocketContext, SocketHandler, SocketRules
from headrace_control.graphql.unread import TakenResponse, Unread
from headrace_control.http_errors import error_response, errors_response, refusal
from headrace_control.services import Services
from headrace_control.web.policy import HttpPolicy
from headrace_control.web.rates import Buckets

MAX_BODY = 4 * 1024 * 1024
# What the process holds at once of what callers send whose key was found good.
CALLERS_BYTES = 48 * 1024 * 1024
MAX_OPERATIONS_PER_SOCKET = 20
INIT_SECONDS = 10
# How often an open websocket's key is looked at, so that subscriptions of a key that has ended end too.
RECHECK_SECONDS = 30.0
_BY_POST = frozenset({OperationType.QUERY, OperationType.MUTATION})
_TENANT = "headrace.tenant"
_PARTS = {"query": str, "variables": dict, "extensions": dict}


def tenant_of(scope: Scope) -> UUID:
    """Whose a request is, once its key was found good: whoever sends its body."""
    tenant: UUID = scope[_TENANT]
    return tenant


class GraphQLView(GraphQL[Context, None]):
    """The ASGI application behind /graphql."""

    graphql_transport_ws_handler_class = SocketHandler

    def __init__(
        self,
        schema: Schema,
        services: Services,
        authenticator: Authenticator,
        policy: HttpPolicy | None = None,
        recheck_seconds: float = RECHECK_SECONDS,
        messages: BodyBudget | None = None,
    ) -> None:
        """`messages`: room for what callers send by websockets; without it, as much as they have of bodies."""
        self._policy = policy = policy or HttpPolicy()
        super().__init__(
            schema,
            graphql_ide=None,
            allow_queries_via_get=False,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=timedelta(seconds=INIT_SECONDS),
            max_subscriptions_per_connection=MAX_OPERATIONS_PER_SOCKET,
            allowed_origins=policy.origins,
        )
        self._services, self._authenticator = services, authenticator
        self._unread = Unread()
        self._rules = SocketRules(
            policy,
            Buckets(policy.rate_per_key),
            PersistedQueries(policy.documents, only=policy.documents_only),
            recheck_seconds,
            Carried(policy),
            messages or BodyBudget(CALLERS_BYTES),
            AnswerRoom(),
            Beginnings(),
        )

    def routes(self, path: str) -> list[Route | WebSocketRoute]:
        return [Route(path, self, methods=["POST"]), WebSocketRoute(path, self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            response = await self._answer(Request(scope, receive))
            if not isinstance(response, TakenResponse):
                await response(scope, receive, send)
                return
            try:
                with self._unread.one(tenant_of(scope), len(response.body)):
                    await response(scope, receive, send)
            except Unavailable as error:
                await error_response(error)(scope, receive, send)
            return
        place = self._rules.carried.place(address_of(scope))
        if place is None:
            await send({"type": "websocket.close", "code": 1013, "reason": ""})
            return
        try:
            await self.run(Socket(scope, receive, send, place))
        finally:
            place.leave()

    async def _answer(self, request: Request) -> Response:
        # Browsers send JSON to another origin only after asking; the types that they send unasked are not taken.
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return refusal(415)
        caller = body = None
        try:
            async with asyncio.timeout(self._policy.operation_seconds) as deadline:
                # Who asks is settled before anything is read of what they send.
                caller = await self._authenticator.caller(
                    request.headers.get("authorization"), origin_of(request)
                )
                self._rules.rates.take(caller.actor.id)
                with self._rules.carried.one_posted(caller.tenant_id):
                    body = await self._body(request, caller, deadline)
                    await self._rules.beginnings.turn(caller.tenant_id)
                    return await self._operate(body, caller)
        except TimeoutError:
            if not deadline.expired():
                raise
            if caller is not None and body is None:
                return refusal(408, {"connection": "close"})
            return error_response(
                TimedOut("the operation took too long and was ended; it may have been done")
            )
        except HTTPException as refused:
            return errors_response(refused.status_code, refused.reason, {"code": BAD_QUERY})
        except HeadraceError as error:
            return error_response(error)

    async def _body(self, request: Request, caller: Caller, deadline: asyncio.Timeout) -> bytes:
        """The request's body, whose time is its own and none of the operation's."""
        now = asyncio.get_running_loop().time
        request.scope[_TENANT] = caller.tenant_id
        deadline.reschedule(now() + BODY_SECONDS)
        body = await request.body()
        deadline.reschedule(now() + self._policy.operation_seconds)
        return body

    async def _operate(self, body: bytes, caller: Caller) -> Response:
        """Strawberry's `run` for what comes by POST, without the adapters that make all frameworks look alike."""
        asked = self._asked(body)
        with answering(self._rules.room, caller.tenant_id):
            result = await self._execute(asked, Context(self._services, caller))
            return TakenResponse(orjson.dumps(process_result(result)), media_type="application/json")

    def _asked(self, body: bytes) -> GraphQLRequestData:
        """The operation that a body asks for."""
        try:
            asked = self.decode_json(body)
        except JSONDecodeError as error:
            # orjson names the kind of fault, and quotes nothing.
            raise HTTPException(400, f"the body is no JSON object: {error.msg}") from None
        for name, kind in _PARTS.items():
            if not isinstance(asked.get(name), (kind, type(None))):
                raise HTTPException(400, f"`{name}` is not of the type that it has in GraphQL over HTTP")
        extensions = asked.get("extensions")
        return GraphQLRequestData(
            query=self._rules.queries.text_of(asked.get("query"), extensions),
            variables=asked.get("variables"),
            operation_name=asked.get("operationName"),
            extensions=extensions,
        )

    async def _execute(self, asked: GraphQLRequestData, context: Context) -> ExecutionResult:
        """Queries and mutations: what lasts comes by a websocket, whose key is looked at while it is open."""
        try:
            return await self.schema.execute(
                asked.query,
                variable_values=asked.variables,
                context_value=context,
                operation_name=asked.operation_name,
                allowed_operation_types=_BY_POST,
            )
        except tuple(NO_OPERATION) as error:
            raise HTTPException(400, NO_OPERATION[type(error)]) from None

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """Of a websocket; what comes by POST has gone another way."""
        assert isinstance(request, Socket)  # noqa: S101 - see `__call__`
        return SocketContext(self._services, request, self._rules)

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
        context.admit()
        context.recheck = recheck
        return UNSET

    def decode_json(self, data: str | bytes) -> dict[str, Any]:
        """NaN, lone surrogates and endless nesting are refused; bodies were bounded on their way in."""
        if len(data) > MAX_BODY:
            raise JSONDecodeError("too long", "", 0)
        value = read_exact(data.encode() if isinstance(data, str) else data)
        if not isinstance(value, dict):
            raise JSONDecodeError("operations come one by one, each as an object", "", 0)
        return value

    def encode_json(self, data: object) -> str | bytes:
        """Of what goes out by a websocket; what was looked up for it needs no room any more."""
        encoded = orjson.dumps(data).decode()
        if (answer := ANSWER.get()) is not None:
            answer.let_go()
        return encoded


class StraightToGraphQL:
    """ASGI middleware, the innermost: what is posted to `path` goes past the framework's routing and its handlers of
    errors, which have nothing to do for the view."""

    def __init__(self, app: ASGIApp, path: str, view: GraphQLView) -> None:
        self._app, self._path, self._view = app, path, view

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == self._path and scope["method"] == "POST":
            await self._view(scope, receive, send)
        else:
            await self._app(scope, receive, send)
