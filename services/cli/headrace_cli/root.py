"""The root of the command line: it finds the commands, and tells what is wrong with the arguments like other errors."""

import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, cast

from headrace.errors import InvalidInput, Problem
from typer.core import TyperGroup
from typer.exceptions import TyperException

from headrace_cli.commands import Commands
from headrace_cli.output import Output


class Root(TyperGroup):
    """With `--json` among the arguments a usage error is JSON on standard output; else Typer's own words."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands = cast(MutableMapping[str, Any], Commands())

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        machine = standalone_mode and "--json" in given
        try:
            code = super().main(
                args, prog_name, complete_var, standalone_mode and not machine, windows_expand_args, **extra
            )
        except TyperException as error:
            if not machine:
                raise
            command = getattr(getattr(error, "ctx", None), "command_path", "headrace")
            problem = Problem("arguments", error.format_message(), f"see {command} --help")
            Output(machine=True).error(InvalidInput([problem]))
            sys.exit(error.exit_code)
        if machine:
            sys.exit(code or 0)
        return code
