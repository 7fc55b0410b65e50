"""The page of capacity in the docs: its text, with the measured coefficients, the checks of the model and examples."""

from collections.abc import Iterator
from importlib.resources import files

from headrace_cli.capacity.coefficients import BESIDE, FEATURES, SERVICES, Coefficients, Point
from headrace_cli.capacity.needs import Load, Plan, plan
from headrace_cli.capacity.simulate import Site, runs_per_second

EXAMPLES = (("1 million runs a day", Load(1e6)), ("1 billion runs a day", Load(1e9)))
# Kilobytes of an answer from which on a point is told apart: the model is cruder there.
LARGE = 16.0


def page(measured: Coefficients) -> str:
    """In Markdown."""
    text = files("headrace_cli.capacity").joinpath("page.md").read_text(encoding="utf-8")
    parts = {
        "{coefficients}": _coefficients(measured),
        "{checks}": _checks(measured),
        "{verdict}": _verdict(measured),
        "{examples}": _examples(measured),
    }
    for name, lines in parts.items():
        text = text.replace(name, "\n".join(lines))
    return text


def simulated(point: Point, measured: Coefficients) -> float:
    """Runs a second that the model has for what was measured at `point`."""
    processes = {
        "control-plane": point.control_planes,
        "runner": point.runners,
        "reporter": point.reporters,
    }
    site = Site(measured.cores, processes, point.in_flight)
    return runs_per_second(
        measured.cpu_ms(point.features, (*SERVICES, *BESIDE)), _in_a_row(point), point.delay_ms, site
    )


def _in_a_row(point: Point) -> int:
    """Calls that are made one after another."""
    return 1 if point.name.startswith("fan50") else int(point.features["call"])


def _coefficients(measured: Coefficients) -> Iterator[str]:
    yield f"Measured {measured.at} on {measured.machine}, everything on it."
    yield ""
    yield f"| used by | {' | '.join(f'a {name}' for name in FEATURES)} | a process, MiB |"
    yield f"|---|{'---|' * (len(FEATURES) + 1)}"
    for name, costs in measured.by.items():
        if name in BESIDE:
            continue
        memory = f"{measured.memory_mb[name]:.0f}" if name in measured.memory_mb else ""
        unit = "ms" if name in SERVICES else "KB"
        told = " | ".join(f"{getattr(costs, feature):.3g}" for feature in FEATURES)
        yield f"| {name}, {unit} | {told} | {memory} |"


def _checks(measured: Coefficients) -> Iterator[str]:
    yield "| measured phase | runs a second | the model | model by measured | in the fit |"
    yield "|---|---|---|---|---|"
    for point in measured.points:
        if not point.per_second:
            continue
        rate = simulated(point, measured)
        ratio = rate / point.per_second
        fit = "no" if point.checks else "yes"
        yield f"| {point.name} | {point.per_second:,.1f} | {rate:,.1f} | {ratio:.2f} | {fit} |"


def _verdict(measured: Coefficients) -> Iterator[str]:
    """How far the model is off, for small answers and for large ones."""
    ratios: dict[bool, list[float]] = {False: [], True: []}
    for point in measured.points:
        if point.per_second:
            large = point.features.get("kilobyte", 0.0) >= LARGE * max(point.features["call"], 1.0)
            ratios[large].append(round(simulated(point, measured) / point.per_second, 2))
    most = max((abs(ratio - 1) for ratio in ratios[False]), default=0.0)
    yield f"With answers below {LARGE:g} KB the model is at most {most:.0%} off what was measured."
    if ratios[True]:
        yield (
            f"With larger ones it promises {min(ratios[True]):.2f} to {max(ratios[True]):.2f} times what was measured: "
            "leave that much more room there."
        )


def _examples(measured: Coefficients) -> Iterator[str]:
    for name, load in EXAMPLES:
        yield f"### {name}"
        yield ""
        yield from described(load, plan(load, measured))
        yield ""


def described(load: Load, found: Plan) -> Iterator[str]:
    """A plan as a table and a few lines."""
    yield (
        f"{load.calls:g} calls in each, answers of {load.kilobytes:g} KB from a target that takes "
        f"{load.target_ms:g} ms; the busiest minute has {load.peak:g} times the mean: "
        f"{found.runs_per_second:,.0f} runs a second, {found.in_flight:,.0f} in flight."
    )
    yield ""
    yield "| service | CPU ms a run | cores busy at the peak | processes, or cores to give |"
    yield "|---|---|---|---|"
    for need in found.needs:
        yield f"| {need.service} | {need.cpu_ms:.2f} | {need.busy:,.2f} | {need.processes:,} |"
    yield ""
    yield (
        f"{found.cores:,.1f} cores are busy at the peak; Postgres writes {found.wal_mb_per_second:,.1f} MB of WAL a "
        f"second then, and keeps {found.database_gb_per_day:,.1f} GB a day: {found.database_gb:,.0f} GB for "
        f"{load.kept_days:g} days."
    )
