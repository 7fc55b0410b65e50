"""The JSON Schema of conditions: `when`, `until` and `done`."""

from headrace.json_types import Json, JsonObject
from headrace.workflow import grammar
from headrace.workflow.names import FIELD
from headrace.workflow.operators import KINDS, OPERATORS, Takes
from headrace.workflow.parse_when import ONE_EXPRESSION
from headrace.workflow.schema_words import entry, name, ref, whole


def when_definitions() -> JsonObject:
    """Definitions by name; `when` is the whole."""
    several: JsonObject = {
        "type": "array",
        "minItems": 1,
        "maxItems": grammar.MAX_CONDITIONS,
        "items": ref("when"),
    }
    return {
        "expression": {
            "type": "string",
            "pattern": whole(ONE_EXPRESSION),
            "maxLength": grammar.MAX_EXPRESSION,
            "description": "Exactly one {{ expression }}.",
        },
        "when": {
            "description": f"At most {grammar.MAX_CONDITIONS} conditions, nested {grammar.MAX_CONDITION_DEPTH} "
            "levels at most.",
            "anyOf": [
                ref("expression"),
                ref("condition"),
                entry({"all": several}, "True when all are.", ["all"]),
                entry({"any": several}, "True when one is, or more.", ["any"]),
                entry({"not": ref("when")}, "True when it is not.", ["not"]),
            ],
        },
        "condition": entry(
            {
                "field": name(
                    FIELD, "A path into the step: output.total, status, error.code.", grammar.MAX_FIELD
                ),
                "operator": {"enum": [*OPERATORS]},
                "value": {"description": "What to compare with."},
            },
            "One comparison.",
            ["field", "operator"],
        )
        | {"allOf": _operators()},
    }


def _operators() -> Json:
    """What each operator asks of `value`."""
    rules: list[Json] = []
    for word, operator in OPERATORS.items():
        then: JsonObject = {"required": ["value"]} if operator.needs_value else {}
        value = _VALUES[operator.takes]
        if value is not True:
            then["properties"] = {"value": value}
        rules.append(
            {"if": {"properties": {"operator": {"const": word}}, "required": ["operator"]}, "then": then}
        )
    return rules


def _pair(kind: str) -> JsonObject:
    return {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": kind}}


_VALUES: dict[Takes, Json] = {
    Takes.ANYTHING: True,
    Takes.ORDERED: {"type": ["number", "string"]},
    Takes.RANGE: {"anyOf": [_pair("number"), _pair("string")]},
    Takes.OPTIONS: {"type": "array", "maxItems": grammar.MAX_OPTIONS},
    Takes.TEXT: {"type": "string"},
    Takes.PATTERN: {"type": "string"},
    Takes.KIND: {"enum": [*KINDS]},
    Takes.LENGTH: {"type": "integer", "minimum": 0},
    Takes.TIME: {"type": "string"},
    Takes.MAYBE_BOOLEAN: {"type": "boolean"},
    Takes.NOTHING: False,
}
