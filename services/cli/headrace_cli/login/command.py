"""`headrace login` and `headrace logout`."""

import base64
import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import httpx
import orjson
import typer
from headrace.errors import InvalidInput, Problem, Unauthenticated, Unavailable

from headrace_cli.client import answered_error, is_local, no_headrace, sent_on_to, unreachable
from headrace_cli.command import Session, command
from headrace_cli.login.browser import brought_back
from headrace_cli.login.listener import listening
from headrace_cli.login.sessions import check_place, forget_session, keep_session
from headrace_cli.output import safe
from headrace_cli.profile import locate

_SECONDS = 30.0


def add_to(app: typer.Typer) -> None:
    command(app, "login")(login)
    command(app, "logout")(logout)


async def login(
    session: Session,
    tenant: Annotated[str | None, typer.Option(help="Whose member you are.")] = None,
    invitation: Annotated[str | None, typer.Option(help="The code that you were given, to join.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Log in, in the browser; what follows acts as you. The session is kept in the profile file."""
    if (tenant is None) == (invitation is None):
        mend = "pass one of --tenant and --invitation"
        raise InvalidInput([Problem("--tenant", "whose member are you?", mend)])
    place = locate(session.choice, os.environ, new=True)
    check_place(place)
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(32)
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    async with listening(state) as listener:
        asked = {"redirect": listener.redirect, "challenge": digest, "state": state}
        asked |= {"tenant": tenant} if tenant is not None else {"invitation": invitation or ""}
        address = f"{place.url}/auth/login?{urlencode(asked)}"
        answer = await brought_back(session.output, listener, address, "Log in", no_browser=no_browser)
        redirect = listener.redirect
    made = await _post(
        place.url, "/auth/token", json={"code": answer["code"], "verifier": verifier, "redirect": redirect}
    )
    if not all(isinstance(made.get(name), str) for name in ("token", "tenant", "email", "role")):
        raise Unavailable("what answered is no Headrace: there is no session in it")
    keep_session(place, str(made["token"]))
    shown = {name: made.get(name) for name in ("tenant", "email", "role", "expiresAt")}
    session.output.result({**shown, "url": place.url, "profile": place.name})
    session.output.say(
        f"logged in to {safe(str(made['tenant']))} as {safe(str(made['email']))}, {safe(str(made['role']))}"
    )
    if os.environ.get("HEADRACE_API_KEY"):
        session.output.say("[yellow]HEADRACE_API_KEY is set, and goes before the session[/]")


async def logout(session: Session) -> None:
    """End the session that `headrace login` began, and forget it."""
    place = locate(session.choice, os.environ)
    token = (place.stored or {}).get("session")
    if token is None or place.kept != token:
        raise InvalidInput([Problem("profile", "there is no session of this deployment in it", "")])
    # A session that the deployment does not know is over already.
    with contextlib.suppress(Unauthenticated):
        await _post(place.url, "/auth/logout", headers={"authorization": f"Bearer {token}"})
    forget_session(place)
    session.output.result({"url": place.url, "profile": place.name})
    session.output.say("logged out")


async def _post(url: str, path: str, **sent: Any) -> Mapping[str, Any]:
    """The answer's object, {} when it has none. Raises what the deployment answers, as an error of our tree."""
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, trust_env=not is_local(url)) as client:
            response = await client.post(f"{url}{path}", **sent)
    except httpx.HTTPError as error:
        raise unreachable(url, error) from error
    try:
        answer = orjson.loads(response.content or b"{}")
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict) or (response.status_code >= 300 and "errors" not in answer):
        raise no_headrace(response.status_code, sent_on_to(response))
    if "errors" in answer:
        raise answered_error(answer["errors"])
    return answer
