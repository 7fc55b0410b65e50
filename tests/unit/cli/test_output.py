"""What other people's texts can do to a terminal: nothing."""

import io
import re
from pathlib import Path

import headrace_cli
import pytest
from headrace.errors import Conflict, InvalidInput, Problem
from headrace_cli import output as printed
from headrace_cli.logs import record_line
from headrace_cli.output import Output, cells, status, table

# The clipboard (OSC 52), the title, a cleared screen, C1's CSI, a bell, turned text, and a line of its own.
HOSTILE = (
    "\x1b]52;c;Y3VybA==\x1b\\ \x1b]0;owned\x07 \x1b[2J \x9b31m \u202egnp.exe\u2069 \r[bold]x[/] \nforged"
)
_OWN_STYLE = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> tuple[Output, io.StringIO]:
    written = io.StringIO()
    output = Output(machine=False)
    output.people = output.errors = printed._Console(file=written, force_terminal=True, width=400)
    return output, written


def test_texts_of_others_reach_a_terminal_written_out(terminal: tuple[Output, io.StringIO]) -> None:
    output, written = terminal
    record = {
        "at": "2026-05-04T10:30:00+00:00",
        "step": HOSTILE,
        "attempt": 1,
        "level": "INFO",
        "runId": "0198c0de",
        "message": HOSTILE,
        "context": {HOSTILE: HOSTILE},
    }
    output.say(record_line(record))
    output.say(status(HOSTILE))
    rows = table("what")
    rows.add_row(*cells(HOSTILE))
    output.show(rows)
    output.value({HOSTILE: HOSTILE})
    output.error(Conflict(HOSTILE))
    output.error(InvalidInput([Problem(HOSTILE, HOSTILE, HOSTILE)]))
    output.say(f"not made safe by its command: {HOSTILE}")
    text = _OWN_STYLE.sub("", written.getvalue())
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", text) == []
    # Of a sentence with data that nobody made safe the lines are its own.
    assert sum(line.startswith("forged") for line in text.splitlines()) == 1
    assert "\\x1b]52;c;" in text
    assert "[bold]x[/]" in text


def test_every_command_makes_data_safe_by_the_one_function() -> None:
    folder = Path(headrace_cli.__file__).parent
    others = [file.name for file in folder.rglob("*.py") if "rich.markup import" in file.read_text()]
    assert others == ["output.py"]


@pytest.mark.parametrize("before", ["", "dead_letter/"])
@pytest.mark.parametrize("width", [20, 60, 80])
def test_ids_are_never_folded_and_nothing_is_cut_off(width: int, before: str) -> None:
    written, id_ = io.StringIO(), before + "01a20943-db7b-7015-a148-463efe6b8e0b"
    output = Output(machine=False)
    output.people = printed._Console(file=written, width=width)
    rows = table("run", "workflow", "status", "error", ids="run")
    rows.add_row(*cells(id_, "refund-order-of-a-shop", "SUCCESS", "a long sentence of what was wrong"))
    output.show(rows)
    lines = written.getvalue().splitlines()
    assert any(id_ in line for line in lines)
    assert all(any(word in line for line in lines) for word in ("workflow", "status", "error", "wrong"))


def test_a_row_that_two_lines_of_the_terminal_hold_is_not_folded() -> None:
    written, id_ = io.StringIO(), "01a20943-db7b-7015-a148-463efe6b8e0b"
    output = Output(machine=False)
    output.people = printed._Console(file=written, width=80)
    rows = table("run", "workflow", "status", "created", "started by", "error", ids="run")
    row = (id_, "refund-order-of-a-shop", "SUCCESS", "2026-05-04 08:30:00Z", "kim@example.com", "HTTP_503")
    rows.add_row(*cells(*row))
    output.show(rows)
    assert written.getvalue().splitlines()[1].split("  ") == [*row]


def test_a_log_line_says_the_day_and_its_zone() -> None:
    record = {
        "at": "2026-05-04T01:30:00+02:00",
        "step": None,
        "attempt": None,
        "level": "INFO",
        "runId": "0198c0de",
        "message": "run finished",
        "context": {},
    }
    assert record_line(record).startswith("[dim]2026-05-03 23:30:00.000Z[/]")
