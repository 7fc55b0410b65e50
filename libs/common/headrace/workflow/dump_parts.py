"""What a step has beside its work, as JSON data: the inverse of `headrace.workflow.parse_parts` and `parse_when`."""

from typing import assert_never

from headrace.json_types import Json, JsonObject
from headrace.workflow.document import (
    AllOf,
    AnyOf,
    Approval,
    Cache,
    Child,
    Compensation,
    Condition,
    Expression,
    ForEach,
    Not,
    OnError,
    Probe,
    Repeat,
    Signal,
    Wait,
    When,
)
from headrace.workflow.operators import OPERATORS
from headrace.workflow.retry import dump_retry


def written(data: JsonObject) -> JsonObject:
    """`data` without what is not written."""
    return {name: value for name, value in data.items() if value is not None}


def unless(value: Json, default: Json) -> Json:
    """`value`, or None when it stands for its default."""
    return None if value == default else value


def dump_when(when: When) -> Json:
    match when:
        case AllOf(parts):
            return {"all": [dump_when(part) for part in parts]}
        case AnyOf(parts):
            return {"any": [dump_when(part) for part in parts]}
        case Not(part):
            return {"not": dump_when(part)}
        case Expression(text):
            return text
        case Condition():
            return _condition(when)
        case _:
            assert_never(when)


def _condition(condition: Condition) -> Json:
    data: JsonObject = {"field": condition.field, "operator": condition.operator}
    operator = OPERATORS.get(condition.operator)
    if operator is None or operator.needs_value or condition.value is not None:
        data["value"] = condition.value
    return data


def dump_compensation(undo: Compensation) -> Json:
    return written(
        {
            "action": undo.action,
            "connection": undo.connection,
            "input": undo.input,
            "retry": None if undo.retry is None else dump_retry(undo.retry),
            "timeoutMs": undo.timeout_ms,
        }
    )


def dump_probe(probe: Probe) -> Json:
    return written(
        {
            "action": probe.action,
            "connection": probe.connection,
            "input": probe.input or None,
            "done": dump_when(probe.done),
            "output": None if probe.output is None else dict(probe.output),
            "retry": None if probe.retry is None else dump_retry(probe.retry),
        }
    )


def dump_for_each(loop: ForEach) -> Json:
    return written(
        {
            "items": loop.items,
            "maxConcurrency": unless(loop.max_concurrency, ForEach(None).max_concurrency),
            "onItemError": unless(loop.on_item_error.value, OnError.FAIL.value),
        }
    )


def dump_repeat(repeat: Repeat) -> Json:
    plain = Repeat(repeat.until, repeat.every_ms)
    return written(
        {
            "until": dump_when(repeat.until),
            "everyMs": repeat.every_ms,
            "max": unless(repeat.max, plain.max),
        }
    )


def dump_cache(cache: Cache) -> Json:
    return written({"ttlMs": cache.ttl_ms, "key": cache.key})


def dump_wait(wait: Wait) -> Json:
    return written({"forMs": wait.for_ms, "until": wait.until})


def dump_approval(approval: Approval) -> Json:
    """None when nothing is said."""
    return (
        written(
            {
                "title": approval.title or None,
                "details": approval.details,
                "roles": [*approval.roles] or None,
                "members": [*approval.members] or None,
                "notStarter": approval.not_starter or None,
                "form": approval.form,
                "deadlineMs": approval.deadline_ms,
                "default": unless(approval.default.value, Approval().default.value),
                "remindEveryMs": approval.remind_every_ms,
            }
        )
        or None
    )


def dump_signal(signal: Signal) -> Json:
    """None when nothing is said."""
    return (
        written(
            {
                "name": signal.name,
                "schema": signal.schema,
                "deadlineMs": signal.deadline_ms,
                "default": unless(signal.default.value, Signal().default.value),
            }
        )
        or None
    )


def dump_child(child: Child) -> Json:
    return child.workflow if child.version is None else {"name": child.workflow, "version": child.version}
