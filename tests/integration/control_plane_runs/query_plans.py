"""What EXPLAIN (ANALYZE, FORMAT JSON) tells of a query."""

from collections.abc import Iterator
from typing import Any


def rows_read(plan: Any, table: str = "runs_") -> float:
    """How many rows of a table a plan has read, those that it dropped included."""
    return sum(
        float(node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * float(node["Actual Loops"])
        for node in nodes(plan)
        if node.get("Relation Name", "").startswith(table)
    )


def nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
