"""Two reports of one scenario, figure by figure."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headrace.errors import InvalidInput, Problem
from pydantic import ValidationError

from headrace_cli.bench.report import Phase, Report


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure before and after. `ratio` is after by before; None where there was nothing before."""

    place: str
    before: float
    after: float

    @property
    def ratio(self) -> float | None:
        return round(self.after / self.before, 3) if self.before else None


def read(file: Path) -> Report:
    """A report that `headrace bench --json` printed. Raises `InvalidInput`, which names what is wrong in it."""
    try:
        return Report.model_validate_json(file.read_bytes())
    except OSError as error:
        message, mend = f"{file} can not be read ({error.strerror})", "check the name"
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        message, mend = (
            f"{file}: {place}: {first['msg']}",
            "give a report that `headrace bench --json` printed",
        )
    raise InvalidInput([Problem("report", message, mend)])


def differences(before: Report, after: Report) -> list[Difference]:
    """Every figure that both have, phases and references by name. Raises `InvalidInput` for different scenarios."""
    if before.scenario != after.scenario:
        message = f"{before.scenario} and {after.scenario} are different scenarios"
        raise InvalidInput([Problem("report", message, "compare two reports of one scenario")])
    old, new = dict(_figures(before)), dict(_figures(after))
    return [Difference(place, old[place], new[place]) for place in old if place in new]


def _figures(report: Report) -> Iterator[tuple[str, float]]:
    for phase in (*report.phases, *report.references):
        yield from _of_phase(phase)
    for name, ratio in report.ratios.items():
        yield f"ratio: {name}", ratio
    for name, seconds in report.cold_start_seconds.items():
        yield f"cold start: {name}, s", seconds


def _of_phase(phase: Phase) -> Iterator[tuple[str, float]]:
    yield f"{phase.name}: {phase.unit}s a second", phase.per_second
    if phase.latency:
        yield f"{phase.name}: p50, ms", phase.latency.p50
        yield f"{phase.name}: p95, ms", phase.latency.p95
        yield f"{phase.name}: p99, ms", phase.latency.p99
    for group, used in phase.cpu_ms.items():
        yield f"{phase.name}: CPU of {group}, ms", used
    for group, megabytes in phase.peak_memory_mb.items():
        yield f"{phase.name}: memory of {group}, MB", megabytes
    for queue, most in phase.peak_depth.items():
        yield f"{phase.name}: depth of {queue}", most
    for name, value in phase.figures.items():
        yield f"{phase.name}: {name}", value
