"""Output extraction: JSONPath (RFC 9535) restricted to names, indexes, slices and wildcards.

Filters and `..` are refused when a path is compiled: their cost grows with the square of the data and worse.
A path of names and indexes gives one value, null when nothing is there; a path with a slice, a wildcard or
several selectors gives the list of what it finds.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from jsonpath_rfc9535 import JSONPathEnvironment, JSONPathError, JSONPathQuery
from jsonpath_rfc9535.segments import JSONPathChildSegment
from jsonpath_rfc9535.selectors import (
    IndexSelector,
    JSONPathSelector,
    NameSelector,
    SliceSelector,
    WildcardSelector,
)

from headrace.errors import InvalidInput, LimitExceeded, Problem
from headrace.json_types import Json, JsonObject

MAX_PATH_LENGTH = 512
MAX_SEGMENTS = 32
MAX_SELECTORS = 16
MAX_WILDCARDS = 4
MAX_RESULTS = 10_000
# Characters as JSON of all that the paths of one output find; a step's output has no more.
MAX_WRITTEN = 1024 * 1024
# Values that the paths of one output look at: selectors in one pair of brackets visit the same ones again.
MAX_VISITS = 400_000

Select: TypeAlias = Callable[[Json], Collection[Json]]

_MEND = "Use names, indexes, slices and wildcards only, as in `$.body.items[*].id`."


class OutputTooLarge(LimitExceeded):
    """What a step's output paths find is more than a step's output may be."""

    code = "OUTPUT_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path. `single`: it finds one value at most, at `place`. `first_name`: the name that it starts with, if
    one."""

    text: str
    single: bool
    place: tuple[str | int, ...]
    first_name: str | None
    _segments: tuple[tuple[Select, ...], ...]

    def find(self, value: Json, look: Callable[[int], None] | None = None) -> Json:
        """What the path finds in `value`; `look` is told how many values are looked at. Raises `LimitExceeded` above
        `MAX_RESULTS` values, and what `look` raises; without one, above `MAX_VISITS`."""
        look = look or _Visits().look
        found = [value]
        for selectors in self._segments:
            below: list[Json] = []
            for whole in found:
                for select in selectors:
                    parts = select(whole)
                    look(1 + len(parts))
                    below += parts
            found = below
        if self.single:
            return found[0] if found else None
        if len(found) > MAX_RESULTS:
            raise LimitExceeded(f"a JSONPath finds more than {MAX_RESULTS} values")
        return found


class _Visits:
    """The values that the paths of one output may still look at."""

    def __init__(self) -> None:
        self._left = MAX_VISITS

    def look(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise LimitExceeded(f"the JSONPaths of one output look at more than {MAX_VISITS} values")


def _select(selector: JSONPathSelector) -> Select:
    """What finds the parts of a value that a selector names, in order (RFC 9535, section 2.3)."""
    match selector:
        case NameSelector(name=name):
            return lambda whole: (whole[name],) if isinstance(whole, dict) and name in whole else ()
        case IndexSelector(index=index):
            return lambda whole: (
                (whole[index],) if isinstance(whole, list) and -len(whole) <= index < len(whole) else ()
            )
        case SliceSelector(slice=bounds) if bounds.step != 0:
            return lambda whole: whole[bounds] if isinstance(whole, list) else ()
        case WildcardSelector():
            return _all_parts
        case _:
            return lambda _whole: ()


def _all_parts(whole: Json) -> Collection[Json]:
    if isinstance(whole, dict):
        return whole.values()
    return whole if isinstance(whole, list) else ()


def compile_path(text: str, place: str = "") -> Path:
    """The path that `text` spells. Raises `InvalidInput` naming `place`."""
    if len(text) > MAX_PATH_LENGTH:
        raise _refused(place, f"a JSONPath may have {MAX_PATH_LENGTH} characters at most")
    if "?" in _outside_quotes(text):
        raise _refused(place, "a JSONPath may not hold a filter")
    try:
        query = JSONPathEnvironment().compile(text)
    except (JSONPathError, RecursionError, ValueError) as error:
        raise _refused(place, "this is no JSONPath") from error
    if len(query.segments) > MAX_SEGMENTS:
        raise _refused(place, f"a JSONPath may have {MAX_SEGMENTS} segments at most")
    many = 0
    single = True
    for segment in query.segments:
        if not isinstance(segment, JSONPathChildSegment):
            raise _refused(place, "a JSONPath may not hold `..`")
        if len(segment.selectors) > MAX_SELECTORS:
            raise _refused(place, f"a JSONPath may have {MAX_SELECTORS} selectors in one pair of brackets")
        single = single and len(segment.selectors) == 1
        for selector in segment.selectors:
            match selector:
                case NameSelector() | IndexSelector():
                    pass
                case SliceSelector() | WildcardSelector():
                    single = False
                case _:
                    raise _refused(place, "a JSONPath may not hold a filter")
        if len(segment.selectors) > 1 or isinstance(segment.selectors[0], SliceSelector | WildcardSelector):
            many += 1
    if many > MAX_WILDCARDS:
        raise _refused(place, f"a JSONPath may branch {MAX_WILDCARDS} times at most")
    first = query.segments[0].selectors if query.segments else ()
    name = first[0].name if len(first) == 1 and isinstance(first[0], NameSelector) else None
    segments = tuple(tuple(map(_select, segment.selectors)) for segment in query.segments)
    return Path(text, single, _place(query) if single else (), name, segments)


def _place(query: JSONPathQuery) -> tuple[str | int, ...]:
    """The names and indexes of a path that has nothing else."""
    selectors = (segment.selectors[0] for segment in query.segments)
    return tuple(s.name if isinstance(s, NameSelector) else s.index for s in selectors)  # type: ignore[attr-defined]


def extract(output: Json, paths: Mapping[str, str]) -> JsonObject:
    """Each name with what its path finds in `output`. Raises as `compile_path` and `Path.find` do.

    Also raises `OutputTooLarge` when all of it, written out, is larger than `MAX_WRITTEN`: what is found shares
    structure with `output` and may hold a large part of it many times over.
    """
    made: JsonObject = {}
    visits = _Visits()
    for name, text in paths.items():
        made[name] = compile_path(text, name).find(output, visits.look)
    if not _fits(made):
        raise OutputTooLarge(f"what the JSONPaths find has more than {MAX_WRITTEN} characters as JSON")
    return made


def _fits(value: Json) -> bool:
    """Whether `value` may have `MAX_WRITTEN` characters as JSON at most; looks at no more of it than that."""
    left = MAX_WRITTEN
    waiting: list[Json] = [value]
    while waiting and left >= 0:
        part = waiting.pop()
        left -= 2  # a digit, a quote or a bracket, and a comma
        match part:
            case str():
                left -= len(part)
            case list():
                left -= len(part)
                waiting.extend(part)
            case dict():
                left -= sum(map(len, part))
                waiting.extend(part.values())
            case _:
                pass
    return left >= 0


def _outside_quotes(text: str) -> str:
    kept: list[str] = []
    quote = ""
    escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif quote:
            if character == "\\":
                escaped = True
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        else:
            kept.append(character)
    return "".join(kept)


def _refused(place: str, message: str) -> InvalidInput:
    return InvalidInput([Problem(place, message, _MEND, "BAD_JSONPATH")])
