"""What the command prints: JSON for machines on standard output, words for people."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from headrace.errors import HeadraceError, InvalidInput
from rich.console import Console
from rich.markup import escape
from rich.table import Table

# A terminal's own width is used; a pipe or a file has none, and 80 columns would fold every table.
_WIDTH_OF_A_FILE = 140

STATUS_STYLE = {
    "SUCCESS": "green",
    "FAILED": "red",
    "CANCELED": "yellow",
    "UNKNOWN": "magenta",
    "RUNNING": "cyan",
    "WAITING": "blue",
    "PAUSED": "blue",
    "COMPENSATING": "yellow",
    "COMPENSATED": "yellow",
    "SKIPPED": "dim",
    "QUEUED": "dim",
}


class Output:
    """With `machine`, standard output holds JSON alone; what is meant for people goes to standard error."""

    def __init__(self, machine: bool) -> None:
        self.machine = machine
        self.beside_error: dict[str, Any] = {}
        """What stands beside `error`, for machines, should the command fail."""
        self.people = _console(stderr=machine)
        self.errors = _console(stderr=True)

    def result(self, value: Any) -> None:
        """The command's outcome, for machines only."""
        if self.machine:
            sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")

    def line(self, value: Any) -> None:
        """One of many outcomes, as a line of JSON, for machines only."""
        if self.machine:
            sys.stdout.write(orjson.dumps(value).decode() + "\n")
            sys.stdout.flush()

    def say(self, text: str) -> None:
        """A sentence for people, in Rich's markup; data in it must be escaped."""
        self.people.print(text, highlight=False, soft_wrap=True)

    def show(self, table: Table) -> None:
        """A table for people; left out for machines."""
        if not self.machine:
            self.people.print(table)

    def more(self, page_info: Mapping[str, Any]) -> None:
        """How to see the next page, for people; nothing where there is none."""
        if page_info["hasNextPage"]:
            self.say(f"[dim]more: --after {page_info['endCursor']}[/]")

    def error(self, error: HeadraceError) -> None:
        """Say what is wrong and how to mend it, to people and, as JSON, to machines."""
        problems = error.problems if isinstance(error, InvalidInput) else ()
        listed = [{"path": p.path, "message": p.message, "mend": p.mend} for p in problems]
        told = {"code": error.code, "message": error.message, "problems": listed}
        self.result({"error": told, **self.beside_error})
        lines = [] if problems else [f"[red]{error.code}[/] {escape(error.message)}"]
        for problem in problems:
            lines.append(f"[red]{escape(problem.path or 'input')}[/]: {escape(problem.message)}")
            if problem.mend:
                lines.append(f"    [dim]mend:[/] {escape(problem.mend)}")
        for line in lines:
            self.errors.print(line, highlight=False, soft_wrap=True)


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table in the command's one style."""
    made = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def status(value: str) -> str:
    """A status in its colour, as markup."""
    return f"[{STATUS_STYLE.get(value, 'default')}]{escape(value)}[/]"


def cells(*values: Any) -> Sequence[str]:
    """Values as cells of a table; None is a dash."""
    return ["-" if value is None else escape(str(value)) for value in values]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would end the process by itself, in the middle of what the command is doing.
        raise BrokenPipeError


def _console(stderr: bool) -> Console:
    console = _Console(stderr=stderr)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    return console
