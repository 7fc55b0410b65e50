"""What is different between two versions, as a list that reads well and does not depend on chance.

Steps are compared by key and edges by their ends, so that one step put in the middle is one change. Objects are
compared name by name, lists as a whole. Changes are sorted by the place in the document: its own names first in
the order in which designers write them, then by path.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from headrace.errors import InvalidInput
from headrace.json_types import Json, JsonObject
from headrace.workflow.document import EdgeOn
from headrace.workflow.dump import dump_document
from headrace.workflow.parse import parse_document
from headrace.workflow.paths import at_name
from headrace.workflow.values import same

from headrace_control.workflows.model import Change, ChangeKind, VersionDocuments

_PLACES = ("parameters", "env", "steps", "edges", "result", "timeoutMs", "actions", "connections", "children")


MAX_CHANGES = 1000


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """At most `MAX_CHANGES` changes; `truncated` says that there are more."""

    changes: Sequence[Change]
    truncated: bool


def diff_versions(before: VersionDocuments, after: VersionDocuments) -> VersionDiff:
    """What makes `after` out of `before`. What is written differently and means the same is no change."""
    changes = list(islice(_changes(_comparable(before), _comparable(after)), MAX_CHANGES + 1))
    return VersionDiff(changes[:MAX_CHANGES], len(changes) > MAX_CHANGES)


def _changes(before: JsonObject, after: JsonObject) -> Iterator[Change]:
    names = [*_PLACES, *sorted((before.keys() | after.keys()) - set(_PLACES))]
    for name in names:
        yield from _member(before, after, name, name)


def _comparable(version: VersionDocuments) -> JsonObject:
    """A version as objects all through: steps by key, edges by ends; of a published one, also what is pinned."""
    shown = dict(_canonical(version.document))
    if isinstance(steps := shown.get("steps"), list):
        shown["steps"] = _steps(steps)
    if isinstance(edges := shown.get("edges"), list):
        shown["edges"] = _edges(edges)
    if isinstance(version.resolved, dict):
        actions, connections = version.resolved.get("actions"), version.resolved.get("connections")
        if isinstance(actions, dict):
            shown["actions"] = {ref: _pin(pinned) for ref, pinned in actions.items()}
        shown["connections"] = connections
        if isinstance(children := version.resolved.get("children"), dict):
            shown["children"] = {key: _child(pinned) for key, pinned in children.items()}
    return shown


def _canonical(document: Json) -> JsonObject:
    """Without what stands for its default; a draft that is no document yet, as it is."""
    try:
        return dump_document(parse_document(document))
    except InvalidInput:
        return document if isinstance(document, dict) else {}


def _steps(steps: Sequence[Json]) -> JsonObject:
    """By key. A draft's steps may be anything; those without a key of their own go by their place."""
    keyed: JsonObject = {}
    for index, step in enumerate(steps):
        key = step.get("key") if isinstance(step, dict) else None
        _put(keyed, key if isinstance(key, str) else "", index, step)
    return keyed


def _edges(edges: Sequence[Json]) -> JsonObject:
    keyed: JsonObject = {}
    for index, edge in enumerate(edges):
        ends = (edge.get("from"), edge.get("to")) if isinstance(edge, dict) else ()
        named = [end for end in ends if isinstance(end, str)]
        name = " -> ".join(named) if len(named) == 2 else ""
        if name and isinstance(edge, dict) and edge.get("on") == EdgeOn.ERROR:
            name += " on error"
        _put(keyed, name, index, edge)
    return keyed


def _put(keyed: JsonObject, name: str, index: int, value: Json) -> None:
    keyed[name if name and name not in keyed else f"{name}#{index}"] = value


def _pin(pinned: Json) -> Json:
    if not isinstance(pinned, dict):
        return pinned
    return {"revision": pinned.get("revision"), "baseUrl": pinned.get("baseUrl")}


def _child(pinned: Json) -> Json:
    if not isinstance(pinned, dict):
        return pinned
    return {"versionId": pinned.get("versionId"), "version": pinned.get("version")}


def _member(before: JsonObject, after: JsonObject, name: str, path: str) -> Iterator[Change]:
    if name not in before:
        if name in after:
            yield Change(path, ChangeKind.ADDED, None, after[name])
    elif name not in after:
        yield Change(path, ChangeKind.REMOVED, before[name], None)
    else:
        yield from _value(before[name], after[name], path)


def _value(before: Json, after: Json, path: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        if path == "steps" and (moved := _moved(list(before), list(after))):
            yield Change(path, ChangeKind.CHANGED, *moved)
        for name in sorted(before.keys() | after.keys()):
            yield from _member(before, after, name, at_name(path, name))
    elif not same(before, after):
        yield Change(path, ChangeKind.CHANGED, before, after)


def _moved(before: Sequence[str], after: Sequence[str]) -> tuple[Json, Json] | None:
    """The orders of the steps that both have, when they differ."""
    both = set(before) & set(after)
    old: list[Json] = [key for key in before if key in both]
    new: list[Json] = [key for key in after if key in both]
    return None if old == new else (old, new)
