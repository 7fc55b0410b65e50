"""What who watches the fleet sees: a live table, plain lines where there is no terminal, or lines of JSON."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headrace_cli.fleet.runners import Ended
from headrace_cli.fleet.signals import Figures
from headrace_cli.output import Output, safe, table

_LAST_WORDS = 8


@dataclass(frozen=True, slots=True)
class Moment:
    """The fleet after a reading. `figures` is None while nobody can tell, `trouble` says why."""

    figures: Figures | None
    trouble: str
    runners: int
    draining: int


class View:
    """Shows each moment, and what happens in between."""

    def __init__(self, output: Output, maximum: int) -> None:
        self._output, self._maximum = output, maximum
        self._live: Live | None = None
        self._last: Moment | None = None
        self._words: list[str] = []
        self._began = time.monotonic()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        if self._output.machine or not self._output.people.is_terminal:
            yield
            return
        with Live(console=self._output.people, auto_refresh=False) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def moment(self, now: Moment) -> None:
        figures = now.figures.model_dump() if now.figures else None
        self._line("moment", figures=figures, runners=now.runners, draining=now.draining)
        before, self._last = self._last, now
        if self._live is not None:
            self._draw(self._live)
        elif before is None or _changes(before) != _changes(now):
            self._output.say(f"{_clock()}  {_summary(now)}")

    def ended(self, ended: Ended) -> None:
        self._line("ended", **asdict(ended))
        match ended.status:
            case 0:
                how = f"drained in {ended.seconds:.1f} s"
            case None:
                how = "was not running"
            case status:
                how = f"ended with {status} after {ended.seconds:.1f} s"
        self._say(f"{_clock()}  {ended.runner} {how}")

    def service_said(self, runner: str, text: str) -> None:
        """A warning of a runner, or of who keeps it running."""
        self._line("said", runner=runner, text=text)
        self._say(f"{_clock()}  [yellow]{safe(runner)}[/] {safe(text)}")

    def _line(self, event: str, **told: Any) -> None:
        second = round(time.monotonic() - self._began, 3)
        self._output.line({"at": datetime.now(UTC).isoformat(), "second": second, "event": event, **told})

    def _say(self, line: str) -> None:
        if self._live is None:
            self._output.say(line)
        else:
            self._words = [*self._words, line][-_LAST_WORDS:]
            self._draw(self._live)

    def _draw(self, live: Live) -> None:
        lines = [f"[yellow]{safe(self._last.trouble)}[/]"] if self._last and self._last.trouble else []
        shown = [Text.from_markup(line) for line in [*lines, *self._words]]
        live.update(Group(*([self._table(self._last)] if self._last else []), *shown), refresh=True)

    def _table(self, now: Moment) -> Table:
        shown = table("runners", "draining", "load", "backlog", "oldest", "in flight", "held")
        found = now.figures
        shown.add_row(
            f"{now.runners} [dim]of {self._maximum}[/]",
            str(now.draining),
            *(
                (
                    str(found.load),
                    str(found.backlog),
                    f"{found.oldest_seconds:.1f} s",
                    str(found.runs_in_flight),
                    f"{found.held} [dim]of {found.capacity}[/]",
                )
                if found
                else ("-",) * 5
            ),
        )
        return shown


def _changes(moment: Moment) -> tuple[int, int, str]:
    """What is worth a line of its own when it is another."""
    return moment.runners, moment.draining, moment.trouble


def _summary(now: Moment) -> str:
    runners = f"{now.runners} runner(s)" + (f", {now.draining} draining" if now.draining else "")
    if now.figures is None:
        return f"{runners}; [yellow]{safe(now.trouble)}[/]: the fleet stays as it is"
    return f"{runners}; load {now.figures.load}, oldest {now.figures.oldest_seconds:.1f} s"


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
