"""The JSON Schema of what a step has beside its work: compensation, probe, loops, and what it waits for."""

from headrace.json_types import JsonObject
from headrace.workflow import grammar, retry
from headrace.workflow.document import (
    Approval,
    ErrorClass,
    Expression,
    ForEach,
    OnError,
    Repeat,
    RetryPolicy,
    RetryStrategy,
    Signal,
)
from headrace.workflow.names import ACTION_REF, NAME, OUTPUT_NAME
from headrace.workflow.schema_words import entry, integer, name, ref, text, texts, whole, word, words

_CALL: JsonObject = {
    "action": name(ACTION_REF, "app/action; its revision is pinned when the workflow is published."),
    "connection": name(NAME, "The connection whose credentials are used; left out, the step's own."),
    "input": {"type": "object"},
    "retry": ref("retry"),
}


def part_definitions() -> JsonObject:
    """Definitions by the key of a step that holds them, and the retry policy."""
    plain, deadline = RetryPolicy(), "What becomes of the step then."
    most = grammar.MAX_RUN_TIMEOUT_MS
    return {
        "output": {
            "type": "object",
            "description": "Names, each with a JSONPath into the step's default output.",
            "maxProperties": grammar.MAX_NAMES,
            "propertyNames": {"pattern": whole(OUTPUT_NAME.pattern)},
            "additionalProperties": {"type": "string", "pattern": r"^\$", "maxLength": grammar.MAX_JSONPATH},
        },
        "retry": entry(
            {
                "strategy": word(RetryStrategy, "How the wait before each further attempt grows."),
                "maxAttempts": integer(1, retry.MAX_ATTEMPTS, "Attempts in all, the first included.")
                | {"default": retry.DEFAULT_ATTEMPTS},
                "initialDelayMs": integer(0, retry.MAX_DELAY_MS, "The first wait.")
                | {"default": plain.initial_delay_ms},
                "maxDelayMs": integer(0, retry.MAX_DELAY_MS, "The longest wait.")
                | {"default": plain.max_delay_ms},
                "on": words(ErrorClass, "The failures worth another attempt; left out, all that may pass.")
                | {"minItems": 1},
            },
            "When a failed attempt is made again.",
            ["strategy"],
        )
        | {
            "if": {"properties": {"strategy": {"const": RetryStrategy.NONE.value}}},
            "then": {"properties": {"maxAttempts": {"maximum": 1}}},
        },
        "compensate": entry(
            _CALL
            | {"timeoutMs": integer(1, grammar.MAX_TIMEOUT_MS, "The longest that one request may take.")},
            "How this step is undone when the run ends otherwise than by success.",
            ["action"],
        ),
        "probe": entry(
            _CALL
            | {
                "done": ref("when", "True of the probe's end when the call did arrive."),
                "output": ref("output", "The step's output then: JSONPaths into the probe's."),
            },
            "A call that finds out what became of one whose answer was lost.",
            ["action", "done"],
        ),
        "forEach": entry(
            {
                "items": {
                    "anyOf": [{"type": "array", "maxItems": grammar.MAX_ITEMS}, ref("expression")],
                    "description": "What it is done for.",
                },
                "maxConcurrency": integer(1, grammar.MAX_CONCURRENT_ITEMS, "How many at a time.")
                | {"default": ForEach(None).max_concurrency},
                "onItemError": word(OnError, "What a failed item does to the step."),
            },
            "The step is done once for each element of a list, seen as `item` and `index`.",
            ["items"],
        ),
        "repeat": entry(
            {
                "until": ref("when", "True of the step's end when it is over."),
                "everyMs": integer(
                    grammar.MIN_REPEAT_MS, grammar.MAX_REPEAT_MS, "The wait between two rounds."
                ),
                "max": integer(1, grammar.MAX_ROUNDS, "Rounds at most; then the step fails.")
                | {"default": Repeat(Expression(""), 0).max},
            },
            "The step is done again until something is true.",
            ["until", "everyMs"],
        ),
        "cache": entry(
            {
                "ttlMs": integer(
                    grammar.MIN_CACHE_MS, grammar.MAX_CACHE_MS, "For how long a result stands for the call."
                ),
                "key": {
                    "description": "What stands for the request: calls with the same key are taken for the same; "
                    "expressions are allowed."
                },
            },
            "An earlier result of the same call is taken instead of calling.",
            ["ttlMs"],
        ),
        "wait": entry(
            {
                "forMs": integer(1, most, "For so long."),
                "until": text(grammar.MAX_EXPRESSION, "Until this time (RFC 3339), or one {{ expression }}."),
            },
            "Until a time, or for so long.",
        )
        | {"oneOf": [{"required": ["forMs"]}, {"required": ["until"]}]},
        "approval": entry(
            {
                "title": text(grammar.MAX_TITLE, "What is asked; expressions are allowed."),
                "details": {"description": "What is shown; expressions are allowed."},
                "roles": texts(grammar.MAX_PEOPLE, grammar.MAX_MEMBER, "The roles that may decide."),
                "members": texts(grammar.MAX_PEOPLE, grammar.MAX_MEMBER, "The members who may decide."),
                "notStarter": {"type": "boolean", "description": "Not by who started the run."},
                "form": {"type": "object", "description": "JSON Schema 2020-12 of what is filled in."},
                "deadlineMs": integer(1, most, "When the default is taken."),
                "default": word(grammar.APPROVAL_DEFAULTS, deadline) | {"default": Approval().default.value},
                "remindEveryMs": integer(grammar.MIN_REMINDER_MS, most, "How often a reminder is noted."),
            },
            "A person decides.",
        ),
        "signal": entry(
            {
                "name": name(NAME, "The signal's name; left out, the step's key."),
                "schema": {"type": "object", "description": "JSON Schema 2020-12 of its data."},
                "deadlineMs": integer(1, most, "When the default is taken."),
                "default": word(grammar.SIGNAL_DEFAULTS, deadline) | {"default": Signal().default.value},
            },
            "Someone says that something happened.",
        ),
        "workflow": {
            "description": "The workflow that is run, at its newest published version or at the one named.",
            "anyOf": [
                name(NAME, "Its name."),
                entry(
                    {
                        "name": name(NAME, "Its name."),
                        "version": integer(1, grammar.MAX_VERSION, "A published version."),
                    },
                    "Its name and version.",
                    ["name"],
                ),
            ],
        },
    }
