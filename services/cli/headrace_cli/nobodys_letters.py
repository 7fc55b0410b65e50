"""`headrace dead-letters nobodys | discard-nobodys`: those that belong to no tenant, for the platform's admins."""

from typing import Annotated

import typer
from headrace.errors import InvalidInput, Problem
from headrace_control.dead_letters.model import DeadLetterStatus

from headrace_cli.client import mutation
from headrace_cli.command import Session, command
from headrace_cli.output import cells, table
from headrace_cli.page_options import After, First

_LIST = """
query Nobodys($status: DeadLetterStatus!, $first: Int!, $after: String) {
  nobodysDeadLetters(status: $status, first: $first, after: $after) {
    items { id status source reason createdAt closedAt closedReason }
    pageInfo { hasNextPage endCursor }
  }
}"""
_DISCARD = mutation(
    "$ids: [ID!], $source: String, $reason: String!",
    "discardNobodysDeadLetters(ids: $ids, ofSource: $source, reason: $reason)",
    "DiscardedDeadLetters",
    "count",
)


def add_to(group: typer.Typer) -> None:
    command(group, "nobodys")(nobodys)
    command(group, "discard-nobodys")(discard_nobodys)


async def nobodys(
    session: Session,
    status: Annotated[DeadLetterStatus, typer.Option(help="In this status.")] = DeadLetterStatus.OPEN,
    first: First = 50,
    after: After = None,
) -> None:
    """List those that belong to no tenant, newest first (admins of the platform tenant)."""
    asked = {"status": status.value, "first": first, "after": after}
    async with session.client() as client:
        found = (await client.execute(_LIST, asked))["nobodysDeadLetters"]
    session.output.result(found)
    shown = table("dead letter", "source", "since", "message", ids="dead letter")
    for letter in found["items"]:
        message = letter["closedReason"] or letter["reason"]
        shown.add_row(*cells(letter["id"], letter["source"], letter["createdAt"], message))
    session.output.show(shown)
    session.output.more(found["pageInfo"])


async def discard_nobodys(
    session: Session,
    reason: Annotated[str, typer.Option(help="Why; it is kept with each.")],
    letters: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Dead letters.")] = None,
    source: Annotated[str | None, typer.Option(help="All of a source, as `nobodys` shows it.")] = None,
) -> None:
    """Close dead letters of no tenant for good, by their ids or all of a source (admins of the platform tenant)."""
    if bool(letters) == (source is not None):
        raise InvalidInput(
            [Problem("--source", "ids or a source are needed, and not both", "give one of the two")]
        )
    asked = {"ids": letters or None, "source": source, "reason": reason}
    async with session.client() as client:
        made = (await client.execute(_DISCARD, asked))["done"]
    session.output.result(made)
    session.output.say(f"{made['count']} dead letters are discarded")
