"""`headrace run rerun`: go on from where an ended run stopped, after a look at what that would do."""

from typing import Annotated, Any

import typer

from headrace_cli.client import FAILURES
from headrace_cli.command import Session, command
from headrace_cli.json_option import read_json
from headrace_cli.output import cells, safe, table
from headrace_cli.runs.view import RunId

_PREVIEW = """
query Preview($run: ID!, $how: RerunInput) {
  rerunPreview(run: $run, how: $how) { more steps { path fate type action inDoubt keepsKey itemCount } }
}"""
_RERUN = (
    """
mutation Rerun($run: ID!, $how: RerunInput, $key: String) {
  rerunRun(run: $run, how: $how, idempotencyKey: $key) { ... on Run { id status } ...Failures }
}"""
    + FAILURES
)


def add_to(group: typer.Typer) -> None:
    """`group` is `headrace run`."""
    command(group, "rerun")(rerun)


async def rerun(
    session: Session,
    run: RunId,
    steps: Annotated[
        list[str] | None,
        typer.Option(
            "--from", help="Also from this step: `pay`, `each[3]`, `ship/charge`; may be given again."
        ),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Take nothing over.")] = False,
    version: Annotated[int | None, typer.Option(help="Another version than the run's own.")] = None,
    patch: Annotated[
        str | None, typer.Option(help="Changes of the input: a JSON Merge Patch, or @FILE with one.")
    ] = None,
    repeat_in_doubt: Annotated[
        bool, typer.Option("--repeat-in-doubt", help="Make calls again that may have been made.")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show what would be done again, and start nothing.")
    ] = False,
    key: Annotated[str | None, typer.Option(help="An idempotency key: the same one, the same run.")] = None,
) -> None:
    """Start a new run that goes on from where an ended one stopped; what is done stays done."""
    how = {
        "steps": steps or [],
        "whole": whole,
        "version": version,
        "patch": None if patch is None else read_json(patch, "--patch"),
        "repeatInDoubt": repeat_in_doubt,
    }
    async with session.client() as client:
        if preview:
            found = (await client.execute(_PREVIEW, {"run": run, "how": how}))["rerunPreview"]
            _show(session, found)
            return
        started = (await client.execute(_RERUN, {"run": run, "how": how, "key": key}))["rerunRun"]
    session.output.result({"id": started["id"], "status": started["status"]})
    session.output.say(f"run {safe(started['id'])} goes on from {safe(run)}")


def _show(session: Session, found: dict[str, Any]) -> None:
    session.output.result(found)
    shown = table("step", "what", "action", "items", "key", "in doubt")
    for step in found["steps"]:
        shown.add_row(
            *cells(
                step["path"],
                _FATES[step["fate"]],
                step["action"] or step["type"],
                step["itemCount"],
                "as before" if step["keepsKey"] else "",
                "yes" if step["inDoubt"] else "",
            )
        )
    session.output.show(shown)
    if found["more"]:
        session.output.say(f"and {found['more']} more")


_FATES = {"TAKEN_OVER": "taken over", "AGAIN": "again", "AHEAD": "not begun yet"}
