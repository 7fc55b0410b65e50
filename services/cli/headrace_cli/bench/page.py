"""The page of benchmarks in the docs: its text, and figures and plots out of reports."""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from headrace_cli.bench.report import Phase, Report
from headrace_cli.bench.scenarios import SCENARIOS
from headrace_cli.bench.scene import OUTSIDE
from headrace_cli.bench.svg import Row, bars
from headrace_cli.bench.svg_panels import panels

_NONE = "None are kept here. `make bench`, then `make bench-page`, on a machine that has nothing else to do."
_SUM = "total"


def page(reports: Sequence[Report], plots: str = "") -> str:
    """The page in Markdown; with reports, their tables and the plots that lie in the folder `plots` beside the page."""
    text = files("headrace_cli.bench").joinpath("page.md").read_text(encoding="utf-8")
    figures = "\n".join(_figures(reports, plots)).strip() if reports else _NONE
    return text.replace("{scenarios}", _scenarios()).replace("{figures}", figures)


def plots(reports: Sequence[Report]) -> dict[str, str]:
    """The plots by file name."""
    rates: list[Row] = [(_label(r, p), {"rate": p.per_second}) for r, p in _runs(reports)]
    cpu: list[Row] = [
        (_label(r, p), {k: v for k, v in p.cpu_ms.items() if k not in OUTSIDE and k != _SUM})
        for r, p in _runs(reports)
    ]
    latency: list[Row] = [
        (f"{_label(r, p)}: {name}", {name: value})
        for r in reports
        for p in (*r.phases, *r.references)
        if p.latency and "one at a time" in p.name
        for name, value in (("p50", p.latency.p50), ("p95", p.latency.p95))
    ]
    drawn = {
        "rates.svg": ("Runs a second", rates, ""),
        "cpu.svg": ("CPU milliseconds per run, by process", cpu, "ms"),
        "latency.svg": ("One run at a time, from the call to its end", latency, "ms"),
    }
    charts = {name: bars(title, rows, unit) for name, (title, rows, unit) in drawn.items() if rows}
    return charts | {_series_file(r): _over_time(r, p) for r in reports for p in r.phases if p.series}


def _series_file(report: Report) -> str:
    return f"{report.scenario}.{report.profile}.svg"


def _over_time(report: Report, phase: Phase) -> str:
    """The fleet of a report over time."""
    series = phase.series
    return panels(
        f"{report.scenario}, {report.profile}: {phase.name} of {phase.count:,} {phase.unit}s",
        series["seconds"],
        [
            ("runners", {"runners": series["runners"], "draining": series["draining"]}),
            ("runs", {"load": series["load"], "backlog": series["backlog"]}),
            ("age of the oldest that waits, s", {"age": series["oldestSeconds"]}),
        ],
    )


def write(reports: Sequence[Report], into: Path) -> list[Path]:
    """Write the page to `into` and its plots to a folder of its name beside it; the files written."""
    folder = into.with_suffix("")
    written = {into: page(reports, folder.name)}
    written |= {folder / name: text for name, text in plots(reports).items()}
    for file, text in written.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return list(written)


def _scenarios() -> str:
    rows = ["| scenario | what is measured | full sizes |", "|---|---|---|"]
    for scenario in SCENARIOS:
        sizes = ", ".join(f"{name} {size:,}" for name, size in scenario.sizes.items())
        rows.append(f"| `{scenario.name}` | {scenario.about.removesuffix('.')} | {sizes} |")
    return "\n".join(rows)


def _figures(reports: Sequence[Report], folder: str) -> Iterator[str]:
    first = reports[0].machine
    yield (
        f"Measured on {first.cpus} cores, {first.memory_mb // 1024} GB, {first.system}, with the services, Postgres, "
        "the broker, the log store, the target and the driver all on it."
    )
    yield ""
    for name in plots(reports):
        yield f"![{name.removesuffix('.svg')}]({folder}/{name})"
    for report in reports:
        yield from _of_report(report)


def _of_report(report: Report) -> Iterator[str]:
    shape = report.shape
    facts = [
        report.at[:10],
        f"Python {report.machine.python}",
        f"{shape.control_planes} control plane(s), {shape.runners} runner(s), {shape.reporters} reporter(s)",
        ", ".join(f"{name} {size:,}" for name, size in report.sizes.items()),
        "once" if report.repeats == 1 else f"medians of {report.repeats}",
        f"load before {report.machine.load}",
        f"{len(report.checks) - len(report.wrong)} of {len(report.checks)} counts agree",
    ]
    yield ""
    yield f"### {report.scenario}, {report.profile}{_laid_out(report, ', ')}"
    yield ""
    yield "; ".join(facts) + "."
    yield ""
    yield "| phase | count | a second | p50 / p95 / p99, ms | CPU, ms each | most memory, MB |"
    yield "|---|---|---|---|---|---|"
    for phase in (*report.phases, *report.references):
        yield _row(phase)
    notes = [f"{name} {ratio}" for name, ratio in report.ratios.items()]
    notes += [
        f"{phase.name}: {name} {value:,}" for phase in report.phases for name, value in phase.figures.items()
    ]
    if notes:
        yield ""
        yield "; ".join(notes) + "."


def _row(phase: Phase) -> str:
    found = phase.latency
    times = f"{found.p50} / {found.p95} / {found.p99}" if found else ""
    cpu = ", ".join(
        f"{name} {value:g}" for name, value in sorted(phase.cpu_ms.items(), key=lambda item: -item[1])
    )
    memory = ", ".join(f"{name} {value:.0f}" for name, value in phase.peak_memory_mb.items())
    return f"| {phase.name} | {phase.count:,} {phase.unit}s | {phase.per_second:,} | {times} | {cpu} | {memory} |"


def _runs(reports: Sequence[Report]) -> Iterator[tuple[Report, Phase]]:
    """The phases that are many runs at once."""
    for report in reports:
        for phase in report.phases:
            if phase.unit == "run" and "one at a time" not in phase.name:
                yield report, phase


def _label(report: Report, phase: Phase) -> str:
    place = report.scenario if report.profile == "production" else f"{report.scenario} (embedded)"
    return f"{place}{_laid_out(report, ' by ')}: {phase.name}"


def _laid_out(report: Report, before: str) -> str:
    """How it is other than with one of each service."""
    return f"{before}{report.shape.runners} runners" if report.shape.runners > 1 else ""
