"""`headrace workflows`: of which class a workflow is and why, and a drawing of its document."""

from pathlib import Path
from typing import Annotated, Any

import typer
from headrace.errors import NotFound
from headrace.workflow.drawing import draw
from headrace.workflow.parse import parse_document
from headrace.workflow.text import read_document_text

from headrace_cli.classes import class_line
from headrace_cli.command import ExpectationFailed, Session, command
from headrace_cli.document_file import read_workflow
from headrace_cli.output import cells, safe, table

_VERSION = """{ number status publishedAt digest note
  classification { class waiver reasons { rule step message } lacks { path message mend code } } }"""
_NEWEST = "query($name: String!) { workflow(name: $name) { published " + _VERSION + " } }"
_NUMBERED = (
    "query($name: String!, $number: Int!) { found: workflowVersion(workflow: $name, number: $number) "
    + _VERSION
    + " }"
)
_CHECK = """
query Check($document: JSON!) {
  validateWorkflow(document: $document) {
    problems { path message mend code } notices { path message code }
    classification { class reasons { rule step message } }
  }
}"""

Document = Annotated[Path, typer.Argument(metavar="FILE", help="A workflow document, in YAML or JSON.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="The class of a workflow, what it lacks, and what it looks like."
    )
    command(group, "show")(show)
    command(group, "check")(check)
    command(group, "draw", connects=False)(drawn)
    app.add_typer(group, name="workflows")


async def show(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="WORKFLOW", help="Its name.")],
    number: Annotated[int | None, typer.Option("--version", min=1, help="Not the newest one.")] = None,
) -> None:
    """Tell of which class a published version is, by which rules, and what was waived."""
    async with session.client() as client:
        if number is None:
            found = ((await client.execute(_NEWEST, {"name": name}))["workflow"] or {}).get("published")
        else:
            found = (await client.execute(_NUMBERED, {"name": name, "number": number}))["found"]
    if found is None:
        raise NotFound("workflow version")
    output = session.output
    output.result(found)
    classed = found["classification"]
    if classed is None:
        output.say(
            f"{safe(name)} version {found['number']} is a draft: headrace workflows check tells its class"
        )
        return
    output.say(f"{safe(name)} version {found['number']} is {class_line(classed)}")
    output.show(_reasons(classed))
    if classed["waiver"] is not None:
        output.say(f"[yellow]waived[/] by an admin: {safe(classed['waiver'])}")
        for lack in classed["lacks"]:
            output.say(f"  {safe(lack['path'])} {safe(lack['message'])}")


async def check(session: Session, file: Document) -> None:
    """Ask the server whether a document can be published, and of which class it would be."""
    document = read_workflow(file)
    async with session.client() as client:
        said = (await client.execute(_CHECK, {"document": document}))["validateWorkflow"]
    output = session.output
    if said["problems"]:
        output.beside_error = said
    else:
        output.result(said)
    if said["classification"] is not None:
        output.say(f"It is {class_line(said['classification'])}")
        output.show(_reasons(said["classification"]))
    for notice in said["notices"]:
        output.say(f"[yellow]note[/] {safe(notice['path'])} {safe(notice['message'])}")
    for problem in said["problems"]:
        output.say(
            f"[red]{safe(problem['code'])}[/] {safe(problem['path'])}: {safe(problem['message'])}. "
            f"{safe(problem['mend'])}"
        )
    if said["problems"]:
        raise ExpectationFailed(f"{len(said['problems'])} problems stand in the way of publishing it")


async def drawn(session: Session, file: Document) -> None:
    """Draw a document as a Mermaid flowchart, which GitHub and many editors show as a picture."""
    document = read_workflow(file)
    picture = draw(parse_document(read_document_text(document) if isinstance(document, str) else document))
    session.output.result({"mermaid": picture})
    if not session.output.machine:
        typer.echo(picture, nl=False)


def _reasons(classed: dict[str, Any]) -> Any:
    shown = table("rule", "step", "why")
    for reason in classed["reasons"]:
        shown.add_row(*cells(reason["rule"], reason["step"], reason["message"]))
    return shown
