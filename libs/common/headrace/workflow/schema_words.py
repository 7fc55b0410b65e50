"""The small schemas that the document's JSON Schema is put together from."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from headrace.json_types import Json, JsonObject
from headrace.workflow.names import NameRule


def whole(pattern: str) -> str:
    """The pattern for all of a text."""
    return f"^(?:{pattern})$"


def name(rule: NameRule, description: str, most: int = 200) -> JsonObject:
    return {"type": "string", "pattern": whole(rule.pattern), "maxLength": most, "description": description}


def text(most: int, description: str) -> JsonObject:
    return {"type": "string", "minLength": 1, "maxLength": most, "description": description}


def texts(most: int, longest: int, description: str) -> JsonObject:
    return {
        "type": "array",
        "maxItems": most,
        "uniqueItems": True,
        "items": {"type": "string", "minLength": 1, "maxLength": longest},
        "description": description,
    }


def integer(least: int, most: int, description: str) -> JsonObject:
    return {"type": "integer", "minimum": least, "maximum": most, "description": description}


def word(kind: Iterable[str], description: str) -> JsonObject:
    return {"enum": [str(member) for member in kind], "description": description}


def words(kind: type[StrEnum], description: str) -> JsonObject:
    """A list of an enumeration's words, each at most once."""
    return {
        "type": "array",
        "uniqueItems": True,
        "items": {"enum": [member.value for member in kind]},
        "description": description,
    }


def entry(properties: Mapping[str, Json], description: str, required: Iterable[str] = ()) -> JsonObject:
    """An object with these properties and no others."""
    made: JsonObject = {"type": "object", "description": description}
    if needed := [*required]:
        made["required"] = [*needed]
    return made | {"additionalProperties": False, "properties": dict(properties)}


def ref(definition: str, description: str = "") -> JsonObject:
    made: JsonObject = {"$ref": f"#/$defs/{definition}"}
    return made | {"description": description} if description else made
