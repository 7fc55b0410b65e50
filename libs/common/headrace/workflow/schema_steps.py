"""The JSON Schema of steps: what each type may have and must have."""

from headrace.json_types import Json, JsonObject
from headrace.workflow import grammar
from headrace.workflow.document import Join, OnError, OnMismatch
from headrace.workflow.grammar import ACTION_TYPE, BUILT_IN_KEYS, FAIL_TYPE, PLUG_IN_KEYS
from headrace.workflow.names import ACTION_REF, FAILURE_CODE, NAME, STEP_KEY, STEP_TYPE
from headrace.workflow.parse_steps import OBJECT_INPUT, REQUIRED
from headrace.workflow.schema_words import entry, integer, name, ref, text, whole, word


def step_definitions() -> JsonObject:
    """Definitions by name; `step` is the whole."""
    chosen: Json = ref("plugInStep")
    for kind in reversed([*BUILT_IN_KEYS]):
        condition: JsonObject = {"properties": {"type": {"const": kind}}}
        if kind != ACTION_TYPE:
            condition["required"] = ["type"]
        chosen = {"if": condition, "then": ref(f"{kind}Step"), "else": chosen}
    made: JsonObject = {
        "objectOrExpression": {
            "anyOf": [{"type": "object"}, {"type": "string", "pattern": r"\{\{"}],
            "description": "An object, or one expression that gives an object.",
        },
        "step": {
            "type": "object",
            "required": ["key"],
            "properties": {
                "key": name(STEP_KEY, "By which others refer to this step: steps.<key>.output."),
                "type": name(
                    STEP_TYPE, f"{', '.join(BUILT_IN_KEYS)}, or a type that a plug-in adds; left out, action."
                ),
            },
            "allOf": [chosen],
        },
        "plugInStep": _type("", PLUG_IN_KEYS),
    }
    for kind, keys in BUILT_IN_KEYS.items():
        made[f"{kind}Step"] = _type(kind, keys)
    return made


def _type(kind: str, keys: tuple[str, ...]) -> JsonObject:
    every = _properties()
    made: JsonObject = {key: every[key] for key in keys}
    if kind in OBJECT_INPUT:
        made["input"] = ref(
            "objectOrExpression", "Names and values; each goes to the part whose schema declares it."
        )
    if kind == FAIL_TYPE:
        made["input"] = _failure()
    needed: JsonObject = {"required": [REQUIRED[kind][0]]} if kind in REQUIRED else {}
    return needed | {"additionalProperties": False, "properties": made}


def _properties() -> JsonObject:
    return {
        "key": True,
        "type": True,
        "join": word(
            Join, "Whether the step waits for all edges into it, or begins with the first one taken."
        ),
        "action": name(ACTION_REF, "app/action; its revision is pinned when the workflow is published."),
        "connection": name(NAME, "The connection whose credentials are used."),
        "input": {"description": "What the step works on, or makes; expressions are allowed."},
        "path": ref("objectOrExpression", "All path parameters."),
        "query": ref("objectOrExpression", "The whole query."),
        "headers": ref("objectOrExpression", "All headers of the step."),
        "body": {"description": "The whole body."},
        "output": ref("output"),
        "retry": ref("retry"),
        "timeoutMs": integer(1, grammar.MAX_TIMEOUT_MS, "The longest that one request may take."),
        "onError": word(OnError, "What a failure does to the run."),
        "onOutputMismatch": word(OnMismatch, "What a response that does not fit its schema does."),
        "compensate": ref("compensate"),
        "probe": ref("probe"),
        "forEach": ref("forEach"),
        "repeat": ref("repeat"),
        "cache": ref("cache"),
        "wait": ref("wait"),
        "approval": ref("approval"),
        "signal": ref("signal"),
        "workflow": ref("workflow"),
    }


def _failure() -> JsonObject:
    code = text(grammar.MAX_CODE, "A code such as ORDER_TOO_LARGE; expressions are allowed.")
    return entry(
        {
            "code": code | {"pattern": whole(FAILURE_CODE.pattern) + r"|\{\{"},
            "message": text(grammar.MAX_MESSAGE, "What is wrong; expressions are allowed."),
        },
        "The run's error.",
        ["code", "message"],
    )
