"""The `headrace` command."""

from importlib.metadata import version
from typing import Annotated

import typer

from headrace_cli import (
    admin,
    cached_results,
    connections,
    dead_letters,
    doctor,
    dry_runs,
    hooks,
    keys,
    logs,
    policy,
    pools,
    rollouts,
    runner,
    schedules,
    tenants,
    webhooks,
    workflows,
)
from headrace_cli.apply import command as apply
from headrace_cli.audit import command as audit
from headrace_cli.bench import command as bench
from headrace_cli.capacity import command as capacity
from headrace_cli.demo import command as demo
from headrace_cli.dev import command as dev
from headrace_cli.fleet import command as fleet
from headrace_cli.login import command as login
from headrace_cli.root import Root
from headrace_cli.runs import command as runs
from headrace_cli.templates import command as templates

app = typer.Typer(
    name="headrace",
    cls=Root,
    epilog="Exit codes: 0 done, 1 a run or a check failed, 2 wrong input, 3 not found or forbidden, 4 unavailable.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"headrace {version('headrace-cli')}")
        raise typer.Exit


@app.callback()
def headrace(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Headrace runs API workflows: design them, run them on a fleet, read what happened."""


for commands in (
    dev,
    fleet,
    runner,
    demo,
    login,
    apply,
    workflows,
    templates,
    tenants,
    pools,
    runs,
    dry_runs,
    schedules,
    rollouts,
    webhooks,
    hooks,
    dead_letters,
    logs,
    audit,
    cached_results,
    connections,
    keys,
    policy,
    admin,
    doctor,
    bench,
    capacity,
):
    commands.add_to(app)

if __name__ == "__main__":
    app()
