"""Which values of a JSON value its schema marks as sensitive: `x-sensitive: true`, at any depth.

What is marked is everything below the place, too. Where a schema leaves it open whether a subschema applies (`anyOf`,
`if`, `patternProperties`), a mark in it counts: rather too much is kept secret than too little.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from headrace.json_types import Json
from headrace.workflow.schema_survey import SENSITIVE, Edge, Node, Survey, escape, members

Leaf: TypeAlias = "tuple[str | None, Json]"
"""A text, number, boolean or null, and the name of the field that it stands in."""

# Places times subschemas that are looked at; what is left then counts as marked.
MAX_VISITS = 200_000
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


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of one schema. Holds no value."""

    _nodes: Mapping[str, Node]
    _leading: frozenset[str]  # subschemas that have a mark, or lead to one

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
        return cls(survey.nodes, frozenset(leading))

    def leaves(self, value: Json) -> Iterator[Leaf]:
        """The marked leaves of `value`."""
        visits = 0
        waiting: list[tuple[str | None, Json, frozenset[str]]] = [(None, value, self._here({""}))]
        while waiting:
            name, part, applied = waiting.pop()
            visits += 1 + len(applied)
            if not applied:
                continue
            if visits > MAX_VISITS or any(self._nodes[p].schema.get(SENSITIVE) is True for p in applied):
                yield from leaves_of(part, name)
            elif isinstance(part, dict):
                waiting += [(key, below, self._below(applied, key)) for key, below in part.items()]
            elif isinstance(part, list):
                waiting += [(name, below, self._below(applied, index)) for index, below in enumerate(part)]

    def hidden(self, value: Json, by: str) -> Json:
        """`value` with `by` in the place of each marked leaf; names of fields stay."""
        return self._hidden(value, by, self._here({""}), False)

    def _hidden(self, part: Json, by: str, applied: frozenset[str], marked: bool) -> Json:
        marked = marked or any(self._nodes[p].schema.get(SENSITIVE) is True for p in applied)
        if isinstance(part, dict):
            return {
                key: self._hidden(below, by, self._below(applied, key), marked) for key, below in part.items()
            }
        if isinstance(part, list):
            return [
                self._hidden(below, by, self._below(applied, index), marked)
                for index, below in enumerate(part)
            ]
        return by if marked else part

    def touches(self, place: Sequence[str | int]) -> bool:
        """Whether what stands at a place, given by names and indexes, may be marked, or something in it."""
        applied = self._here({""})
        for step in place:
            if any(self._nodes[p].schema.get(SENSITIVE) is True for p in applied):
                return True
            applied = self._below(applied, step)
        return bool(applied)

    def replaced(self, value: Json, put: Callable[[Json, str], Json], also: Callable[[Json], bool]) -> Json:
        """`value` with `put(part, its JSON Pointer)` in the place of each part that is marked, as a whole, and of each
        for which `also` is true. Above `MAX_REPLACED` such parts all of `value` is one."""
        visits = replaced = 0

        def walk(part: Json, applied: frozenset[str], pointer: str) -> Json:
            nonlocal visits, replaced
            visits += 1 + len(applied)
            marked = any(self._nodes[p].schema.get(SENSITIVE) is True for p in applied)
            if marked or also(part) or visits > MAX_VISITS // 10:
                replaced += 1
                return put(part, pointer) if replaced <= MAX_REPLACED else None
            if isinstance(part, dict):
                return {
                    key: walk(below, self._below(applied, key), f"{pointer}/{escape(key)}")
                    for key, below in part.items()
                }
            if isinstance(part, list):
                return [
                    walk(below, self._below(applied, index), f"{pointer}/{index}")
                    for index, below in enumerate(part)
                ]
            return part

        made = walk(value, self._here({""}), "")
        return made if replaced <= MAX_REPLACED else put(value, "")

    def _below(self, applied: frozenset[str], place: str | int) -> frozenset[str]:
        targets: set[str] = set()
        for pointer in applied:
            edges = (
                self._of_member(pointer, place) if isinstance(place, str) else self._of_item(pointer, place)
            )
            targets.update(edge.target for edge in edges)
        return self._here(targets)

    def _here(self, pointers: set[str]) -> frozenset[str]:
        """These subschemas and those that apply to the same place with them, as far as they lead to a mark."""
        found: set[str] = set()
        waiting = [*pointers]
        while waiting:
            pointer = waiting.pop()
            if pointer in self._leading and pointer not in found:
                found.add(pointer)
                waiting.extend(edge.target for edge in self._nodes[pointer].edges if not edge.down)
        return frozenset(found)

    def _of_member(self, pointer: str, key: str) -> Iterator[Edge]:
        node = self._nodes[pointer]
        for edge in node.edges:
            match edge.keyword:
                case "properties" if edge.target == f"{pointer}/properties/{escape(key)}":
                    yield edge
                case "additionalProperties" if key not in members(node.schema, "properties"):
                    yield edge
                case "patternProperties" | "unevaluatedProperties":
                    yield edge

    def _of_item(self, pointer: str, index: int) -> Iterator[Edge]:
        for edge in self._nodes[pointer].edges:
            match edge.keyword:
                case "prefixItems" if edge.target == f"{pointer}/prefixItems/{index}":
                    yield edge
                case "items" | "contains" | "unevaluatedItems":
                    yield edge


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
