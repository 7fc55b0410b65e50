"""The words and bounds of a workflow document: which keys stand where, and how many of what there may be.

Shared by the parser and the published JSON Schema, so that the two are of one mind.
"""

from collections.abc import Mapping

MAX_STEPS = 1_000
MAX_EDGES = 5_000
MAX_NAMES = 100  # in one env or output
MAX_TIMEOUT_MS = 600_000
MAX_RUN_TIMEOUT_MS = 366 * 24 * 60 * 60 * 1000  # of waits and deadlines too
MAX_JSONPATH = 512
MAX_CONDITIONS = 50  # in one `when`
MAX_CONDITION_DEPTH = 8
MAX_EXPRESSION = 4_096  # characters of a text that is one expression
MAX_OPTIONS = 1_000  # values that `in` and `notIn` look among
MAX_PATTERN = 1_000
MAX_PATTERNS = 200  # of `matches`, different ones, in one document
MAX_FIELD = 200
MAX_CONCURRENT_ITEMS = 100
MAX_ITEMS = 10_000  # of one loop
MIN_REPEAT_MS, MAX_REPEAT_MS = 100, 24 * 60 * 60 * 1000
MIN_CACHE_MS, MAX_CACHE_MS = 1_000, 30 * 24 * 60 * 60 * 1000
MAX_ROUNDS = 10_000
MAX_TITLE = 500
MAX_PEOPLE = 50  # roles or members of one approval
MAX_MEMBER = 200
MIN_REMINDER_MS = 1_000
MAX_VERSION = 2**31 - 1
MAX_RUNS = 10_000  # of one workflow, unfinished at once
MAX_BUDGET = 1_000_000
MAX_CODE, MAX_MESSAGE = 1_000, 4_096  # characters of what a `fail` step says, as written

ACTION_TYPE, TRANSFORM_TYPE = "action", "transform"
WAIT_TYPE, APPROVAL_TYPE, SIGNAL_TYPE, CHILD_TYPE = "wait", "approval", "signal", "workflow"
SUCCEED_TYPE, FAIL_TYPE = "succeed", "fail"

DOCUMENT_KEYS = (
    "workflow",
    "parameters",
    "env",
    "steps",
    "edges",
    "result",
    "timeoutMs",
    "compensateOn",
    "concurrency",
    "retries",
    "retryBudget",
)
EVERY_STEP = ("key", "type", "join")
PLUG_IN_KEYS = (
    *EVERY_STEP,
    "action",
    "connection",
    "input",
    "path",
    "query",
    "headers",
    "body",
    "output",
    "retry",
    "timeoutMs",
    "onError",
    "onOutputMismatch",
    "compensate",
)
ACTION_KEYS = (*PLUG_IN_KEYS, "probe", "forEach", "repeat", "cache")
BUILT_IN_KEYS: Mapping[str, tuple[str, ...]] = {
    ACTION_TYPE: ACTION_KEYS,
    TRANSFORM_TYPE: (*EVERY_STEP, "input", "output", "onError", "forEach", "repeat"),
    WAIT_TYPE: (*EVERY_STEP, "wait", "onError"),
    APPROVAL_TYPE: (*EVERY_STEP, "approval", "onError"),
    SIGNAL_TYPE: (*EVERY_STEP, "signal", "onError"),
    CHILD_TYPE: (*EVERY_STEP, "workflow", "input", "forEach", "onError"),
    SUCCEED_TYPE: (*EVERY_STEP, "input"),
    FAIL_TYPE: (*EVERY_STEP, "input"),
}
BUILT_IN_TYPES = frozenset(BUILT_IN_KEYS)
STEP_KEYS = tuple(dict.fromkeys(key for keys in BUILT_IN_KEYS.values() for key in keys))

EDGE_KEYS = ("from", "to", "when", "on")
CONDITION_KEYS = ("field", "operator", "value")
WHEN_KEYS = (*CONDITION_KEYS, "all", "any", "not")
COMPENSATION_KEYS = ("action", "connection", "input", "retry", "timeoutMs")
PROBE_KEYS = ("action", "connection", "input", "done", "output", "retry")
FOR_EACH_KEYS = ("items", "maxConcurrency", "onItemError")
REPEAT_KEYS = ("until", "everyMs", "max")
CACHE_KEYS = ("ttlMs", "key")
WAIT_KEYS = ("forMs", "until")
APPROVAL_KEYS = (
    "title",
    "details",
    "roles",
    "members",
    "notStarter",
    "form",
    "deadlineMs",
    "default",
    "remindEveryMs",
)
APPROVAL_DEFAULTS = ("approve", "reject", "fail")
SIGNAL_KEYS = ("name", "schema", "deadlineMs", "default")
SIGNAL_DEFAULTS = ("fail", "continue")
CHILD_KEYS = ("name", "version")
FAIL_KEYS = ("code", "message")
CONCURRENCY_KEYS = ("limit", "onLimit", "key")


def keys_of(step_type: object) -> tuple[str, ...]:
    """The keys that a step of this type may have; what is no built-in type is taken for a plug-in's."""
    return BUILT_IN_KEYS.get(step_type, PLUG_IN_KEYS) if isinstance(step_type, str) else ACTION_KEYS
