"""`headrace dry-run`: walk a version, a draft or a file without calling anything; compare it with a recorded run."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from headrace_cli.client import FAILURES, Client
from headrace_cli.command import ExpectationFailed, Session, command
from headrace_cli.document_file import read_document, read_workflow
from headrace_cli.json_option import read_json
from headrace_cli.output import cells, safe, table

_START = (
    """
mutation Start($how: DryRunInput!) { startDryRun(how: $how) { ... on DryRun { id } ...Failures } }"""
    + FAILURES
)
_READ = """
query Read($id: ID!) { dryRun(id: $id) { id workflow version status recordedRun failure { code message } report {
  status result endedAt error { code message } notShown
  steps { path type status answeredBy requests output asks error { code message } }
  problems { path code message mend }
  changes { path number change moved differences } } } }"""

_LOOK_SECONDS = 0.3


def add_to(app: typer.Typer) -> None:
    command(app, "dry-run")(dry_run)


async def dry_run(
    session: Session,
    workflow: Annotated[
        str | None, typer.Argument(help="The workflow's name; with --run, its own version if left out.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="Another version than the newest published one.")
    ] = None,
    draft: Annotated[bool, typer.Option("--draft", help="The open draft.")] = False,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A document that is not published.")
    ] = None,
    input_: Annotated[
        str | None, typer.Option("--input", "-i", help="The input: JSON, or @FILE; of the run if left out.")
    ] = None,
    patch: Annotated[
        str | None, typer.Option(help="Changes of the input: a JSON Merge Patch, or @FILE with one.")
    ] = None,
    responses: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="What each call is answered: a YAML or JSON file."),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="An ended run: what it recorded answers, and requests are compared.")
    ] = None,
    same: Annotated[
        bool, typer.Option("--same", help="With --run: exit 1 when any request would differ.")
    ] = False,
) -> None:
    """Show what a run would send, without calling anything; exit 1 when the walk does not end in SUCCESS."""
    how = {
        "workflow": workflow,
        "version": version,
        "draft": draft,
        "document": None if file is None else read_workflow(file),
        "input": None if input_ is None else read_json(input_, "--input"),
        "patch": None if patch is None else read_json(patch, "--patch"),
        "responses": None if responses is None else read_document(responses),
        "run": run,
    }
    async with session.client() as client:
        found = await _walked(client, how)
    session.output.result(found)
    if found["failure"] is not None:
        raise ExpectationFailed(f"it could not be walked: {found['failure']['message']}")
    report = found["report"]
    _show(session, report)
    if report["status"] != "SUCCESS":
        raise ExpectationFailed(f"the walk ended {report['status']}")
    if same and any(one["change"] != "SAME" for one in report["changes"] or ()):
        raise ExpectationFailed("requests would differ")


async def _walked(client: Client, how: dict[str, Any]) -> dict[str, Any]:
    started = (await client.execute(_START, {"how": how}))["startDryRun"]
    while True:
        found: dict[str, Any] = (await client.execute(_READ, {"id": started["id"]}))["dryRun"]
        if found["status"] in ("DONE", "FAILED"):
            return found
        await asyncio.sleep(_LOOK_SECONDS)


def _show(session: Session, report: dict[str, Any]) -> None:
    out = session.output
    shown = table("step", "status", "answered by", "request", "body")
    for step in report["steps"]:
        first, *others = step["requests"] or [None]
        shown.add_row(*cells(step["path"], step["status"], step["answeredBy"], *_request(first)))
        for request in others:
            shown.add_row(*cells("", "", "", *_request(request)))
    out.show(shown)
    if report["notShown"]:
        out.say(f"and {report['notShown']} more")
    for step in report["steps"]:
        if step["status"] == "FAILED" and (error := step["error"]) is not None:
            out.say(f"{safe(step['path'])}: {error['code']}: {safe(error['message'])}")
    for problem in report["problems"]:
        out.say(f"{safe(problem['path'])}: {safe(problem['message'])}. {safe(problem['mend'])}")
    for change in report["changes"] or ():
        if change["change"] == "SAME":
            continue
        moved = ", in another order" if change["moved"] and change["change"] == "CHANGED" else ""
        out.say(f"{change['change']} {safe(change['path'])} (request {change['number']}){moved}")
        for one in change["differences"]:
            before, after = (orjson.dumps(one[side]).decode() for side in ("before", "after"))
            out.say(f"  {safe(one['at'])}: {safe(before)} -> {safe(after)}")
    out.say(f"the walk ended {report['status']}")


def _request(request: dict[str, Any] | None) -> tuple[str, str]:
    if request is None:
        return "", ""
    body = request["body"]
    return f"{request['method']} {request['url']}", "" if body is None else orjson.dumps(body).decode()
