"""`headrace connections`: how they stand, and authorizing one at its provider."""

import secrets
from enum import StrEnum
from typing import Annotated

import typer

from headrace_cli.client import mutation
from headrace_cli.command import Session, command
from headrace_cli.login.browser import brought_back
from headrace_cli.login.listener import listening
from headrace_cli.output import cells, safe, table
from headrace_cli.page_options import After, First

_FIELDS = "name status tokenError tokenTrouble authorizedBy authorizedAt authorizationEndsAt"
_LIST = (
    """
query Connections($app: String, $status: ConnectionStatus, $first: Int!, $after: String) {
  connections(app: $app, status: $status, first: $first, after: $after) {
    items { app { name } """
    + _FIELDS
    + """ } pageInfo { hasNextPage endCursor } }
}"""
)
_BEGIN = mutation(
    "$name: String!, $redirect: String!, $state: String!",
    "authorizeConnection(name: $name, redirect: $redirect, state: $state)",
    "AuthorizationBegun",
    "url",
)
_FINISH = mutation("$code: String!", "finishAuthorization(code: $code)", "Connection", _FIELDS)


class ConnectionStatus(StrEnum):
    """The control plane's, declared again: its module loads what no command needs, and the start would take longer."""

    READY = "READY"
    EXPIRING = "EXPIRING"
    FAILING = "FAILING"
    NEEDS_AUTHORIZATION = "NEEDS_AUTHORIZATION"


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        help="The tenant's connections: how they stand, and authorizing them.", no_args_is_help=True
    )
    command(group, "list")(connections)
    command(group, "authorize")(authorize)
    app.add_typer(group, name="connections")


async def connections(
    session: Session,
    app: Annotated[str | None, typer.Option(help="Of this app alone.")] = None,
    status: Annotated[ConnectionStatus | None, typer.Option(help="Of this status alone.")] = None,
    first: First = 50,
    after: After = None,
) -> None:
    """List connections, and what is wrong with them."""
    wanted = {"app": app, "status": status.value if status else None, "first": first, "after": after}
    async with session.client() as client:
        found = (await client.execute(_LIST, wanted))["connections"]
    session.output.result(found)
    shown = table("connection", "app", "status", "why", "authorized by", "ends")
    for one in found["items"]:
        why = one["tokenError"] or one["tokenTrouble"] or ""
        shown.add_row(
            *cells(
                one["name"],
                one["app"]["name"],
                one["status"],
                why,
                one["authorizedBy"] or "",
                one["authorizationEndsAt"] or "",
            )
        )
    session.output.show(shown)
    session.output.more(found["pageInfo"])


async def authorize(
    session: Session,
    name: Annotated[str, typer.Argument(help="The connection.")],
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Let a connection act for you at its app's provider: agree in the browser."""
    state = secrets.token_urlsafe(32)
    async with session.client() as client:
        async with listening(state) as listener:
            wanted = {"name": name, "redirect": listener.redirect, "state": state}
            begun = (await client.execute(_BEGIN, wanted))["done"]
            answer = await brought_back(
                session.output, listener, begun["url"], "Agree", no_browser=no_browser
            )
        done = (await client.execute(_FINISH, {"code": answer["code"]}))["done"]
    session.output.result(done)
    ends = f", until {done['authorizationEndsAt']}" if done["authorizationEndsAt"] else ""
    session.output.say(f"{safe(name)} is authorized{ends}")
