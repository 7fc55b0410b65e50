"""The `headrace` command."""

from typing import Annotated

import typer

from headrace_cli.root import Root

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
        from importlib.metadata import version  # which takes long to import, for the other commands

        typer.echo(f"headrace {version('headrace-cli')}")
        raise typer.Exit


@app.callback()
def headrace(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Headrace runs API workflows: design them, run them on a fleet, read what happened."""


if __name__ == "__main__":
    app()
