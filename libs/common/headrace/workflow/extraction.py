"""Output extraction: JSONPath (RFC 9535) restricted to names, indexes, slices and wildcards.

Filters and `..` are refused when a path is compiled: their cost grows with the square of the data and worse.
A path of names and indexes gives one value, null when nothing is there; a path with a slice, a wildcard or
several selectors gives the list of what it finds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from jsonpath_rfc9535 import JSONPathEnvironment, JSONPathError, JSONPathQuery
from jsonpath_rfc9535.segments import JSONPathChildSegment
from jsonpath_rfc9535.selectors import IndexSelector, NameSelector, SliceSelector, WildcardSelector

from headrace.errors import InvalidInput, LimitExceeded, Problem
from headrace.json_types import Json, JsonObject

MAX_PATH_LENGTH = 512
MAX_SEGMENTS = 32
MAX_SELECTORS = 16
MAX_WILDCARDS = 4
MAX_RESULTS = 10_000

_MEND = "Use names, indexes, slices and wildcards only, as in `$.body.items[*].id`."


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path. `single`: it finds one value at most. `first_name`: the name that it starts with, if one."""

    text: str
    single: bool
    first_name: str | None
    _query: JSONPathQuery

    def find(self, value: Json) -> Json:
        """What the path finds in `value`. Raises `LimitExceeded` above `MAX_RESULTS` values."""
        found: list[Json] = []
        for node in self._query.finditer(value):
            if self.single:
                return cast("Json", node.value)
            if len(found) == MAX_RESULTS:
                raise LimitExceeded(f"a JSONPath finds more than {MAX_RESULTS} values")
            found.append(cast("Json", node.value))
        return None if self.single else found


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
    return Path(text, single, name, query)


def extract(output: Json, paths: Mapping[str, str]) -> JsonObject:
    """Each name with what its path finds in `output`. Raises as `compile_path` and `Path.find` do."""
    return {name: compile_path(text, name).find(output) for name, text in paths.items()}


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
