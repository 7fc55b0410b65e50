"""`/auth/login`, `/auth/callback`, `/auth/token`, `/auth/logout`.

The one cookie ties a log-in to the browser that began it, for ten minutes. It authenticates nothing: GraphQL takes no
cookie, so that no foreign page can act for anyone.
"""

import orjson
from fastapi import APIRouter, Request
from headrace.errors import InvalidInput, Problem
from headrace.json_text import read_exact
from starlette.responses import RedirectResponse, Response

from headrace_control.auth.authenticator import Authenticator
from headrace_control.auth.origin import origin_of
from headrace_control.code_flow.answer import NO_STORE, ProviderAnswer
from headrace_control.login.model import LoginWanted
from headrace_control.login.service import LOGIN_LASTS, LoginService
from headrace_control.web.parameters import single

# Of what is posted to /auth: a code, a verifier and an address.
MAX_BODY = 16 * 1024


def login_routes(login: LoginService, authenticator: Authenticator) -> APIRouter:
    """By https the cookie is bound to this very host (RFC 6265bis, 4.1.3.2)."""
    router = APIRouter(include_in_schema=False)
    tls = login.by_tls
    cookie = "__Host-headrace-login" if tls else "headrace-login"

    @router.get("/auth/login")
    async def begin(request: Request) -> Response:
        wanted = LoginWanted(
            redirect=single(request, "redirect") or "",
            challenge=single(request, "challenge") or "",
            state=single(request, "state") or "",
            tenant=single(request, "tenant"),
            invitation=single(request, "invitation"),
        )
        begun = await login.begin(wanted, origin_of(request))
        response = RedirectResponse(begun.location, 303, headers=NO_STORE)
        lasts = int(LOGIN_LASTS.total_seconds())
        response.set_cookie(
            cookie, begun.browser, max_age=lasts, path="/", secure=tls, httponly=True, samesite="lax"
        )
        return response

    @router.get("/auth/callback")
    async def finish(request: Request) -> Response:
        browser = request.cookies.get(cookie)
        ended = await login.finish(ProviderAnswer.of(request), browser, origin_of(request))
        response = ended.response()
        response.delete_cookie(cookie, path="/", secure=tls, httponly=True, samesite="lax")
        return response

    @router.post("/auth/token")
    async def exchange(request: Request) -> Response:
        code, verifier, redirect = _texts(await request.body(), "code", "verifier", "redirect")
        session = await login.exchange(code, verifier, redirect, origin_of(request))
        body = {
            "token": session.token,
            "expiresAt": session.expires_at.isoformat().replace("+00:00", "Z"),
            "tenant": session.tenant,
            "email": session.email,
            "role": session.role,
        }
        return Response(orjson.dumps(body), media_type="application/json", headers=NO_STORE)

    @router.post("/auth/logout")
    async def logout(request: Request) -> Response:
        authorization = request.headers.get("authorization")
        caller = await authenticator.caller(authorization, origin_of(request))
        await login.logout(caller, (authorization or "").partition(" ")[2].strip())
        return Response(status_code=204, headers=NO_STORE)

    return router


def _texts(body: bytes, *names: str) -> tuple[str, ...]:
    try:
        given = read_exact(body)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise InvalidInput([Problem("", "the body is no JSON object", f"send {', '.join(names)} in one")])
    if wrong := [name for name in names if not isinstance(given.get(name), str)]:
        raise InvalidInput([Problem(name, "a text is needed", "give it") for name in wrong])
    return tuple(given[name] for name in names)
