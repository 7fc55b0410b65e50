"""What two walks of a workflow would send, compared: which requests are new, gone, different or in another order.

Pure. A request is known by the row that makes it (`parent/child` within sub-workflows) and by its number there.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from headrace.json_types import Json, JsonObject

# Differences that are told of one request.
MAX_DIFFERENCES = 50


class Change(StrEnum):
    SAME = "SAME"
    ADDED = "ADDED"
    REMOVED = "REMOVED"
    CHANGED = "CHANGED"  # it says something else; perhaps in another order, too
    REORDERED = "REORDERED"  # it says the same, before or after others than it did
    NOT_REACHED = "NOT_REACHED"  # the walk stopped before it: nobody knows


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the row `path`, the one with this number (from 1). `parts` is all that it says."""

    path: str
    number: int
    parts: JsonObject

    @property
    def id(self) -> tuple[str, int]:
        return self.path, self.number


@dataclass(frozen=True, slots=True)
class Difference:
    """`at` is a path within the request (`body.items[0].price`); None stands for nothing being there."""

    at: str
    before: Json
    after: Json


@dataclass(frozen=True, slots=True)
class RequestChange:
    path: str
    number: int
    change: Change
    differences: tuple[Difference, ...] = ()
    moved: bool = False


def diff_requests(
    before: Sequence[Request],
    after: Sequence[Request],
    reached: Callable[[str], bool] = lambda path: True,
) -> list[RequestChange]:
    """Each request of either walk once: those of `after` in their order, then those that are gone.

    `before` and `after` are in the order of sending, each id once. Requests stay where they are when they are among the
    most that keep their order; the others are moved. `reached` tells of a row that sends nothing in `after` whether the
    walk came to it.
    """
    old = {request.id: request for request in before}
    new = {request.id for request in after}
    place = {request.id: n for n, request in enumerate(before)}
    shared = [request.id for request in after if request.id in old]
    staying = {shared[n] for n in _increasing([place[one] for one in shared])}
    changes: list[RequestChange] = []
    for request in after:
        earlier = old.get(request.id)
        if earlier is None:
            changes.append(RequestChange(request.path, request.number, Change.ADDED))
            continue
        moved = request.id not in staying
        found = tuple(differences(earlier.parts, request.parts))
        change = Change.CHANGED if found else Change.REORDERED if moved else Change.SAME
        changes.append(RequestChange(request.path, request.number, change, found, moved))
    for request in before:
        if request.id not in new:
            change = Change.REMOVED if reached(request.path) else Change.NOT_REACHED
            changes.append(RequestChange(request.path, request.number, change))
    return changes


def differences(before: Json, after: Json) -> list[Difference]:
    """Where the two differ, at most `MAX_DIFFERENCES`; none exactly when they are equal as JSON."""
    found: list[Difference] = []
    for one in _differences(before, after, ""):
        found.append(one)
        if len(found) == MAX_DIFFERENCES:
            break
    return found


def _differences(before: Json, after: Json, at: str) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            place = f"{at}.{name}" if at else name
            if name not in before or name not in after:
                yield Difference(place, before.get(name), after.get(name))
            else:
                yield from _differences(before[name], after[name], place)
    elif isinstance(before, list) and isinstance(after, list):
        for n in range(max(len(before), len(after))):
            place = f"{at}[{n}]"
            if n >= len(before) or n >= len(after):
                yield Difference(
                    place, before[n] if n < len(before) else None, after[n] if n < len(after) else None
                )
            else:
                yield from _differences(before[n], after[n], place)
    elif isinstance(before, bool) != isinstance(after, bool) or before != after:
        yield Difference(at, before, after)


def _increasing(values: Sequence[int]) -> list[int]:
    """The indexes of a longest increasing part of `values`, all different."""
    ends: list[int] = []  # of parts of each length, the index of the smallest last value
    tails: list[int] = []
    previous: list[int | None] = []
    for n, value in enumerate(values):
        length = bisect_left(tails, value)
        previous.append(ends[length - 1] if length else None)
        if length == len(ends):
            ends.append(n)
            tails.append(value)
        else:
            ends[length], tails[length] = n, value
    found: list[int] = []
    at = ends[-1] if ends else None
    while at is not None:
        found.append(at)
        at = previous[at]
    return found[::-1]
