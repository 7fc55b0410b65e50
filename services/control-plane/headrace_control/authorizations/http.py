"""`GET /oauth/callback`: where a provider sends the browser back. The state in it is all that it needs to show."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from headrace_control.auth.origin import origin_of
from headrace_control.authorizations.model import ProviderAnswer
from headrace_control.authorizations.service import AuthorizationService, Ended
from headrace_control.web.parameters import single

CALLBACK = "/oauth/callback"
_NO_STORE = {"cache-control": "no-store", "referrer-policy": "no-referrer"}


def authorization_routes(authorizations: AuthorizationService) -> APIRouter:
    """303 to the client's own address, with its state and a code or an error; what `answer` raises otherwise."""
    router = APIRouter(include_in_schema=False)

    @router.get(CALLBACK)
    async def answered(request: Request) -> Response:
        answer = ProviderAnswer(*(single(request, name) for name in ("state", "code", "error", "iss")))
        ended = await authorizations.answer(answer, origin_of(request))
        return RedirectResponse(_back(ended), 303, headers=_NO_STORE)

    return router


def _back(ended: Ended) -> str:
    """The client's address, in the words of RFC 6749, 4.1.2; those for what failed are our own."""
    query = {"state": ended.state}
    if ended.failure is None:
        query["code"] = ended.code
    else:
        query |= {"error": ended.failure.code, "error_description": ended.failure.message}
    return f"{ended.redirect}{'&' if '?' in ended.redirect else '?'}{urlencode(query)}"
