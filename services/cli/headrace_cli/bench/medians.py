"""Several reports of one scenario as one: the medians of their figures."""

import statistics
from collections.abc import Sequence
from typing import Any

from headrace_cli.bench.report import Check, Report

# Not measured figures, or none that a median could stand for.
_KEPT = frozenset({"count", "sizes", "machine", "shape", "checks", "at", "schema", "repeats", "series"})


def median_of(reports: Sequence[Report]) -> Report:
    """Each figure is the median of the reports', by itself; all their checks are kept that do not agree."""
    if len(reports) == 1:
        return reports[0]
    merged = _merge([report.model_dump(by_alias=True) for report in reports])
    checks = _worst([report.checks for report in reports])
    found = Report.model_validate(merged)
    return found.model_copy(update={"repeats": len(reports), "checks": checks})


def _merge(values: Sequence[Any], key: str = "") -> Any:
    first = values[0]
    if key in _KEPT:
        return first
    if isinstance(first, dict):
        return {name: _merge([each[name] for each in values if name in each], name) for name in first}
    if isinstance(first, (list, tuple)):
        return [_merge(each) for each in zip(*values, strict=True)]
    if isinstance(first, (int, float)) and not isinstance(first, bool):
        middle = statistics.median(values)
        return round(middle) if isinstance(first, int) else middle
    return first


def _worst(checks: Sequence[tuple[Check, ...]]) -> tuple[Check, ...]:
    """Of each check the first that does not agree, else the last."""
    return tuple(next((c for c in same if not c.agrees), same[-1]) for same in zip(*checks, strict=True))
