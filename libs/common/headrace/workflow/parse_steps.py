"""Reading steps: the keys that each type may have, and what it must have."""

from headrace.workflow.document import Join, OnError, OnMismatch, Step
from headrace.workflow.grammar import (
    ACTION_TYPE,
    APPROVAL_TYPE,
    CHILD_TYPE,
    FAIL_KEYS,
    FAIL_TYPE,
    MAX_CODE,
    MAX_MESSAGE,
    MAX_STEPS,
    MAX_TIMEOUT_MS,
    SIGNAL_TYPE,
    TRANSFORM_TYPE,
    WAIT_TYPE,
    keys_of,
)
from headrace.workflow.names import ACTION_REF, FAILURE_CODE, NAME, STEP_KEY, STEP_TYPE
from headrace.workflow.parse_parts import (
    read_approval,
    read_cache,
    read_child,
    read_compensation,
    read_for_each,
    read_output,
    read_probe,
    read_repeat,
    read_signal,
    read_wait,
)
from headrace.workflow.reading import Fields
from headrace.workflow.retry import read_retry

# What a step of the type can not do without, and what to write there.
REQUIRED = {
    ACTION_TYPE: ("action", "Name an action as `app/action`, or write another `type`."),
    TRANSFORM_TYPE: ("input", "Write the value that this step makes."),
    WAIT_TYPE: ("wait", "Write `{forMs: ...}` or `{until: ...}`."),
    CHILD_TYPE: ("workflow", "Name the workflow that is run."),
    FAIL_TYPE: ("input", "Write `{code: ..., message: ...}`."),
}
# Types whose `input` is an object, or one expression that gives one.
OBJECT_INPUT = frozenset({ACTION_TYPE, CHILD_TYPE})


def read_steps(document: Fields) -> list[Step]:
    """The document's steps; what is none stands as an empty `transform`, so that the others keep their places."""
    if document.required("steps", "Write at least one step.") and document.any("steps") == []:
        document.wrong("steps", "there is no step", "Write at least one step.")
    steps: list[Step] = []
    first: dict[str, str] = {}
    for path, value in document.elements("steps", MAX_STEPS):
        kind = value.get("type", ACTION_TYPE) if isinstance(value, dict) else ACTION_TYPE
        step = document.reading.fields(value, path, keys_of(kind))
        if step is None:
            steps.append(Step(key="", type=TRANSFORM_TYPE, input={}))
            continue
        steps.append(_step(step))
        key = step.any("key")
        if isinstance(key, str):
            if key in first:
                mend = f"{first[key]} has it too; give each step its own."
                step.wrong("key", "this key is taken", mend, "DUPLICATE_KEY")
            first.setdefault(key, path)
    return steps


def _step(fields: Fields) -> Step:
    fields.required("key", "Give the step a key, by which others refer to it.")
    key = fields.name("key", STEP_KEY)
    kind = fields.name("type", STEP_TYPE) if fields.has("type") else ACTION_TYPE
    if kind in REQUIRED:
        fields.required(*REQUIRED[kind])
    if kind == FAIL_TYPE:
        _check_failure(fields)
    return Step(
        key=key or "",
        type=kind or "",
        action=fields.name("action", ACTION_REF),
        connection=fields.name("connection", NAME),
        input=fields.object_or_text("input") if kind in OBJECT_INPUT else fields.any("input"),
        path=fields.object_or_text("path"),
        query=fields.object_or_text("query"),
        headers=fields.object_or_text("headers"),
        body=fields.any("body"),
        output=read_output(fields),
        retry=read_retry(fields),
        timeout_ms=fields.integer("timeoutMs", 1, MAX_TIMEOUT_MS),
        on_error=fields.choice("onError", OnError) or OnError.FAIL,
        on_output_mismatch=fields.choice("onOutputMismatch", OnMismatch),
        compensate=read_compensation(fields),
        probe=read_probe(fields),
        join=fields.choice("join", Join) or Join.ALL,
        for_each=read_for_each(fields),
        repeat=read_repeat(fields),
        cache=read_cache(fields),
        wait=read_wait(fields),
        approval=read_approval(fields) if kind == APPROVAL_TYPE else None,
        signal=read_signal(fields) if kind == SIGNAL_TYPE else None,
        child=read_child(fields),
    )


def _check_failure(step: Fields) -> None:
    """`input` of a `fail` step: `{code, message}`, both texts."""
    failure = step.inner("input", FAIL_KEYS)
    if failure is None:
        return
    failure.required("code", FAILURE_CODE.words)
    code = failure.text("code", MAX_CODE)
    if code is not None and "{{" not in code and not FAILURE_CODE.allows(code):
        failure.wrong("code", "this is no error code", FAILURE_CODE.words)
    failure.required("message", "Say what is wrong.")
    failure.text("message", MAX_MESSAGE)
