"""A finished run as the API shows it, and all of its history, page by page."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from headrace.errors import LimitExceeded
from headrace.json_types import Json
from headrace.workflow.fold import Change
from headrace.workflow.state import EventKind, Failure, RunStatus, StepStatus

_MOST = 200
_ROW = "key status attemptCount itemCount takenFrom output error { code message }"
_RUN = (
    """
query Run($id: ID!) {
  run(id: $id) {
    id status result error { code message } parentStep parent { id } undoes
    steps { """
    + _ROW
    + """ }
  }
}"""
)
_EVENTS = """
query Events($id: ID!, $first: Int!, $after: String) {
  run(id: $id) { page: events(first: $first, after: $after) {
    items { epoch seq kind step data } pageInfo { hasNextPage endCursor }
  } }
}"""
_CHILDREN = """
query Children($id: ID!, $first: Int!, $after: String) {
  run(id: $id) { page: children(first: $first, after: $after) {
    items { id parentStep status } pageInfo { hasNextPage endCursor }
  } }
}"""
_RERUNS = """
query Reruns($id: ID!, $first: Int!, $after: String) {
  run(id: $id) { page: reruns(first: $first, after: $after) {
    items { id } pageInfo { hasNextPage endCursor }
  } }
}"""
_ITEMS = (
    """
query Items($id: ID!, $first: Int!, $after: String) {
  run(id: $id) { steps { key itemCount page: items(first: $first, after: $after) {
    items { """
    + _ROW
    + """ } pageInfo { hasNextPage endCursor }
  } } }
}"""
)


class Asks(Protocol):
    """What asks the API; `headrace_cli.client.Client` does."""

    async def execute(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class ShownRow:
    status: StepStatus
    attempts: int
    output: Json
    error: Failure | None
    items: int | None = None
    taken_from: str | None = None


@dataclass(frozen=True, slots=True)
class ShownRun:
    """`parent` is the id of the run whose row `parent_step` this one is, `undoes` that of the one that it undoes."""

    id: str
    status: RunStatus
    result: Json
    error: Failure | None
    parent: str | None
    parent_step: str | None
    rows: Mapping[str, ShownRow]
    undoes: str | None = None


@dataclass(frozen=True, slots=True)
class ChildRun:
    id: str
    step: str
    status: RunStatus


async def shown_run(api: Asks, run_id: str) -> ShownRun:
    """The run with every row, those of its loops' items too. Raises `NotFound`."""
    found = (await api.execute(_RUN, {"id": run_id}))["run"]
    rows = {row["key"]: _row(row) for row in found["steps"]}
    for step in found["steps"]:
        if step["itemCount"]:
            async for row in _items(api, run_id, step["key"]):
                rows[row["key"]] = _row(row)
    parent = found["parent"]
    return ShownRun(
        found["id"],
        RunStatus(found["status"]),
        found["result"],
        Failure.from_json(found["error"]),
        parent["id"] if parent else None,
        found["parentStep"],
        rows,
        found["undoes"],
    )


async def events_of(api: Asks, run_id: str) -> list[Change]:
    """All that happened, oldest first."""
    return [
        Change(EventKind(e["kind"].lower()), e["step"], e["data"], (e["epoch"], e["seq"]))
        async for e in paged(api, _EVENTS, run_id, lambda run: run["page"])
    ]


async def children_of(api: Asks, run_id: str) -> list[ChildRun]:
    """The runs that it has begun, the first one first."""
    return [
        ChildRun(child["id"], child["parentStep"], RunStatus(child["status"]))
        async for child in paged(api, _CHILDREN, run_id, lambda run: run["page"])
    ]


async def reruns_of(api: Asks, run_id: str) -> list[str]:
    """The runs that go on from it, the first one first."""
    return [run["id"] async for run in paged(api, _RERUNS, run_id, lambda run: run["page"])]


def _items(api: Asks, run_id: str, step: str) -> AsyncIterator[Any]:
    def page(run: Any) -> Any:
        return next(s["page"] for s in run["steps"] if s["key"] == step)

    return paged(api, _ITEMS, run_id, page)


async def paged(api: Asks, query: str, run_id: str, page: Any) -> AsyncIterator[Any]:
    """Every item of a list, in pages that are halved when the API finds one too large."""
    first, after = _MOST, None
    while True:
        try:
            run = (await api.execute(query, {"id": run_id, "first": first, "after": after}))["run"]
        except LimitExceeded:
            if first == 1:
                raise
            first //= 2
            continue
        found = page(run)
        for item in found["items"]:
            yield item
        if not found["pageInfo"]["hasNextPage"]:
            return
        after = found["pageInfo"]["endCursor"]


def _row(value: Any) -> ShownRow:
    return ShownRow(
        StepStatus(value["status"]),
        value["attemptCount"],
        value["output"],
        Failure.from_json(value["error"]),
        value["itemCount"],
        value["takenFrom"],
    )
