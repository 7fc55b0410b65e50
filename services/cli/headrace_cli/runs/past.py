"""`headrace run history | show`: what happened to a run, and the run as it was then."""

from datetime import datetime
from typing import Annotated, Any

import typer
from headrace.errors import InvalidInput, Problem

from headrace_cli.command import Session, command
from headrace_cli.output import cells, safe, status, table
from headrace_cli.page_options import After, First
from headrace_cli.runs.view import RunId

_HISTORY = """
query History($id: ID!, $first: Int!, $after: String) {
  runRevisions(id: $id, first: $first, after: $after) {
    items { revision at note kind step } pageInfo { hasNextPage endCursor }
  }
}"""
_SHOW = """
query Show($id: ID!, $at: RunMoment, $first: Int!, $after: String) {
  runAt(id: $id, at: $at) {
    runId revision { revision at note kind step } status waitReason error { code message } result
    messages { items { seq kind step name at } }
    steps(first: $first, after: $after) {
      items { key status attemptCount itemCount startedAt finishedAt error { code message } input output }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""


def add_to(group: typer.Typer) -> None:
    """`group` is `headrace run`."""
    command(group, "history")(history)
    command(group, "show")(show)


async def history(session: Session, run: RunId, first: First = 50, after: After = None) -> None:
    """What happened to a run, oldest first, with the revisions that `show --at` takes."""
    async with session.client() as client:
        found = (await client.execute(_HISTORY, {"id": run, "first": first, "after": after}))["runRevisions"]
    session.output.result(found)
    shown = table("revision", "at", "what happened")
    for one in found["items"]:
        shown.add_row(*cells(one["revision"], one["at"], one["note"]))
    session.output.show(shown)
    session.output.more(found["pageInfo"])


async def show(
    session: Session,
    run: RunId,
    at: Annotated[
        str | None,
        typer.Option(help="A revision as 1.7, or a time as 2030-01-31T12:00:00Z; now if not given."),
    ] = None,
    first: First = 50,
    after: After = None,
) -> None:
    """Show a run and its steps as they were after the events up to a moment."""
    variables = {"id": run, "at": _moment(at), "first": first, "after": after}
    async with session.client() as client:
        past = (await client.execute(_SHOW, variables))["runAt"]
    session.output.result(past)
    revision = past["revision"]
    session.output.say(
        f"run {safe(run)} at {revision['revision']}  {status(past['status'])}  {safe(revision['note'])}"
    )
    shown = table("step", "status", "attempts", "error")
    for step in past["steps"]["items"]:
        error = f"{step['error']['code']}: {step['error']['message']}" if step["error"] else ""
        shown.add_row(*cells(step["key"]), status(step["status"]), *cells(step["attemptCount"], error))
    session.output.show(shown)
    for message in past["messages"]["items"]:
        about = message["name"] or message["step"] or ""
        session.output.say(f"message {message['seq']}: {message['kind']} {safe(about)}, not used yet")
    session.output.more(past["steps"]["pageInfo"])


def _moment(at: str | None) -> dict[str, Any] | None:
    if at is None:
        return None
    epoch, _, seq = at.partition(".")
    if epoch.isdigit() and seq.isdigit():
        return {"revision": at}
    try:
        time = datetime.fromisoformat(at)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        mend = "write a revision as 1.7, or a time as 2030-01-31T12:00:00Z"
        raise InvalidInput([Problem("--at", "neither a revision nor a time with its offset", mend)])
    return {"time": at}
