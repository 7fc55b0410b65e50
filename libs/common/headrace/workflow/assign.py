"""Which part of a request each name of a flat `input` goes to: one rule, for checking and for calling."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json, JsonObject
from headrace.records import record
from headrace.workflow.actions import endpoint_parameters
from headrace.workflow.definition import ActionDefinition, BodyType
from headrace.workflow.document import Step
from headrace.workflow.values import kind_of

BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class Part(StrEnum):
    PATH = "path"
    QUERY = "query"
    HEADERS = "headers"
    BODY = "body"


@record
class RequestParts:
    """What goes where. `body` None means no body; `unused` names of `input` lost to a part set as a whole."""

    path: JsonObject = field(default_factory=dict)
    query: JsonObject = field(default_factory=dict)
    headers: JsonObject = field(default_factory=dict)
    body: Json = None
    unused: tuple[str, ...] = ()


def part_of(action: ActionDefinition, name: str) -> Part:
    """Where `name` goes: the endpoint's parameters first, then what querySchema and headersSchema declare.

    What nobody declares is body, or query when the action has no body.
    """
    if name in endpoint_parameters(action.endpoint_template):
        return Part.PATH
    if name in declared(action.query_schema):
        return Part.QUERY
    if name in declared(action.headers_schema):
        return Part.HEADERS
    return Part.BODY if takes_body(action) else Part.QUERY


def takes_body(action: ActionDefinition) -> bool:
    """Whether undeclared names make a body; a body that a step writes itself is sent with any method."""
    return action.body_type is not BodyType.NONE and action.method not in BODILESS


def declared(schema: Mapping[str, Json] | None) -> Mapping[str, Json]:
    """The properties that a schema spells out."""
    properties = (schema or {}).get("properties")
    return properties if isinstance(properties, dict) else {}


def headers_as_declared(schema: Mapping[str, Json], *layers: Mapping[str, Json]) -> JsonObject:
    """Headers, later ones in place of those of the same name, as a schema looks at them: their names do not heed case,
    and are spelled as the schema does it."""
    required = schema.get("required")
    names = [*declared(schema), *(required if isinstance(required, list) else [])]
    spelled = {str(name).lower(): str(name) for name in names}
    return {
        spelled.setdefault(name.lower(), name): value for layer in layers for name, value in layer.items()
    }


def assign_input(
    action: ActionDefinition,
    *,
    input: Json = None,  # noqa: A002 - the document's own word
    path: Json = None,
    query: Json = None,
    headers: Json = None,
    body: Json = None,
) -> RequestParts:
    """The parts of one call, from a step's values (rendered, or as written); None is "not written".

    A part that is written as a whole wins over names of `input` that would go there. Raises `InvalidInput`
    when `input`, `path`, `query` or `headers` is no object.
    """
    whole = {Part.PATH: path, Part.QUERY: query, Part.HEADERS: headers, Part.BODY: body}
    parts: dict[Part, JsonObject] = {part: {} for part in Part}
    unused: list[str] = []
    for name, value in _object("input", input).items():
        part = part_of(action, name)
        if whole[part] is not None:
            unused.append(name)
        else:
            parts[part][name] = value
    return RequestParts(
        path=_object("path", path) if path is not None else parts[Part.PATH],
        query=_object("query", query) if query is not None else parts[Part.QUERY],
        headers=_object("headers", headers) if headers is not None else parts[Part.HEADERS],
        body=body if body is not None else parts[Part.BODY] or None,
        unused=tuple(unused),
    )


def values_of(step: Step) -> dict[str, Json]:
    """The values of a step that `assign_input` takes, by name, for those that are written."""
    every = {
        "input": step.input,
        "path": step.path,
        "query": step.query,
        "headers": step.headers,
        "body": step.body,
    }
    return {name: value for name, value in every.items() if value is not None}


def _object(name: str, value: Json) -> JsonObject:
    if value is None:
        return {}
    if not isinstance(value, dict):
        message = f"an object is needed, not {kind_of(value)}"
        raise InvalidInput([Problem(name, message, "Write names and values in it.", "WRONG_KIND")])
    return value
