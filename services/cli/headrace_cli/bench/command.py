"""`headrace bench`, whose commands are imported when one of them is asked for: the others start without them."""

import functools
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

_COMMANDS = "headrace_cli.bench.commands"


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        cls=_Benches, help="Measure Headrace on this machine, and count what it did.", no_args_is_help=True
    )
    app.add_typer(group, name="bench")


class _Benches(TyperGroup):
    """The commands of `headrace_cli.bench.commands`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_loaded().commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return _loaded().commands.get(cmd_name)


@functools.cache
def _loaded() -> TyperGroup:
    return get_group(import_module(_COMMANDS).benches())
