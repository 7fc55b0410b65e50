"""What who watches the fleet sees: lines of JSON, plain lines, a table in a terminal."""

import io
import json

import pytest
from headrace_cli.fleet.runners import Ended
from headrace_cli.fleet.signals import Figures
from headrace_cli.fleet.view import Moment, View
from headrace_cli.output import Output
from rich.console import Console

FIGURES = Figures(load=12, backlog=5, oldest_seconds=1.25, runs_in_flight=7, held=6, capacity=40)
STORY = [
    Moment(FIGURES, "", 2, 0),
    Moment(FIGURES, "", 2, 0),
    Moment(None, "nobody [tells]", 2, 1),
]


def told(view: View) -> None:
    with view.open():
        for moment in STORY:
            view.moment(moment)
        view.service_said("runner-1", "has a [problem]")
        view.ended(Ended("runner-2", 0, 0.5))
        view.ended(Ended("runner-1", None, 0.0))


def test_machines_get_a_line_for_each_reading_and_event(capsys: pytest.CaptureFixture[str]) -> None:
    told(View(Output(machine=True), 4))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["moment", "moment", "moment", "said", "ended", "ended"]
    assert lines[0]["figures"] == FIGURES.model_dump()
    assert (lines[2]["figures"], lines[2]["runners"], lines[2]["draining"]) == (None, 2, 1)
    assert (lines[4]["runner"], lines[4]["status"]) == ("runner-2", 0)
    assert [line["second"] for line in lines] == sorted(line["second"] for line in lines)


def test_without_a_terminal_what_changes_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    told(View(Output(machine=False), 4))
    lines = [line.partition("  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "2 runner(s); load 12, oldest 1.2 s",
        "2 runner(s), 1 draining; nobody [tells]: the fleet stays as it is",
        "runner-1 has a [problem]",
        "runner-2 drained in 0.5 s",
        "runner-1 was not running",
    ]


def test_in_a_terminal_a_table_follows() -> None:
    output = Output(machine=False)
    output.people = Console(file=io.StringIO(), force_terminal=True, width=100)  # type: ignore[assignment]
    view = View(output, 4)
    told(view)
    assert isinstance(output.people.file, io.StringIO)
    shown = output.people.file.getvalue()
    for words in ("runners", "nobody [tells]", "has a [problem]", "drained in 0.5 s", "was not running"):
        assert words in shown
