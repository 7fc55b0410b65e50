"""Measured costs, as a linear model: what each service uses for a run, a step, a call, a kilobyte and a wait."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from headrace.errors import InvalidInput, Problem
from pydantic import BaseModel, ConfigDict, ValidationError

SERVICES = ("control-plane", "runner", "reporter", "postgres", "rabbitmq", "log-store")
# What stood beside them on the measured machine, and took cores from them.
BESIDE = ("target", "driver")
# A process of these keeps one core busy at most; the others spread over several.
ONE_CORE = ("control-plane", "runner", "reporter", *BESIDE)
DATABASE_KB, WAL_KB = "database KB", "WAL KB"
FEATURES = ("run", "step", "call", "kilobyte", "wait")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Costs(_Model):
    """Of one thing: for each run, each step that settles, each call, each kilobyte of an answer, each wait for days
    with its resuming. CPU in milliseconds of the measured machine's core, or kilobytes."""

    run: float = 0.0
    step: float = 0.0
    call: float = 0.0
    kilobyte: float = 0.0
    wait: float = 0.0

    def of(self, features: Mapping[str, float]) -> float:
        """For a run with so many of each."""
        return sum(float(getattr(self, name)) * count for name, count in features.items())


class Point(_Model):
    """One measured phase: `features` of one run, what it used by service, and how many there were in a second. `checks`
    says that it was kept out of the fit, to be compared with what the model says."""

    name: str
    features: Mapping[str, float]
    used: Mapping[str, float]
    per_second: float
    delay_ms: float = 0.0
    in_flight: int = 200
    runners: int = 1
    reporters: int = 1
    control_planes: int = 1
    checks: bool = False


class Coefficients(_Model):
    """`by` service, and by DATABASE_KB and WAL_KB. `cores` and `machine` are those of the measurement; `memory_mb` is
    the most that a process of a service had."""

    machine: str
    at: str
    cores: int
    by: Mapping[str, Costs]
    memory_mb: Mapping[str, float]
    points: tuple[Point, ...]

    def cpu_ms(self, features: Mapping[str, float], of: Sequence[str] = SERVICES) -> dict[str, float]:
        """What a run with so many of each feature uses, by service."""
        return {service: self.by[service].of(features) for service in of if service in self.by}


def measured() -> Coefficients:
    """Those that came with this release."""
    text = files("headrace_cli.capacity").joinpath("measured.json").read_text(encoding="utf-8")
    return Coefficients.model_validate_json(text)


def read(file: Path) -> Coefficients:
    """Those of a file that `headrace bench capacity` wrote. Raises `InvalidInput`."""
    try:
        return Coefficients.model_validate_json(file.read_bytes())
    except OSError as error:
        message = f"{file} can not be read ({error.strerror})"
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        message = f"{file}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
    raise InvalidInput([Problem("coefficients", message, "give a file that `headrace bench capacity` wrote")])


def fitted(points: Sequence[tuple[Mapping[str, float], float]]) -> Costs:
    """The costs, none below zero, that come nearest to what was used, by relative error: a run of fifty steps counts no
    more than one of three. By coordinate descent, which converges for this convex problem."""
    kept = [(features, used) for features, used in points if used > 0]
    names = [name for name in FEATURES if any(features.get(name) for features, _ in kept)]
    rows = [([features.get(name, 0.0) / used for name in names], 1.0) for features, used in kept]
    costs = [0.0] * len(names)
    for _ in range(20_000):
        moved = 0.0
        for place in range(len(names)):
            weight = sum(row[place] ** 2 for row, _ in rows)
            if not weight:
                continue
            rest = sum(row[place] * (one - _dot(row, costs)) for row, one in rows)
            better = max(0.0, costs[place] + rest / weight)
            moved, costs[place] = max(moved, abs(better - costs[place])), better
        if moved < 1e-9:
            break
    return Costs(**{name: round(cost, 4) for name, cost in zip(names, costs, strict=True)})


def _dot(row: Sequence[float], costs: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(row, costs, strict=True))
