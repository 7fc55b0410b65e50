"""What a dry run answers: each row with its requests and where its answers came from, and what differs."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from uuid import UUID

import orjson
from headrace.json_types import Json, JsonObject
from headrace.redaction import truncate
from headrace.workflow.keys import Part, read_key
from headrace.workflow.request_diff import Request, diff_requests
from headrace.workflow.sensitive import Leaf
from headrace.workflow.state import ENDED_STEP, StepState, StepStatus

from headrace_runner.dry.calls import BuiltCall
from headrace_runner.dry.walked import Walk, WalkedRun
from headrace_runner.sensitive import Sensitive

# What is shown of one value, and of all together; what comes behind that is cut short.
VALUE_LIMIT = 16_384
SHOWN_LIMIT = 1024 * 1024
SHORT_LIMIT = 200
MAX_STEPS = 2_000
# Of all requests together.
MAX_DIFFERENCES = 2_000
INCOMPLETE = "INCOMPLETE"
_PARTS = {None: 0, Part.PROBE: 1, Part.UNDO: 2}


class _Shown:
    """Values as people see them, as long as there is room."""

    def __init__(self, tenant_id: UUID, leaves: list[Leaf]) -> None:
        self._sensitive = Sensitive(tenant_id, UUID(int=0), bytes(32))
        self._sensitive.learn(leaves)
        self._left = SHOWN_LIMIT

    def __call__(self, value: Json) -> Json:
        if value is None:
            return None
        shown = truncate(self._sensitive.hidden(value), VALUE_LIMIT if self._left > 0 else SHORT_LIMIT)
        self._left -= len(orjson.dumps(shown, default=str))
        return shown


def report(tenant_id: UUID, candidate: Walk, base: Walk | None) -> JsonObject:
    """The report on a dry run; on two, with what differs."""
    show = _Shown(tenant_id, [*candidate.leaves, *(base.leaves if base else ())])
    top = candidate.runs[""]
    status = INCOMPLETE if not top.ended else top.state.status.value
    told: JsonObject = {
        "status": status,
        "result": show(top.state.result),
        "error": top.state.error.as_json() if top.state.error and top.ended else None,
        "endedAt": top.ended_at.isoformat(),
        "problems": _problems(candidate, "the candidate" if base else None)
        + (_problems(base, "the version that it is compared with") if base else []),
        "changes": None,
    }
    if base is not None:
        told["changes"] = _changes(base, candidate, show)
    rows = _rows(candidate)
    calls: dict[str, list[BuiltCall]] = {}
    for call in candidate.book.calls:
        calls.setdefault(call.path, []).append(call)
    steps: list[Json] = [_step(one, candidate, calls, show) for one in rows[:MAX_STEPS]]
    told["steps"] = steps
    told["notShown"] = max(len(rows) - MAX_STEPS, 0)
    return told


def _rows(walk: Walk) -> list[tuple[WalkedRun, str, StepState | None]]:
    return list(_rows_at(walk, ""))


def _rows_at(walk: Walk, place: str) -> Iterator[tuple[WalkedRun, str, StepState | None]]:
    """The rows of a run in the order of its steps, each with those of its child behind it."""
    run = walk.runs[place]
    position = run.version.graph.position

    def order(row: str) -> tuple[int, int, int]:
        key = read_key(row)
        return position[key.step], -1 if key.index is None else key.index, _PARTS[key.part]

    # One that undoes another has that one's rows, which are told of there.
    begun = {row for row in run.state.steps if "." in row or not run.undoes}
    ahead = [key for key in run.version.graph.steps if key not in begun and not run.undoes]
    for row in sorted([*begun, *ahead], key=order):
        yield run, row, run.state.steps.get(row)
        if f"{place}{row}/" in walk.runs:
            yield from _rows_at(walk, f"{place}{row}/")


def _step(
    one: tuple[WalkedRun, str, StepState | None],
    walk: Walk,
    calls: Mapping[str, list[BuiltCall]],
    show: Callable[[Json], Json],
) -> JsonObject:
    run, row, state = one
    path = f"{run.place}{row}"
    key = read_key(row)
    step = run.version.graph.steps[key.step]
    source = walk.book.sources.get(path)
    requests: list[Json] = [
        {**{name: show(part) for name, part in call.parts.items()}, **call.made_by, "number": call.number}
        for call in calls.get(path, ())
    ]
    return {
        "path": path,
        "type": step.type,
        "status": _status(path, run, state, walk),
        "answeredBy": source.value if source else None,
        "requests": requests,
        "output": show(state.output) if state else None,
        "error": state.error.as_json() if state and state.error else None,
        "asks": walk.asks.get(path),
    }


def _status(path: str, run: WalkedRun, state: StepState | None, walk: Walk) -> str:
    if state is None:
        return "SKIPPED" if run.ended else "NOT_REACHED"
    if path in walk.book.missing and state.status in (StepStatus.WAITING, StepStatus.CANCELED):
        return "NO_RESPONSE"
    return state.status.value


def _problems(walk: Walk, of: str | None) -> list[Json]:
    whose = f" ({of})" if of else ""
    found: list[Json] = []

    def add(path: str, code: str, message: str, mend: str) -> None:
        found.append({"path": path, "code": code, "message": f"{message}{whose}", "mend": mend})

    for path, nothing in walk.book.missing.items():
        add(path, nothing.code, nothing.why, f"Declare a response for `{path}`.")
    for path, why in walk.unanswered.items():
        add(path, "NOT_DECLARED", why, f"Declare what `{path}` is told, or `timeout: true`.")
    for run in walk.runs.values():
        for row, state in run.state.steps.items():
            if state.status is StepStatus.UNKNOWN and not run.ended:
                mend = "Declare an answer for it, or for its probe."
                add(f"{run.place}{row}", "IN_DOUBT", "nobody would know whether this call was made", mend)
    for path, note in walk.notes[:100]:
        add(path, "WARNING", note, "Look whether this is meant.")
    if walk.exceeded:
        add(
            "",
            "TOO_LONG",
            "the walk has more steps, calls or runs than a dry run may",
            "Try a smaller input.",
        )
    return found


def _changes(base: Walk, candidate: Walk, show: Callable[[Json], Json]) -> list[Json]:
    def requests(walk: Walk) -> list[Request]:
        return [Request(call.path, call.number, call.parts) for call in walk.book.calls]

    changes: list[Json] = []
    room = MAX_DIFFERENCES
    for one in diff_requests(requests(base), requests(candidate), partial(_reached, candidate))[:MAX_STEPS]:
        told: list[Json] = [
            {"at": found.at, "before": show(found.before), "after": show(found.after)}
            for found in one.differences[:room]
        ]
        room -= len(told)
        changes.append(
            {
                "path": one.path,
                "number": one.number,
                "change": one.change.value,
                "moved": one.moved,
                "differences": told,
            }
        )
    return changes


def _reached(walk: Walk, path: str) -> bool:
    """Whether it is known that the row makes no call, or no further one: it has ended, or there is no such step."""
    parent, _, row = path.rpartition("/")
    run = walk.runs.get(f"{parent}/" if parent else "")
    if run is None:
        return _reached(walk, parent)
    if run.ended or read_key(row).step not in run.version.graph.steps:
        return True
    state = run.state.steps.get(row)
    return state is not None and state.status in ENDED_STEP
