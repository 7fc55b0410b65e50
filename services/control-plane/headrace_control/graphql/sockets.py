"""Websockets: what a process carries of them, and how long each may go on."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from headrace.errors import HeadraceError, LimitExceeded, TimedOut, Unavailable
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)

from headrace_control.answer_room import AnswerRoom, answering
from headrace_control.auth.caller import Caller
from headrace_control.body_budget import BodyBudget
from headrace_control.graphql.beginnings import Beginnings
from headrace_control.graphql.carried import Carried, Place
from headrace_control.graphql.context import Context
from headrace_control.graphql.errors import shaped_error
from headrace_control.graphql.operations import DEADLINE
from headrace_control.graphql.persisted import PersistedQueries
from headrace_control.services import Services
from headrace_control.web.policy import HttpPolicy
from headrace_control.web.rates import Buckets
from headrace_control.web.sockets import make_known

MOST_ID_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class SocketRules:
    """What every websocket of a process, and every operation by POST, is held to. `recheck_seconds`: how often a
    websocket's key is looked at. `messages`: room for what tenants send by them, until the operation that it asks for
    has ended; `room`, for what is large in answers."""

    policy: HttpPolicy
    rates: Buckets
    queries: PersistedQueries
    recheck_seconds: float
    carried: Carried
    messages: BodyBudget
    room: AnswerRoom
    beginnings: Beginnings


class Socket(WebSocket):
    """A websocket with its place. `heard` is how long its last message was, in characters."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, place: Place) -> None:
        super().__init__(scope, receive, send)
        self.place = place
        self.heard = 0

    async def receive_text(self) -> str:
        text = await super().receive_text()
        self.heard = len(text)
        return text


class SocketContext(Context):
    """The context of one websocket."""

    def __init__(self, services: Services, socket: Socket, rules: SocketRules) -> None:
        super().__init__(services)
        self.socket, self.rules = socket, rules

    def admit(self) -> None:
        """The socket is known to be its caller's. Raises `LimitExceeded`."""
        tenant_id = self.caller.tenant_id
        self.socket.place.admit(tenant_id)
        make_known(self.socket.scope, self.rules.messages, tenant_id)

    @property
    def key(self) -> str | None:
        """The Authorization that came with connection_init, else with the handshake: browsers can not set a
        websocket's headers."""
        params = self.connection_params if isinstance(self.connection_params, dict) else {}
        given = params.get("authorization") or self.socket.headers.get("authorization")
        return given if isinstance(given, str) else None


class SocketHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """The protocol graphql-transport-ws, for messages that have its shape, within `SocketRules`.

    A socket acts for the caller that opened it. When its key has ended or may do something else now, the socket is
    closed with 4403, whatever is subscribed to on it; when nothing was asked for long, with 4408.
    """

    _watching: asyncio.Task[None] | None = None
    _heard_at = 0.0

    async def handle_message(self, message: Any) -> None:
        if not _has_shape(message):
            await self.handle_invalid_message("Failed to parse message")
            return
        self._heard_at = asyncio.get_running_loop().time()
        await super().handle_message(message)

    async def handle_connection_init(self, message: Any) -> None:
        message["payload"] = message.get("payload") or {}
        try:
            await super().handle_connection_init(message)
        except LimitExceeded as error:
            await self.websocket.close(1013, error.message)
            return
        if self.connection_acknowledged and self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    async def handle_subscribe(self, message: Any) -> None:
        context, payload = self.context, message["payload"]
        if not self.connection_acknowledged or not isinstance(context, SocketContext):
            await super().handle_subscribe(message)
            return
        rules, caller, size = context.rules, context.caller, context.socket.heard
        try:
            rules.rates.take(caller.actor.id)
            self._room_for_one_more(rules, caller)
            query = rules.queries.text_of(payload.get("query"), payload.get("extensions"))
            if not rules.messages.take(caller.tenant_id, size):
                raise Unavailable("too much is being sent at once; try again later")
        except HeadraceError as error:
            shown = shaped_error(error).formatted
            await self.send_message({"id": message["id"], "type": "error", "payload": [shown]})
            return
        payload["query"] = query or ""
        before, task = self.operations.get(message["id"]), None
        try:
            await super().handle_subscribe(message)
            operation = self.operations.get(message["id"])
            task = operation.task if operation is not None and operation is not before else None
        finally:
            if task is None:
                rules.messages.give_back(caller.tenant_id, size)
        if task is not None:
            # Counted before it runs: messages that came together are looked at one after the other.
            rules.carried.begin(caller)
            task.add_done_callback(lambda _: rules.carried.end(caller))
            task.add_done_callback(lambda _: rules.messages.give_back(caller.tenant_id, size))

    def _room_for_one_more(self, rules: SocketRules, caller: Caller) -> None:
        most = self.max_subscriptions_per_connection
        if most is not None and len(self.operations) >= most:
            raise LimitExceeded(f"more than {most} operations at once on this websocket")
        rules.carried.check(caller)

    async def run_operation(self, operation: Operation[Context, None]) -> None:
        context = self.context
        assert isinstance(context, SocketContext)  # noqa: S101 - the only one that sockets have
        try:
            async with asyncio.timeout(None) as deadline:
                DEADLINE.set(deadline)
                await context.rules.beginnings.turn(context.caller.tenant_id)
                with answering(context.rules.room, context.caller.tenant_id):
                    await super().run_operation(operation)
        except TimeoutError:
            error = TimedOut("the operation took too long and was ended; it may have been done")
            await operation.send_initial_errors([shaped_error(error)])

    async def _watch(self) -> None:
        context = self.context
        assert isinstance(context, SocketContext)  # noqa: S101 - the only one that sockets have
        assert context.recheck is not None  # noqa: S101 - set before the socket is acknowledged
        idle = context.rules.policy.socket_idle_seconds
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(context.rules.recheck_seconds, idle))
            try:
                await context.recheck()
            except Unavailable:
                continue
            except Exception:
                # Whatever keeps us from knowing who this is ends it.
                await self.websocket.close(4403, "Forbidden")
                return
            if not self.operations and loop.time() - self._heard_at >= idle:
                await self.websocket.close(4408, "Nothing was asked for")
                return

    async def shutdown(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await super().shutdown()


def _has_shape(message: Any) -> bool:
    """Whether a message is one of the protocol's, so far that nothing in it can surprise Strawberry."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return False
    payload = message.get("payload")
    match message["type"]:
        case "subscribe":
            fields = payload if isinstance(payload, dict) else {}
            kinds = {"query": str, "variables": dict, "operationName": str, "extensions": dict}
            return (
                _is_id(message.get("id"))
                and isinstance(payload, dict)
                and all(isinstance(fields.get(name), (kind, type(None))) for name, kind in kinds.items())
            )
        case "complete":
            return _is_id(message.get("id"))
        case _:
            return True


def _is_id(given: Any) -> bool:
    return isinstance(given, str) and 0 < len(given) <= MOST_ID_CHARACTERS
