"""Reports of `headrace bench` as points for the model: what a run of each phase consists of, and what it used."""

from collections.abc import Iterator, Mapping, Sequence

from headrace.errors import InvalidInput, Problem

from headrace_cli.bench.report import Phase, Report
from headrace_cli.bench.scenarios.branchy import work as branchy
from headrace_cli.bench.scenarios.fan50 import work as fan50
from headrace_cli.bench.scene import by_kind
from headrace_cli.bench.work import Work, chain3
from headrace_cli.capacity.coefficients import (
    BESIDE,
    DATABASE_KB,
    ONE_CORE,
    SERVICES,
    WAL_KB,
    Coefficients,
    Point,
    fitted,
)

_WORK: Mapping[str, Work] = {"chain3": chain3(), "fan50": fan50(), "branchy": branchy(), "slow": chain3()}
_FIGURES = {"databaseKb": DATABASE_KB, "walKb": WAL_KB}


def coefficients(reports: Sequence[Report]) -> Coefficients:
    """Fitted to bursts of `chain3`, `fan50`, `branchy`, `payload` and `park` on one process of each service; the other
    points, `slow` and those on more processes, are kept to check the model by. Raises `InvalidInput` where `chain3`,
    `fan50` and `branchy` of one machine are not there."""
    reports = [report for report in reports if report.profile == "production"]
    found = [point for report in reports for point in _points(report)]
    fitting = [point for point in found if not point.checks]
    missing = {"chain3", "fan50", "branchy"} - {point.name.partition(":")[0] for point in fitting}
    if missing:
        message = f"there is no report of {', '.join(sorted(missing))} on the production profile"
        raise InvalidInput([Problem("reports", message, "measure them by `headrace bench`")])
    names = [*SERVICES, *BESIDE, *_FIGURES.values()]
    by = {
        name: fitted([(point.features, point.used[name]) for point in fitting if name in point.used])
        for name in names
    }
    machine = reports[0].machine
    memory = _most_memory(reports)
    return Coefficients(
        machine=f"{machine.cpus} cores, {machine.system}, Python {machine.python}",
        at=min(report.at for report in reports)[:10],
        cores=machine.cpus,
        by=by,
        memory_mb={name: memory[name] for name in SERVICES if name in memory},
        points=tuple(found),
    )


def _most_memory(reports: Sequence[Report]) -> Mapping[str, float]:
    """Of one process of each kind. `runner` without a number are all of a fleet that came and went, together."""
    most: dict[str, float] = {}
    for report in reports:
        for phase in report.phases:
            for name, megabytes in phase.peak_memory_mb.items():
                kind = name.rstrip("0123456789").removesuffix("-")
                if kind != name or name not in ONE_CORE:
                    most[kind] = max(most.get(kind, 0.0), megabytes)
    return most


def _points(report: Report) -> Iterator[Point]:
    if report.scenario == "park":
        yield _waiting(report)
    for phase in report.phases:
        features, delay = _features(report, phase), 50.0 if phase.name == "slow target" else 0.0
        if features is None:
            continue
        used = {name: cpu for name, cpu in by_kind(phase.cpu_ms).items() if name in (*SERVICES, *BESIDE)}
        used |= {name: phase.figures[figure] for figure, name in _FIGURES.items() if figure in phase.figures}
        shape = report.shape
        several = max(shape.runners, shape.reporters, shape.control_planes) > 1
        layout = f" on {shape.control_planes}+{shape.runners}+{shape.reporters}" if several else ""
        yield Point(
            name=f"{report.scenario}: {phase.name}{layout}",
            features=features,
            used=used,
            per_second=phase.per_second,
            delay_ms=delay,
            in_flight=int(shape.settings.get("HEADRACE_CAPACITY", 200)),
            runners=shape.runners,
            reporters=shape.reporters,
            control_planes=shape.control_planes,
            checks=several or report.scenario == "slow",
        )


def _waiting(report: Report) -> Point:
    """A run that waits for days and ends: what it cost to park and to resume it."""
    phases = [by_kind(phase.cpu_ms) for phase in report.phases if phase.name in ("park", "resume")]
    used = {name: sum(phase.get(name, 0.0) for phase in phases) for name in SERVICES}
    return Point(
        name="park: a wait of ten days",
        features={"run": 1, "step": 1, "wait": 1},
        used={name: cpu for name, cpu in used.items() if cpu},
        per_second=0,
    )


def _features(report: Report, phase: Phase) -> Mapping[str, float] | None:
    """Of one run of a phase that is a burst; None for others."""
    if report.scenario == "payload" and phase.name.startswith("3 x "):
        return {"run": 1, "step": 3, "call": 3, "kilobyte": 3 * float(phase.name.split()[2])}
    if report.scenario in _WORK and phase.unit == "run" and "one at a time" not in phase.name:
        work = _WORK[report.scenario]
        return {"run": 1, "step": sum(work.steps.values()), "call": work.calls, "kilobyte": 0}
    return None
