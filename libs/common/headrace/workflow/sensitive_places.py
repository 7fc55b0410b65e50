"""Which subschemas with marks stand at the places of a value, worked out from the top down.

Many places have the same subschemas (the members that a schema does not name, the elements of a list), so what stands
below a set of subschemas is worked out once, however many places have it; and for a member that none of them names it
is one look into a dict, however many they do name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from headrace.workflow.schema_survey import SENSITIVE, Node, escape, members

# Subschemas and names that are looked at for one value; what is left then counts as marked. About 0.1 s.
MAX_WORK = 200_000


@dataclass(frozen=True, slots=True)
class Leads:
    """What leads on from one subschema to subschemas that have a mark, or lead to one: those `beside` it apply to the
    same place. `names` are all that its `properties` name, for those its `additionalProperties` do not apply to."""

    marked: bool
    beside: tuple[str, ...]
    names: frozenset[str]
    named: Mapping[str, str]
    unnamed: tuple[str, ...]
    any_member: tuple[str, ...]
    numbered: Mapping[int, str]
    any_element: tuple[str, ...]


def leads_of(pointer: str, node: Node, leading: frozenset[str]) -> Leads:
    """`leading`: the pointers of the subschemas that have a mark, or lead to one."""
    by_keyword: dict[str, list[str]] = {}
    beside: list[str] = []
    for edge in node.edges:
        if edge.target in leading:
            (by_keyword.setdefault(edge.keyword, []) if edge.down else beside).append(edge.target)

    def behind(*keywords: str) -> tuple[str, ...]:
        return tuple(target for keyword in keywords for target in by_keyword.get(keyword, ()))

    names = members(node.schema, "properties")
    properties, elements = set(behind("properties")), set(behind("prefixItems"))
    places = {name: f"{pointer}/properties/{escape(name)}" for name in names} if properties else {}
    return Leads(
        node.schema.get(SENSITIVE) is True,
        tuple(beside),
        frozenset(names),
        {name: target for name, target in places.items() if target in properties},
        behind("additionalProperties"),
        behind("patternProperties", "unevaluatedProperties"),
        {int(target.rpartition("/")[2]): target for target in elements},
        behind("items", "contains", "unevaluatedItems"),
    )


@dataclass(slots=True, eq=False)
class Place:
    """A kind of place: the subschemas that apply there. Without any, nothing below it is marked."""

    applied: frozenset[str]
    marked: bool
    names: frozenset[str] = frozenset()
    numbers: frozenset[int] = frozenset()
    below: dict[str | int | None, "Place"] = field(default_factory=dict)


_MARKED = Place(frozenset({""}), marked=True)


class Places:
    """The places of one value."""

    def __init__(self, leads: Mapping[str, Leads]) -> None:
        self._leads = leads
        self._known: dict[frozenset[str], Place] = {}
        self._work = 0

    def top(self) -> Place:
        return self._at([""])

    def below(self, place: Place, step: str | int) -> Place:
        """One level down, by a member's name or an element's index."""
        named: str | int | None = step
        if step not in (place.names if isinstance(step, str) else place.numbers):
            named = None if isinstance(step, str) else -1  # as any other member, or any other element
        found = place.below.get(named)
        if found is None:
            if self._work > MAX_WORK:
                return _MARKED
            found = place.below[named] = self._below(place, named)
        return found

    def _below(self, place: Place, step: str | int | None) -> Place:
        targets: set[str] = set()
        for pointer in place.applied:
            leads = self._leads.get(pointer)
            if leads is None:
                continue
            if isinstance(step, int):
                targets.update(leads.any_element)
                targets.update([leads.numbered[step]] if step in leads.numbered else ())
                continue
            targets.update(leads.any_member)
            if step is None or step not in leads.names:
                targets.update(leads.unnamed)
            elif step in leads.named:
                targets.add(leads.named[step])
        self._work += 1 + len(place.applied)
        return self._at(targets)

    def _at(self, pointers: Iterable[str]) -> Place:
        """The place where these apply, and those beside them."""
        found: set[str] = set()
        waiting = [*pointers]
        while waiting:
            pointer = waiting.pop()
            if pointer not in found and pointer in self._leads:
                found.add(pointer)
                waiting.extend(self._leads[pointer].beside)
        applied = frozenset(found)
        self._work += 1 + len(applied)
        place = self._known.get(applied)
        if place is None:
            place = self._known[applied] = self._place(applied)
        return place

    def _place(self, applied: frozenset[str]) -> Place:
        here = [self._leads[pointer] for pointer in applied]
        self._work += sum(len(leads.names) + len(leads.numbered) for leads in here)
        return Place(
            applied,
            any(leads.marked for leads in here),
            frozenset().union(*(leads.names for leads in here)),
            frozenset().union(*(leads.numbered for leads in here)),
        )
