"""Who did what a run may have to undo: what undoes a step sees what the step saw, not what the run sees by now."""

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.json_types import Json
from headrace.records import record


@record
class Doer:
    """A run, as what undoes its steps sees it. `callbacks` are the addresses of its `signal` steps, by their keys."""

    run_id: UUID
    input: Json = field(repr=False)
    started_at: datetime
    callbacks: Mapping[str, str] = field(repr=False, default_factory=dict)


def read_doers(
    given: Mapping[str, Any], own_input: Json, opened: Callable[[Json], Json]
) -> Mapping[str, Doer | None]:
    """Of the rows that another run did, who did them, by row key; None where that run is not kept any more.

    What an answer to a claim does not tell of is taken for the run's own: it can not be undone, or the control plane
    is of the release before. `opened` gives an input as it was before it was sealed.
    """
    told: Mapping[str, Any] = given.get("doers") or {}
    doers = {run_id: one and _doer(run_id, one, own_input, opened) for run_id, one in told.items()}
    found: dict[str, Doer | None] = {}
    for row in given["steps"] if doers else ():
        did = row["taken_from"] or given["undoes"]
        if did in doers and "." not in row["key"]:
            found[row["key"]] = doers[did]
    return found


def _doer(run_id: str, one: Mapping[str, Any], own_input: Json, opened: Callable[[Json], Json]) -> Doer:
    return Doer(
        UUID(run_id),
        opened(one["input"]) if "input" in one else own_input,
        datetime.fromisoformat(one["started_at"] or one["created_at"]),
        one.get("callbacks") or {},
    )
