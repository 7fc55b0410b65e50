"""A report, and the difference of two, as tables for people."""

from collections.abc import Callable, Mapping, Sequence

from rich.table import Table

from headrace_cli.bench.report import Phase, Report
from headrace_cli.output import Output, cells, safe, table

_ValueOf = Callable[[Phase], Mapping[str, float]]


def show(output: Output, report: Report) -> None:
    """What was measured, and what does not agree."""
    shape = report.shape
    output.say(
        f"[bold]{safe(report.scenario)}[/], {report.profile} profile: {shape.control_planes} control plane(s), "
        f"{shape.runners} runner(s), {shape.reporters} reporter(s); {report.machine.cpus} cores, "
        f"load before {report.machine.load}"
    )
    output.show(_phases(report.phases, "phase"))
    if report.references:
        output.show(_phases(report.references, "reference"))
    for title, value_of in (("CPU ms each", _cpu), ("peak MB", _memory), ("peak depth", _depth)):
        if shown := _grid(report.phases, title, value_of):
            output.show(shown)
    for name, ratio in report.ratios.items():
        output.say(f"{safe(name)}: {ratio}")
    for phase in report.phases:
        for name, value in phase.figures.items():
            output.say(f"{safe(phase.name)}: {safe(name)} {value:,}")
    agreeing = len(report.checks) - len(report.wrong)
    output.say(f"{agreeing} of {len(report.checks)} independent counts agree")
    for line in report.wrong:
        output.say(f"[red]{safe(line)}[/]")


def _phases(phases: Sequence[Phase], heading: str) -> Table:
    shown = table(heading, "count", "seconds", "a second", "p50 ms", "p95 ms", "p99 ms", "CPU ms each")
    for phase in phases:
        latency = phase.latency
        times = (latency.p50, latency.p95, latency.p99) if latency else (None, None, None)
        count = f"{phase.count:,} {phase.unit}s"
        row = (phase.name, count, phase.seconds, phase.per_second, *times, phase.cpu_ms.get("total"))
        shown.add_row(*cells(*row))
    return shown


def _grid(phases: Sequence[Phase], title: str, value_of: _ValueOf) -> Table | None:
    names = list(dict.fromkeys(name for phase in phases for name in value_of(phase)))
    if not names:
        return None
    shown = table(title, *(phase.name for phase in phases))
    for name in names:
        shown.add_row(*cells(name, *(value_of(phase).get(name) for phase in phases)))
    return shown


def _cpu(phase: Phase) -> Mapping[str, float]:
    return phase.cpu_ms


def _memory(phase: Phase) -> Mapping[str, float]:
    return phase.peak_memory_mb


def _depth(phase: Phase) -> Mapping[str, float]:
    return phase.peak_depth
