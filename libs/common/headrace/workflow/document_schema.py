"""The JSON Schema of a workflow document, for editors and standard tools: contracts/workflow.v1.schema.json.

Made from the constants that the parser itself uses. It accepts what `parse_document` accepts, but for what
JSON Schema can not say: that step keys are unique, and the depth and size of the whole.
"""

from enum import StrEnum

from headrace.json_types import Json, JsonObject
from headrace.workflow import parse, retry
from headrace.workflow.conditions import OPERATORS
from headrace.workflow.document import OnError, OnMismatch, RetryPolicy, RetryStrategy
from headrace.workflow.names import (
    ACTION_REF,
    ENV_NAME,
    FIELD,
    NAME,
    OUTPUT_NAME,
    STEP_KEY,
    STEP_TYPE,
    NameRule,
)

SCHEMA_ID = "urn:headrace:contracts:workflow.v1"
_KINDS = {"text": "string", "number": "number", "boolean": "boolean"}


def workflow_schema() -> JsonObject:
    """The schema, as JSON data; the same on every call."""
    plain = RetryPolicy()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Headrace workflow",
        "description": "A graph of steps that call APIs. Texts with {{ }} hold expressions.",
        "type": "object",
        "required": ["workflow", "steps"],
        "additionalProperties": False,
        "properties": {
            "workflow": _name(NAME, "The workflow's name, unique in its tenant."),
            "parameters": {"type": "object", "description": "JSON Schema 2020-12 of a run's input."},
            "env": {
                "type": "object",
                "description": "Names for expressions (env.NAME): plain values, or secrets by reference.",
                "maxProperties": parse.MAX_NAMES,
                "propertyNames": {"pattern": _whole(ENV_NAME)},
                "additionalProperties": {"$ref": "#/$defs/envValue"},
            },
            "steps": {
                "type": "array",
                "description": "What is done; one after another when there are no edges.",
                "minItems": 1,
                "maxItems": parse.MAX_STEPS,
                "items": {"$ref": "#/$defs/step"},
            },
            "edges": {
                "type": "array",
                "description": "What waits for what. A step starts when all before it have ended.",
                "maxItems": parse.MAX_EDGES,
                "items": {"$ref": "#/$defs/edge"},
            },
            "result": {"description": "The run's result; expressions may refer to any step."},
            "timeoutMs": _integer(
                1, parse.MAX_RUN_TIMEOUT_MS, "The longest that a run may take, waits included."
            ),
        },
        "$defs": {
            "envValue": {
                "anyOf": [
                    {"type": ["string", "number", "boolean", "null"]},
                    {
                        "type": "object",
                        "required": ["secret"],
                        "additionalProperties": False,
                        "properties": {"secret": _name(NAME, "The name of one of the tenant's secrets.")},
                    },
                ]
            },
            "objectOrExpression": {
                "anyOf": [{"type": "object"}, {"type": "string", "pattern": r"\{\{"}],
                "description": "An object, or one expression that gives an object.",
            },
            "step": {
                "type": "object",
                "required": ["key"],
                "properties": {
                    "key": _name(STEP_KEY, "By which others refer to this step: steps.<key>.output."),
                    "type": _name(
                        STEP_TYPE, "action (the default), transform, or a type that a plug-in adds."
                    ),
                },
                "if": {"required": ["type"], "properties": {"type": {"const": parse.TRANSFORM_TYPE}}},
                "then": {"$ref": "#/$defs/transformStep"},
                "else": {"$ref": "#/$defs/callStep"},
            },
            "transformStep": {
                "required": ["input"],
                "additionalProperties": False,
                "properties": {
                    "key": True,
                    "type": True,
                    "input": {"description": "The value that this step makes: its output."},
                    "output": {"$ref": "#/$defs/output"},
                    "onError": _word(OnError, "What a failure does to the run."),
                },
            },
            "callStep": {
                "if": {"properties": {"type": {"const": parse.ACTION_TYPE}}},
                "then": {
                    "required": ["action"],
                    "properties": {"input": {"$ref": "#/$defs/objectOrExpression"}},
                },
                "additionalProperties": False,
                "properties": {
                    "key": True,
                    "type": True,
                    "action": _name(
                        ACTION_REF, "app/action; its revision is pinned when the workflow is published."
                    ),
                    "connection": _name(NAME, "The connection whose credentials are used."),
                    "input": {
                        "description": "Names and values; each goes to the part whose schema declares it."
                    },
                    "path": {"$ref": "#/$defs/objectOrExpression", "description": "All path parameters."},
                    "query": {"$ref": "#/$defs/objectOrExpression", "description": "The whole query."},
                    "headers": {
                        "$ref": "#/$defs/objectOrExpression",
                        "description": "All headers of the step.",
                    },
                    "body": {"description": "The whole body."},
                    "output": {"$ref": "#/$defs/output"},
                    "retry": {"$ref": "#/$defs/retry"},
                    "timeoutMs": _integer(1, parse.MAX_TIMEOUT_MS, "The longest that one request may take."),
                    "onError": _word(OnError, "What a failure does to the run."),
                    "onOutputMismatch": _word(
                        OnMismatch, "What a response that does not fit its schema does."
                    ),
                    "compensate": {
                        "type": "object",
                        "description": "How this step is undone.",
                        "required": ["action"],
                        "additionalProperties": False,
                        "properties": {
                            "action": _name(ACTION_REF, "app/action."),
                            "input": {"type": "object"},
                        },
                    },
                },
            },
            "output": {
                "type": "object",
                "description": "Names, each with a JSONPath into the step's default output.",
                "maxProperties": parse.MAX_NAMES,
                "propertyNames": {"pattern": _whole(OUTPUT_NAME)},
                "additionalProperties": {
                    "type": "string",
                    "pattern": r"^\$",
                    "maxLength": parse.MAX_JSONPATH,
                },
            },
            "retry": {
                "type": "object",
                "required": ["strategy"],
                "additionalProperties": False,
                "properties": {
                    "strategy": _word(RetryStrategy, "How the wait before each further attempt grows."),
                    "maxAttempts": _integer(1, retry.MAX_ATTEMPTS, "Attempts in all, the first included.")
                    | {"default": retry.DEFAULT_ATTEMPTS},
                    "initialDelayMs": _integer(0, retry.MAX_DELAY_MS, "The first wait.")
                    | {"default": plain.initial_delay_ms},
                    "maxDelayMs": _integer(0, retry.MAX_DELAY_MS, "The longest wait.")
                    | {"default": plain.max_delay_ms},
                },
                "if": {"properties": {"strategy": {"const": RetryStrategy.NONE.value}}},
                "then": {"properties": {"maxAttempts": {"maximum": 1}}},
            },
            "edge": {
                "type": "object",
                "required": ["from", "to"],
                "additionalProperties": False,
                "properties": {
                    "from": _name(STEP_KEY, "The step that has to end first."),
                    "to": _name(STEP_KEY, "The step that may start then."),
                    "when": {"$ref": "#/$defs/condition"},
                },
            },
            "condition": {
                "type": "object",
                "required": ["field", "operator"],
                "additionalProperties": False,
                "properties": {
                    "field": _name(
                        FIELD, "A path into the first step: output.total, status, error.code.", 200
                    ),
                    "operator": {"enum": [*OPERATORS]},
                    "value": {"description": "What to compare with."},
                },
                "allOf": _operators(),
            },
        },
    }


def _operators() -> Json:
    """What each operator asks of `value`."""
    rules: list[Json] = []
    for name, operator in OPERATORS.items():
        then: JsonObject = {}
        if operator.needs_value:
            then["required"] = ["value"]
        if operator.kinds:
            then["properties"] = {"value": {"type": [*sorted(_KINDS[kind] for kind in operator.kinds)]}}
        if then:
            rules.append(
                {"if": {"properties": {"operator": {"const": name}}, "required": ["operator"]}, "then": then}
            )
    return rules


def _whole(rule: NameRule) -> str:
    return f"^(?:{rule.pattern})$"


def _name(rule: NameRule, description: str, most: int = 200) -> JsonObject:
    return {"type": "string", "pattern": _whole(rule), "maxLength": most, "description": description}


def _integer(least: int, most: int, description: str) -> JsonObject:
    return {"type": "integer", "minimum": least, "maximum": most, "description": description}


def _word(kind: type[StrEnum], description: str) -> JsonObject:
    words: list[Json] = [member.value for member in kind]
    return {"enum": words, "description": description}
