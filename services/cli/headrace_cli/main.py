"""The `headrace` command."""

import typer

from headrace_cli import admin, doctor, logs
from headrace_cli.apply import command as apply
from headrace_cli.demo import command as demo
from headrace_cli.dev import command as dev
from headrace_cli.runs import command as runs

app = typer.Typer(
    name="headrace",
    help="Headrace runs API workflows: design them, run them on a fleet, read what happened.",
    epilog="Exit codes: 0 done, 1 a run or a check failed, 2 wrong input, 3 not found or forbidden, 4 unavailable.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (dev, demo, apply, runs, logs, admin, doctor):
    commands.add_to(app)

if __name__ == "__main__":
    app()
