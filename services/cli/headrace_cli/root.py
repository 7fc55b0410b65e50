"""The root of the command line: it finds the commands, and tells what is wrong with the arguments like other errors."""

import os
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, cast

from headrace.errors import InvalidInput, Problem
from typer.core import TyperGroup
from typer.exceptions import TyperException

from headrace_cli.commands import Commands
from headrace_cli.output import Output

_WRONG_USAGE = 2  # as Typer has it


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
        if standalone_mode:
            _prepare_streams(machine)
            _check_utf_8(given, machine)
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


def _prepare_streams(machine: bool) -> None:
    """See to it that nothing printed can fail for a character, nor because a stream was closed beforehand (`>&-`).

    JSON is UTF-8 (RFC 8259, section 8.1), whatever the locale is.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for the process's life
        elif mode == "w":
            encoding = "utf-8" if machine and name == "stdout" else None
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _check_utf_8(arguments: Sequence[str], machine: bool) -> None:
    """End the process when the shell handed over bytes that are no text: nothing could be made of them later."""
    for number, argument in enumerate(arguments, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            error = InvalidInput(
                [Problem("arguments", f"argument {number} is not UTF-8", "write it in UTF-8")]
            )
            Output(machine).error(error)
            sys.exit(_WRONG_USAGE)
