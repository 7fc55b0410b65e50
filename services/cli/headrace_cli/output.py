"""What the command prints: JSON for machines on standard output, words for people."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from headrace.errors import HeadraceError, InvalidInput
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.markup import escape
from rich.table import Table
from rich.text import Text

# A terminal's own width is used; a pipe or a file has none, and 80 columns would fold every table.
_WIDTH_OF_A_FILE = 140
_ID_WIDTH = 36  # of a UUID
_WIDTH_BESIDE_IDS = 64
_ANY_WIDTH = 10_000

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


# What a terminal takes for an order (C0, DEL, C1), and what turns around the order in which text is read.
_ORDERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def safe(text: str) -> str:
    """Data in markup: none of it is markup, and all of it is one line. What a terminal would obey is written out."""
    return escape(_written_out(text).replace("\n", "\\n").replace("\t", "\\t"))


def _written_out(text: str) -> str:
    return _ORDERS.sub(lambda found: ascii(found[0])[1:-1], text)


class Output:
    """With `machine`, standard output holds JSON alone; what is meant for people goes to standard error."""

    def __init__(self, machine: bool) -> None:
        self.machine = machine
        self.beside_error: dict[str, Any] = {}
        """What stands beside `error`, for machines, should the command fail."""
        self._has_told = False
        self.people = _console(stderr=machine)
        self.errors = _console(stderr=True)

    def result(self, value: Any) -> None:
        """The command's outcome, for machines only."""
        if self.machine:
            self._has_told = True
            sys.stdout.write(_json(value) + "\n")

    def line(self, value: Any) -> None:
        """One of many outcomes, as a line of JSON, for machines only."""
        if self.machine:
            self._has_told = True
            sys.stdout.write(orjson.dumps(value).decode() + "\n")
            sys.stdout.flush()

    def say(self, text: str) -> None:
        """A sentence for people, in Rich's markup; data in it has to be `safe`."""
        self.people.print(text, highlight=False, soft_wrap=True)

    def show(self, table: Table) -> None:
        """A table for people; left out for machines."""
        if not self.machine:
            self._keep_ids(table)
            self.people.print(table, crop=False)

    def _keep_ids(self, table: Table) -> None:
        """See to it that no id is folded, nor the others beside it to nothing: a terminal wraps what is wider than
        itself. Where two of its lines hold a row as it is, nothing is folded."""
        terminal = self.people.width
        for ids in (column for column in table.columns if column.no_wrap):
            ids.min_width = max([_ID_WIDTH, *(Text.from_markup(str(cell)).cell_len for cell in ids.cells)])
            whole = self._width(table, _ANY_WIDTH)
            folded = self._width(table, max(terminal, ids.min_width + _WIDTH_BESIDE_IDS))
            table.width = whole if whole <= 2 * terminal else folded

    def _width(self, table: Table, most: int) -> int:
        return self.people.measure(table, options=self.people.options.update(width=most)).maximum

    def value(self, value: Any) -> None:
        """JSON for people, in colours; only what a terminal would obey is escaped."""
        text = json.dumps(value, indent=2, ensure_ascii=False)
        escaped = _ORDERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        self.people.print(JSONHighlighter()(escaped), soft_wrap=True)

    def more(self, page_info: Mapping[str, Any]) -> None:
        """How to see the next page, for people; nothing where there is none."""
        if page_info["hasNextPage"]:
            self.say(f"[dim]more: --after {page_info['endCursor']}[/]")

    def error(self, error: HeadraceError) -> None:
        """Say what is wrong and how to mend it, to people and, as JSON, to machines.

        These get it only where no outcome was printed: standard output holds one JSON document, and an outcome says by
        itself what is wrong with it.
        """
        problems = error.problems if isinstance(error, InvalidInput) else ()
        listed = [{"path": p.path, "message": p.message, "mend": p.mend} for p in problems]
        lines = [] if problems else [f"[red]{error.code}[/] {safe(error.message)}"]
        for problem in problems:
            lines.append(f"[red]{safe(problem.path or 'input')}[/]: {safe(problem.message)}")
            if problem.mend:
                lines.append(f"    [dim]mend:[/] {safe(problem.mend)}")
        for line in lines:
            self.errors.print(line, highlight=False, soft_wrap=True)
        # Last: a full disk may refuse this, and the words are all there is then.
        if not self._has_told:
            told = {"code": error.code, "message": error.message, "problems": listed}
            self.result({"error": told, **self.beside_error})


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONEncodeError:
        # The name of a file may be any bytes. Those that are not UTF-8 are escaped.
        return json.dumps(value, indent=2)


def table(*columns: str, ids: str = "") -> Table:
    """An empty table in the command's one style. Where it is too wide its cells are folded, but for the column `ids`:
    an id, alone or in a longer text, is there to be copied."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        if column == ids:
            made.add_column(column, no_wrap=True)
        else:
            made.add_column(column, overflow="fold")
    return made


def moment(at: datetime) -> str:
    """To the second, in UTC; where it is folded, between the day and the time."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def status(value: str) -> str:
    """A status in its colour, as markup."""
    return f"[{STATUS_STYLE.get(value, 'default')}]{safe(value)}[/]"


def cells(*values: Any) -> Sequence[str]:
    """Values as cells of a table; None is a dash."""
    return ["-" if value is None else safe(str(value)) for value in values]


class _Console(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        # Every text that is printed comes by here, also one that nobody thought to be somebody else's.
        return super().render_str(_written_out(text), **options)

    def on_broken_pipe(self) -> None:
        # Rich would end the process by itself, in the middle of what the command is doing.
        raise BrokenPipeError


def _console(stderr: bool) -> Console:
    console = _Console(stderr=stderr)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    return console
