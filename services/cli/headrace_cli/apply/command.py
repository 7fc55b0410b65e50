"""`headrace apply`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from headrace.errors import InvalidInput, Problem
from rich.markup import escape
from rich.prompt import Confirm

from headrace_cli.apply.carry_out import carry_out
from headrace_cli.apply.documents import read
from headrace_cli.apply.plan import Step, Verb, make_plan
from headrace_cli.command import Session, command
from headrace_cli.output import Output, cells, table

_STYLE = {Verb.CREATE: "green", Verb.CHANGE: "yellow", Verb.UNCHANGED: "dim"}


def add_to(app: typer.Typer) -> None:
    command(app, "apply")(apply)


async def apply(
    session: Session,
    files: Annotated[
        list[Path], typer.Option("--file", "-f", help="A YAML file, or a folder of them; may be given again.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    rotate_secrets: Annotated[
        bool, typer.Option("--rotate-secrets", help="Write secret values anew that are there already.")
    ] = False,
) -> None:
    """Make apps, actions, connections, secrets and workflows be as files say. Safe to repeat."""
    output = session.output
    declared = read(files, os.environ)
    async with session.client() as client:
        steps = await make_plan(client, declared, rotate_secrets=rotate_secrets)
        show_plan(output, steps)
        todo = [step for step in steps if step.verb is not Verb.UNCHANGED]
        applied = bool(todo) and not dry_run and _agreed(output, yes)
        if applied:
            for step in todo:
                await carry_out(client, step)
                output.say(f"[green]done[/] {step.verb} {step.declared.kind} {escape(step.declared.name)}")
    output.result(
        {
            "applied": applied,
            "steps": [
                {
                    "kind": step.declared.kind,
                    "name": step.declared.name,
                    "verb": step.verb,
                    "differences": list(step.differences),
                }
                for step in steps
            ],
        }
    )


def show_plan(output: Output, steps: Sequence[Step]) -> None:
    """What would be done with each document, and how much of each in a line."""
    shown = table("", "kind", "name", "where it differs")
    for step in steps:
        style = _STYLE[step.verb]
        shown.add_row(
            f"[{style}]{step.verb}[/]",
            *cells(step.declared.kind, step.declared.name, ", ".join(step.differences)),
        )
    output.show(shown)
    counts = {verb: sum(step.verb is verb for step in steps) for verb in Verb}
    output.say(
        ", ".join(f"{count} to {verb}" for verb, count in counts.items() if verb is not Verb.UNCHANGED)
        + f", {counts[Verb.UNCHANGED]} unchanged"
    )


def _agreed(output: Output, yes: bool) -> bool:
    if yes:
        return True
    if not output.errors.is_terminal or output.machine:
        mend = "pass --yes to apply, or --dry-run to look"
        raise InvalidInput([Problem("--yes", "nobody is here to be asked", mend)])
    return Confirm.ask("Apply this?", console=output.errors)
