"""`GET /oauth/callback`: where a provider sends the browser back. The state in it is all that it needs to show."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from headrace_control.auth.origin import origin_of
from headrace_control.authorizations.service import AuthorizationService
from headrace_control.code_flow.answer import ProviderAnswer

CALLBACK = "/oauth/callback"


def authorization_routes(authorizations: AuthorizationService) -> APIRouter:
    """303 to the client's own address, with its state and a code or an error; what `answer` raises otherwise."""
    router = APIRouter(include_in_schema=False)

    @router.get(CALLBACK)
    async def answered(request: Request) -> Response:
        ended = await authorizations.answer(ProviderAnswer.of(request), origin_of(request))
        return ended.response()

    return router
