"""The one call that every run costs, answered without the framework's routing.

Its tables of routes, its search for what a handler depends on and its reading of the body before the model's own take
twice as long as all the rest of the way in and out.
"""

from headrace.errors import HeadraceError, InvalidInput
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace_control.http_errors import error_response, problems_of
from headrace_control.internal_api.answers import json_answer
from headrace_control.internal_api.claims import Claims
from headrace_control.internal_api.models import ClaimsBody
from headrace_control.internal_api.runners_only import known_runner

PATH = "/internal/claims"


class ClaimCalls:
    """ASGI middleware behind `RunnersOnly` and the limit on bodies: answers POST /internal/claims, which claims a batch
    of jobs, as the application's route of that name would. Everything else is the application's."""

    def __init__(self, app: ASGIApp, claims: Claims) -> None:
        self._app, self._claims = app, claims

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            body = _read(await request.body(), request.headers.get("content-type", ""))
            answer = json_answer(await self._claims.claim(await known_runner(request), body))
        except HeadraceError as error:
            answer = error_response(error)
        await answer(scope, receive, send)


def _read(body: bytes, content_type: str) -> ClaimsBody:
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise InvalidInput(problems_of([(("body",), "not_json")]))
    try:
        return ClaimsBody.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        raise InvalidInput(problems_of([(("body", *e["loc"]), e["type"]) for e in found])) from None
