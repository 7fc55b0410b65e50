"""`headrace apply`."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from headrace.errors import HeadraceError, InvalidInput, Problem, Unavailable

from headrace_cli.apply.carry_out import carry_out
from headrace_cli.apply.documents import read
from headrace_cli.apply.plan import Step, Verb, make_plan
from headrace_cli.apply.shape import shape_problems
from headrace_cli.apply.validation import Unchecked, validate
from headrace_cli.asking import agreed
from headrace_cli.classes import class_line
from headrace_cli.client import Client
from headrace_cli.command import Interrupted, Session, command
from headrace_cli.output import Output, cells, safe, table

_STYLE = {Verb.CREATE: "green", Verb.CHANGE: "yellow", Verb.UNCHANGED: "dim"}


def add_to(app: typer.Typer) -> None:
    command(app, "apply")(apply)


async def apply(
    session: Session,
    files: Annotated[
        list[Path], typer.Option("--file", "-f", help="A YAML file, or a folder of them; may be given again.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, show the plan and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    rotate_secrets: Annotated[
        bool, typer.Option("--rotate-secrets", help="Write secret values anew that are there already.")
    ] = False,
    waive: Annotated[
        str | None,
        typer.Option(
            help="Why long-lived workflows are published that lack compensation or idempotency; for admins."
        ),
    ] = None,
) -> None:
    """Make what files declare, from apps and actions to workflows and schedules, be as they say. Safe to repeat."""
    output = session.output
    declared = read(files, os.environ, shape_problems)
    async with session.client() as client:
        steps = await make_plan(client, declared, rotate_secrets=rotate_secrets)
        show_plan(output, steps)
        validated = await validate(client, steps, waive)
        for name, found in validated.classes.items():
            output.say(f"Workflow {safe(name)} is {class_line(found)}")
        for one in validated.unchecked:
            _say_unchecked(output, one)
        todo = [step for step in steps if step.verb is not Verb.UNCHANGED]
        applied = bool(todo) and not dry_run and _agreed(output, yes)
        notices = await _apply_all(client, output, todo, waive) if applied else validated.notices
        _say_notices(output, notices)
    output.result(
        {
            "applied": applied,
            "steps": [{**_named(step), "differences": list(step.differences)} for step in steps],
            "unchecked": [one.declared.name for one in validated.unchecked],
            "notices": list(notices),
            "classes": {name: found["class"] for name, found in validated.classes.items()},
        }
    )


async def _apply_all(client: Client, output: Output, todo: Sequence[Step], waiver: str | None) -> list[str]:
    """Carry the steps out in turn, and tell what is worth knowing of them. When one fails, or its answer is lost, or
    somebody interrupts, those that are done stay done, and it is said which."""
    notices: list[str] = []
    for count, step in enumerate(todo):
        try:
            notices += await carry_out(client, step, waiver)
        except Unavailable:
            _say_stopped(output, todo, count, notices, in_doubt=True)
            raise
        except asyncio.CancelledError:
            _say_stopped(output, todo, count, notices, in_doubt=True)
            raise Interrupted("not everything was applied") from None
        except HeadraceError:
            _say_stopped(output, todo, count, notices, in_doubt=False)
            raise
        output.say(f"[green]done[/] {_words(step)}")
    return notices


def _say_notices(output: Output, notices: Sequence[str]) -> None:
    for notice in notices:
        output.say(f"[yellow]note[/] {safe(notice)}")


def _say_stopped(
    output: Output, todo: Sequence[Step], count: int, notices: Sequence[str], *, in_doubt: bool
) -> None:
    """So many are done, and the next was not, or may have been. What is worth knowing of those that are done is told
    now or never: the next time they are unchanged."""
    _say_notices(output, notices)
    done, left = todo[:count], todo[count + in_doubt :]
    output.beside_error = {
        "applied": [_named(one) for one in done],
        "notApplied": [_named(one) for one in left],
        "notices": list(notices),
    }
    if in_doubt:
        output.beside_error["inDoubt"] = _named(todo[count])
        output.say(f"[yellow]in doubt[/] {_words(todo[count])}: it may be done")
    for one in left:
        output.say(f"[red]not done[/] {_words(one)}")
    output.say(
        f"{len(done)} of {len(todo)} applied; what is done stays, and applying again goes on from here"
    )


def _named(step: Step) -> dict[str, str]:
    return {"kind": step.declared.kind, "name": step.declared.name, "verb": step.verb}


def _words(step: Step) -> str:
    return f"{step.verb} {step.declared.kind} {safe(step.declared.name)}"


def _say_unchecked(output: Output, one: Unchecked) -> None:
    uses = safe(", ".join(one.uses))
    output.say(f"Workflow {safe(one.declared.name)} is checked when it is applied, after {uses}")


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
    return agreed(output, "Apply this?")
