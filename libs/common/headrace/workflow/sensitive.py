"""Which values of a JSON value its schema marks as sensitive: `x-sensitive: true`, at any depth.

What is marked is everything below the place, too. Where a schema leaves it open whether a subschema applies (`anyOf`,
`if`, `patternProperties`), a mark in it counts: rather too much is kept secret than too little.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from headrace.errors import Problem
from headrace.json_types import Json
from headrace.workflow.schema_survey import SENSITIVE, Survey, escape
from headrace.workflow.sensitive_places import Leads, Place, Places, leads_of

Leaf: TypeAlias = "tuple[str | None, Json]"
"""A text, number, boolean or null, and the name of the field that it stands in."""

# Parts that are replaced one by one.
MAX_REPLACED = 1_000


def is_marked(schema: Json) -> bool:
    """Whether there is a mark anywhere in `schema`, or in any schema within a JSON value."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if value.get(SENSITIVE) is True:
                return True
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return False


def unheeded_marks(schema: Json, path: str) -> list[Problem]:
    """NOT_SEALED, where a schema has marks of what is kept as it comes."""
    if not is_marked(schema):
        return []
    mend = "Take the mark away. Marks count in `parameters` and in the schemas of actions."
    return [Problem(path, "what is marked as `x-sensitive` here is not sealed by it", mend, "NOT_SEALED")]


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of one schema. Holds no value.

    What takes more than `MAX_WORK` to be looked at counts as marked.
    """

    _leads: Mapping[str, Leads]  # of the subschemas that have a mark, or lead to one

    @classmethod
    def of(cls, schema: Mapping[str, Json]) -> "Marks | None":
        """None when nothing is marked. `schema` has passed `check_schema`."""
        if not is_marked(dict(schema)):
            return None
        survey = Survey("")
        survey.run(schema)
        back: dict[str, list[str]] = {}
        for pointer, node in survey.nodes.items():
            for edge in node.edges:
                back.setdefault(edge.target, []).append(pointer)
        waiting = [pointer for pointer, node in survey.nodes.items() if node.schema.get(SENSITIVE) is True]
        leading: set[str] = set()
        while waiting:
            pointer = waiting.pop()
            if pointer not in leading:
                leading.add(pointer)
                waiting.extend(back.get(pointer, ()))
        known = frozenset(leading)
        return cls({pointer: leads_of(pointer, survey.nodes[pointer], known) for pointer in leading})

    def leaves(self, value: Json) -> Iterator[Leaf]:
        """The marked leaves of `value`."""
        places = Places(self._leads)
        waiting: list[tuple[str | None, Json, Place]] = [(None, value, places.top())]
        while waiting:
            name, part, place = waiting.pop()
            if place.marked:
                yield from leaves_of(part, name)
            elif not place.applied:
                continue
            elif isinstance(part, dict):
                waiting += [(key, below, places.below(place, key)) for key, below in part.items()]
            elif isinstance(part, list):
                waiting += [(name, below, places.below(place, index)) for index, below in enumerate(part)]

    def hidden(self, value: Json, by: str) -> Json:
        """`value` with `by` in the place of each marked leaf; names of fields stay."""
        places = Places(self._leads)
        return _hidden(value, places.top(), places, by)

    def touches(self, place: Sequence[str | int]) -> bool:
        """Whether what stands at a place, given by names and indexes, may be marked, or something in it."""
        places = Places(self._leads)
        at = places.top()
        for step in place:
            if at.marked:
                return True
            at = places.below(at, step)
        return bool(at.applied)

    def replaced(self, value: Json, put: Callable[[Json, str], Json], also: Callable[[Json], bool]) -> Json:
        """`value` with `put(part, its JSON Pointer)` in the place of each part that is marked, as a whole, and of each
        for which `also` is true. Above `MAX_REPLACED` such parts all of `value` is one."""
        places = Places(self._leads)
        replaced = 0

        def walk(part: Json, place: Place, pointer: str) -> Json:
            nonlocal replaced
            if place.marked or also(part):
                replaced += 1
                return put(part, pointer) if replaced <= MAX_REPLACED else None
            if isinstance(part, dict):
                return {
                    key: walk(below, places.below(place, key), f"{pointer}/{escape(key)}")
                    for key, below in part.items()
                }
            if isinstance(part, list):
                return [
                    walk(below, places.below(place, index), f"{pointer}/{index}")
                    for index, below in enumerate(part)
                ]
            return part

        made = walk(value, places.top(), "")
        return made if replaced <= MAX_REPLACED else put(value, "")


def _hidden(part: Json, place: Place, places: Places, by: str) -> Json:
    if place.marked:
        return _all_hidden(part, by)
    if isinstance(part, dict) and place.applied:
        return {key: _hidden(below, places.below(place, key), places, by) for key, below in part.items()}
    if isinstance(part, list) and place.applied:
        return [_hidden(below, places.below(place, index), places, by) for index, below in enumerate(part)]
    return part


def _all_hidden(part: Json, by: str) -> Json:
    if isinstance(part, dict):
        return {key: _all_hidden(below, by) for key, below in part.items()}
    if isinstance(part, list):
        return [_all_hidden(below, by) for below in part]
    return by


def leaves_of(value: Json, name: str | None = None) -> Iterator[Leaf]:
    """Every leaf of `value`."""
    waiting: list[tuple[str | None, Json]] = [(name, value)]
    while waiting:
        name, part = waiting.pop()
        if isinstance(part, dict):
            waiting.extend(part.items())
        elif isinstance(part, list):
            waiting.extend((name, below) for below in part)
        else:
            yield name, part
