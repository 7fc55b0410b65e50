"""The JSON Schema of a workflow document, for editors and standard tools: contracts/workflow.v1.schema.json.

Made from the constants that the parser itself uses. It accepts what `parse_document` accepts, but for what
JSON Schema can not say: that step keys are unique, how many conditions there are and how deep, and the depth and
size of the whole.
"""

from headrace.json_types import JsonObject
from headrace.workflow import grammar
from headrace.workflow.document import Concurrency, EdgeOn, Ending, OnLimit
from headrace.workflow.names import ENV_NAME, NAME, STEP_KEY, STEP_TYPE
from headrace.workflow.schema_parts import part_definitions
from headrace.workflow.schema_steps import step_definitions
from headrace.workflow.schema_when import when_definitions
from headrace.workflow.schema_words import entry, integer, name, ref, whole, word, words

SCHEMA_ID = "urn:headrace:contracts:workflow.v1"


def workflow_schema() -> JsonObject:
    """The schema, as JSON data; the same on every call."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Headrace workflow",
        **entry(
            _document(),
            "A graph of steps that call APIs. Texts with {{ }} hold expressions.",
            ["workflow", "steps"],
        ),
        "$defs": {
            "envValue": {
                "anyOf": [
                    {"type": ["string", "number", "boolean", "null"]},
                    entry(
                        {"secret": name(NAME, "The name of one of the tenant's secrets.")},
                        "A secret, by reference.",
                        ["secret"],
                    ),
                ]
            },
            **step_definitions(),
            **part_definitions(),
            "edge": entry(
                {
                    "from": name(STEP_KEY, "The step that has to end first."),
                    "to": name(STEP_KEY, "The step that may start then."),
                    "when": ref("when"),
                    "on": word(EdgeOn, "Which end of the first step the edge is for."),
                },
                "What waits for what.",
                ["from", "to"],
            ),
            **when_definitions(),
        },
    }


def _document() -> JsonObject:
    plain = Concurrency()
    return {
        "workflow": name(NAME, "The workflow's name, unique in its tenant."),
        "parameters": {"type": "object", "description": "JSON Schema 2020-12 of a run's input."},
        "env": {
            "type": "object",
            "description": "Names for expressions (env.NAME): plain values, or secrets by reference.",
            "maxProperties": grammar.MAX_NAMES,
            "propertyNames": {"pattern": whole(ENV_NAME.pattern)},
            "additionalProperties": ref("envValue"),
        },
        "steps": {
            "type": "array",
            "description": "What is done; one after another when there are no edges.",
            "minItems": 1,
            "maxItems": grammar.MAX_STEPS,
            "items": ref("step"),
        },
        "edges": {
            "type": "array",
            "description": "What waits for what. A step starts when all before it have ended.",
            "maxItems": grammar.MAX_EDGES,
            "items": ref("edge"),
        },
        "result": {"description": "The run's result; expressions may refer to any step."},
        "timeoutMs": integer(
            1, grammar.MAX_RUN_TIMEOUT_MS, "The longest that a run may take, waits included."
        ),
        "compensateOn": words(Ending, "The ends that undo what was done; left out, all of them."),
        "concurrency": entry(
            {
                "limit": integer(1, grammar.MAX_RUNS, "How many runs may be unfinished at once.")
                | {"default": plain.limit},
                "onLimit": word(OnLimit, "What a further start does.") | {"default": plain.on_limit.value},
                "key": {
                    "type": "string",
                    "pattern": r"^\$",
                    "maxLength": grammar.MAX_JSONPATH,
                    "description": "A JSONPath into the run's input: the limit is per value found there.",
                },
            },
            "How many runs of this workflow may be unfinished at once.",
        ),
        "retries": {
            "type": "object",
            "description": "Retry policies by step type, for steps and actions that say nothing.",
            "maxProperties": grammar.MAX_NAMES,
            "propertyNames": {"pattern": whole(STEP_TYPE.pattern)},
            "additionalProperties": ref("retry"),
        },
        "retryBudget": integer(
            0, grammar.MAX_BUDGET, "Attempts beyond each step's first, over the whole run."
        ),
    }
