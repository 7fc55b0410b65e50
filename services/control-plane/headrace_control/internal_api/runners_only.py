"""Nothing of the internal API is reached without a runner's session, whatever the path looks like."""

from uuid import UUID

from headrace.errors import HeadraceError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace_control.http_errors import error_response
from headrace_control.internal_api.sessions import KnownRunner, RunnerSessions

# The one path that is open to who has no session yet; its route asks for the enrolment token.
SESSIONS_PATH = "/internal/sessions"
_RUNNER = "headrace.runner"


class RunnersOnly:
    """ASGI middleware around the whole application: who is asking is settled before any path is looked at, so that
    no spelling of a path steps around it."""

    def __init__(self, app: ASGIApp, sessions: RunnerSessions) -> None:
        self._app, self._sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        given = Headers(scope=scope).getlist("authorization")
        # Two of them: who stands in front may have looked at the other one.
        shown = given[0] if len(given) == 1 else ""
        if not (scope["path"] == SESSIONS_PATH and scope["method"] == "POST"):
            address = scope["client"][0] if scope.get("client") else None
            try:
                scope[_RUNNER] = await self._sessions.runner_of(shown, address)
            except HeadraceError as error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def runner_of(scope: Scope) -> UUID:
    """The id of the runner whose session a request showed."""
    runner: KnownRunner = scope[_RUNNER]
    return runner.id


async def known_runner(request: Request) -> KnownRunner:
    """The runner whose session the request showed. Async, or FastAPI would ask in a thread."""
    runner: KnownRunner = request.scope[_RUNNER]
    return runner


async def runner_asking(request: Request) -> UUID:
    """The id of `known_runner`."""
    return (await known_runner(request)).id
