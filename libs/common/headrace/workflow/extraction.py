"""Output extraction: JSONPath (RFC 9535) restricted to names, indexes, slices and wildcards.

Filters and `..` are refused when a path is compiled: their cost grows with the square of the data and worse.
A path of names and indexes gives one value, null when nothing is there; a path with a slice, a wildcard or
several selectors gives the list of what it finds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jsonpath_rfc9535 import JSONPathEnvironment, JSONPathError
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
# Values that one path looks at: selectors in one pair of brackets visit the same ones again.
MAX_VISITS = 400_000

_MEND = "Use names, indexes, slices and wildcards only, as in `$.body.items[*].id`."


class OutputTooLarge(LimitExceeded):
    """What a step's output paths find is more than a step's output may be."""

    code = "OUTPUT_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path. `single`: it finds one value at most. `first_name`: the name that it starts with, if one."""

    text: str
    single: bool
    first_name: str | None
    _segments: tuple[tuple[JSONPathSelector, ...], ...]

    def find(self, value: Json) -> Json:
        """What the path finds in `value`. Raises `LimitExceeded` above `MAX_RESULTS` values or `MAX_VISITS`."""
        found = [value]
        visits = 0
        for selectors in self._segments:
            below: list[Json] = []
            for whole in found:
                for selector in selectors:
                    visits += 1
                    for part in _select(selector, whole):
                        visits += 1
                        below.append(part)
                        if visits > MAX_VISITS:
                            raise LimitExceeded(f"a JSONPath looks at more than {MAX_VISITS} values")
            found = below
        if self.single:
            return found[0] if found else None
        if len(found) > MAX_RESULTS:
            raise LimitExceeded(f"a JSONPath finds more than {MAX_RESULTS} values")
        return found


def _select(selector: JSONPathSelector, whole: Json) -> Iterator[Json]:
    """The parts of `whole` that a selector names, in order (RFC 9535, section 2.3)."""
    match selector, whole:
        case NameSelector(name=name), dict() if name in whole:
            yield whole[name]
        case IndexSelector(index=index), list() if -len(whole) <= index < len(whole):
            yield whole[index]
        case SliceSelector(slice=bounds), list() if bounds.step != 0:
            yield from whole[bounds]
        case WildcardSelector(), list():
            yield from whole
        case WildcardSelector(), dict():
            yield from whole.values()
        case _:
            pass


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
    segments = tuple(tuple(segment.selectors) for segment in query.segments)
    return Path(text, single, name, segments)


def extract(output: Json, paths: Mapping[str, str]) -> JsonObject:
    """Each name with what its path finds in `output`. Raises as `compile_path` and `Path.find` do.

    Also raises `OutputTooLarge` when all of it, written out, is larger than `MAX_WRITTEN`: what is found shares
    structure with `output` and may hold a large part of it many times over.
    """
    made: JsonObject = {}
    for name, text in paths.items():
        made[name] = compile_path(text, name).find(output)
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
