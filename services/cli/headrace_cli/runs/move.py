"""`headrace run move | moves`: unfinished runs go on by another version, after a look at what that would change."""

from typing import Annotated, Any

import typer
from headrace.errors import InvalidInput, NotFound

from headrace_cli.client import FAILURES, payload_error
from headrace_cli.command import ExpectationFailed, Session, command
from headrace_cli.output import cells, safe, table
from headrace_cli.runs.view import RunId

_PREVIEW = """
query Preview($run: ID!, $version: Int!) {
  movePreview(run: $run, version: $version) {
    fits held problems { path message mend } steps { key fate type action }
    diff { truncated changes { path kind before after } } fromVersion { number } toVersion { number }
  }
}"""
_MOVE = (
    """
mutation Move($runs: [ID!]!, $version: Int!, $note: String!) {
  moveRuns(ids: $runs, version: $version, note: $note) {
    ...Failures ... on MovedRuns { items { ... on Run { id status version { number } } ...Failures } }
  }
}"""
    + FAILURES
)
_MOVES = """
query Moves($run: ID!) {
  runMoves(run: $run) { at note epoch seq actor { name } fromVersion { number } toVersion { number } }
}"""


def add_to(group: typer.Typer) -> None:
    """`group` is `headrace run`."""
    command(group, "move")(move)
    command(group, "moves")(moves)


async def move(
    session: Session,
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of unfinished runs, 200 at most.")],
    to: Annotated[int, typer.Option("--to", help="A published version of their workflow.")],
    note: Annotated[str, typer.Option(help="Why; kept with each run.")] = "",
    preview: Annotated[
        bool, typer.Option("--preview", help="Show what it would change for the first run, and move nothing.")
    ] = False,
) -> None:
    """Let runs go on by another version of their workflow; exit 1 when one of them was not moved."""
    async with session.client() as client:
        if preview:
            found = (await client.execute(_PREVIEW, {"run": runs[0], "version": to}))["movePreview"]
            _show(session, found)
            return
        done = await client.execute(_MOVE, {"runs": runs, "version": to, "note": note})
    told = [_told(run, one) for run, one in zip(runs, done["moveRuns"]["items"], strict=True)]
    for one in told:
        words = f"goes on by version {to}" if one["moved"] else "; ".join(one["why"])
        session.output.say(f"{safe(one['run'])}: {safe(words)}")
    if left := sum(not one["moved"] for one in told):
        session.output.beside_error = {"runs": told}
        raise ExpectationFailed(f"{left} of {len(told)} runs were not moved")
    session.output.result({"runs": told})


async def moves(session: Session, run: RunId) -> None:
    """Tell how a run was moved from version to version."""
    async with session.client() as client:
        found = (await client.execute(_MOVES, {"run": run}))["runMoves"]
    if found is None:
        raise NotFound("run")
    session.output.result(found)
    shown = table("at", "from", "to", "after event", "who", "why")
    for one in found:
        versions = (one["fromVersion"]["number"], one["toVersion"]["number"])
        place = f"{one['epoch']}.{one['seq']}"
        shown.add_row(*cells(one["at"], *versions, place, one["actor"]["name"], one["note"]))
    session.output.show(shown)


def _told(run: str, answer: dict[str, Any]) -> dict[str, Any]:
    error = payload_error(answer)
    match error:
        case None:
            why = []
        case InvalidInput():
            why = [f"{one.path}: {one.message}" for one in error.problems]
        case _:
            why = [error.message]
    return {"run": run, "moved": error is None, "why": why}


def _show(session: Session, found: dict[str, Any]) -> None:
    session.output.result(found)
    shown = table("step", "what", "action")
    for step in found["steps"]:
        shown.add_row(*cells(step["key"], _FATES[step["fate"]], step["action"] or step["type"]))
    session.output.show(shown)
    changed = table("place", "what", "before", "after")
    for one in found["diff"]["changes"]:
        changed.add_row(*cells(one["path"], one["kind"].lower(), one["before"], one["after"]))
    session.output.show(changed)
    for problem in found["problems"]:
        session.output.say(f"[red]{safe(problem['path'])}[/]: {safe(problem['message'])}")
    if found["held"]:
        session.output.say("a runner holds the run: pause it first")


_FATES = {
    "DONE": "done",
    "SKIPPED": "skipped",
    "UNDER_WAY": "under way",
    "AHEAD": "not begun yet",
    "NEW": "new",
    "GONE": "gone",
}
