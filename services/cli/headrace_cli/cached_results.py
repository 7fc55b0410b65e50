"""`headrace cached-results`: results that stand for calls, listed by action and forgotten."""

from typing import Annotated

import typer
from headrace.errors import InvalidInput, Problem

from headrace_cli.client import FAILURES
from headrace_cli.command import Session, command
from headrace_cli.output import cells, safe, table

_LIST = "{ cachedResults { action results newestAt until } }"
_FORGET = (
    """
mutation Forget($action: String) {
  forgetCachedResults(action: $action) { ... on ForgottenResults { results } ...Failures }
}"""
    + FAILURES
)


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="Results that stand for calls.", no_args_is_help=True)
    command(group, "list")(listed)
    command(group, "forget")(forget)
    app.add_typer(group, name="cached-results")


async def listed(session: Session) -> None:
    """List the actions of which results are cached."""
    async with session.client() as client:
        found = (await client.execute(_LIST))["cachedResults"]
    session.output.result(found)
    shown = table("action", "results", "newest", "until")
    for one in found:
        shown.add_row(*cells(one["action"], one["results"], one["newestAt"], one["until"]))
    session.output.show(shown)


async def forget(
    session: Session,
    action: Annotated[str | None, typer.Argument(metavar="[APP/ACTION]", help="The action.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Of all actions.")] = False,
) -> None:
    """Have the next calls made again."""
    if (action is None) is not everything:
        words = "name one action, or give --all"
        raise InvalidInput([Problem("arguments", words, "see headrace cached-results forget --help")])
    async with session.client() as client:
        gone = (await client.execute(_FORGET, {"action": action}))["forgetCachedResults"]["results"]
    session.output.result({"results": gone})
    session.output.say(f"{gone} results of {safe(action or 'all actions')} are forgotten")
