"""`headrace templates list | show | init`."""

from pathlib import Path
from typing import Annotated

import typer
from headrace.errors import InvalidInput, Problem
from headrace.workflow.drawing import draw

from headrace_cli.command import Session, command
from headrace_cli.output import cells, safe, table
from headrace_cli.templates.catalogue import template, templates

Name = Annotated[str, typer.Argument(metavar="TEMPLATE", help="Its name.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Workflows to start from.")
    command(group, "list", connects=False)(listed)
    command(group, "show", connects=False)(show)
    command(group, "init", connects=False)(init)
    app.add_typer(group, name="templates")


async def listed(session: Session) -> None:
    """List the templates, each with the apps that it calls."""
    found = templates()
    session.output.result(
        [{"name": one.name, "about": one.about, "apps": [*one.apps], "files": [*one.files]} for one in found]
    )
    shown = table("template", "apps", "what it does")
    for one in found:
        shown.add_row(*cells(one.name, ", ".join(one.apps), one.about))
    session.output.show(shown)


async def show(
    session: Session,
    name: Name,
    drawing: Annotated[bool, typer.Option("--draw", help="Its drawings alone, as Mermaid.")] = False,
) -> None:
    """Show what a template does, and its documents or their drawings."""
    found = template(name)
    drawn = {one.workflow: draw(one) for one in found.parsed}
    output = session.output
    output.result({"name": name, "about": found.about, "files": found.files, "drawings": drawn})
    if output.machine:
        return
    if not drawing:
        output.say(f"[bold]{safe(name)}[/]: {safe(found.about)}\n")
    for text in drawn.values() if drawing else found.documents.values():
        typer.echo(text)


async def init(
    session: Session,
    name: Name,
    into: Annotated[Path | None, typer.Option(help="The folder to write to. [default: TEMPLATE]")] = None,
) -> None:
    """Write a template's apps and workflows to a folder, to be edited and applied. Nothing is replaced."""
    found, folder = template(name), into or Path(name)
    there = [path for path in found.files if (folder / path).exists()]
    if there:
        message = f"there is {', '.join(there)} already"
        raise InvalidInput([Problem(str(folder), message, "choose another folder with --into")])
    for path, text in found.files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    session.output.result({"folder": str(folder), "files": [*found.files]})
    session.output.say(
        f"Wrote {len(found.files)} files to {safe(str(folder))}. Put your APIs into its apps, then: "
        f"[bold]headrace apply -f {safe(str(folder))}[/]"
    )
