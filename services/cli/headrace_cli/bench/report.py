"""A measurement as data: what is printed with `--json`, kept in files, compared and drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_Schema = Literal["headrace.bench/1"]


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", allow_inf_nan=False
    )


class Latency(_Model):
    """In milliseconds, of so many."""

    count: int
    p50: float
    p95: float
    p99: float


class Phase(_Model):
    """One measured time of a scenario.

    `per_second` is `count` of `unit` over `seconds`. `cpu_ms` is CPU milliseconds per one of them, by group of
    processes; `peak_memory_mb` the most memory by group; `peak_depth` the most messages ready by queue, and dispatches
    due.
    `figures` are the scenario's own, each with its unit in its name; `series` are values over time, `seconds` the
    moments of all others.
    """

    name: str
    unit: str = "run"
    count: int
    seconds: float
    per_second: float
    latency: Latency | None = None
    cpu_ms: Mapping[str, float] = Field(default_factory=dict)
    peak_memory_mb: Mapping[str, float] = Field(default_factory=dict)
    peak_depth: Mapping[str, int] = Field(default_factory=dict)
    figures: Mapping[str, float] = Field(default_factory=dict)
    series: Mapping[str, tuple[float, ...]] = Field(default_factory=dict)


class Check(_Model):
    """An independent count and what it had to be."""

    name: str
    expected: int
    found: int

    @property
    def agrees(self) -> bool:
        return self.expected == self.found


class Machine(_Model):
    """Where it was measured. `load` is the load average of the minute before: what others did to it."""

    system: str
    python: str
    cpus: int
    memory_mb: int
    load: float


class Shape(_Model):
    """How many of each service, and the settings that are not the default."""

    control_planes: int
    runners: int
    reporters: int
    settings: Mapping[str, str]


class Report(_Model):
    """One scenario, measured once, or the medians of `repeats`. `at` is ISO 8601 in UTC; `ratios` are to references."""

    schema_name: _Schema = Field(default="headrace.bench/1", alias="schema")
    scenario: str
    profile: str
    at: str
    repeats: int = 1
    machine: Machine
    shape: Shape
    sizes: Mapping[str, int]
    cold_start_seconds: Mapping[str, float]
    phases: tuple[Phase, ...]
    references: tuple[Phase, ...] = ()
    ratios: Mapping[str, float] = Field(default_factory=dict)
    checks: tuple[Check, ...]

    @property
    def wrong(self) -> list[str]:
        """The counts that do not agree, in words."""
        return [f"{c.name}: {c.found}, not {c.expected}" for c in self.checks if not c.agrees]


def write(report: Report, file: Path) -> None:
    """Write it as JSON, in a folder that is made if it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(report.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")
