"""From a `Document` to its canonical JSON data: what is stored, and what a version's digest is made of.

The exact inverse of `parse_document`; what was not written, or stands for its default, is left out.
"""

from headrace.json_types import Json, JsonObject
from headrace.workflow.document import (
    AllOf,
    AnyOf,
    Condition,
    Document,
    Edge,
    Expression,
    Not,
    OnError,
    Step,
    When,
)
from headrace.workflow.parse import ACTION_TYPE
from headrace.workflow.retry import dump_retry


def dump_document(document: Document) -> JsonObject:
    """The document as JSON data that `parse_document` reads back as an equal document."""
    env: JsonObject = {**document.env}
    env.update((name, {"secret": secret}) for name, secret in document.secrets.items())
    return _written(
        {
            "workflow": document.workflow,
            "parameters": document.parameters,
            "env": env or None,
            "steps": [_step(step) for step in document.steps],
            "edges": [_edge(edge) for edge in document.edges] or None,
            "result": document.result,
            "timeoutMs": document.timeout_ms,
        }
    )


def _step(step: Step) -> Json:
    undo = step.compensate
    mismatch = step.on_output_mismatch
    data = _written(
        {
            "key": step.key,
            "type": None if step.type == ACTION_TYPE else step.type,
            "action": step.action,
            "connection": step.connection,
            "input": step.input,
            "path": step.path,
            "query": step.query,
            "headers": step.headers,
            "body": step.body,
            "output": None if step.output is None else dict(step.output),
            "retry": None if step.retry is None else dump_retry(step.retry),
            "timeoutMs": step.timeout_ms,
            "onError": None if step.on_error is OnError.FAIL else step.on_error.value,
            "onOutputMismatch": None if mismatch is None else mismatch.value,
            "compensate": None if undo is None else {"action": undo.action, "input": undo.input},
        }
    )
    if step.type == "transform":
        data.setdefault("input", None)  # a transform must have one, and null is one
    return data


def _edge(edge: Edge) -> Json:
    return _written(
        {
            "from": edge.from_step,
            "to": edge.to_step,
            "when": None if edge.when is None else _when(edge.when),
        }
    )


def _when(when: When) -> Json:
    match when:
        case AllOf(parts):
            return {"all": [_when(part) for part in parts]}
        case AnyOf(parts):
            return {"any": [_when(part) for part in parts]}
        case Not(part):
            return {"not": _when(part)}
        case Expression(text):
            return text
        case Condition():
            return _condition(when)


def _condition(condition: Condition) -> Json:
    data: JsonObject = {"field": condition.field, "operator": condition.operator}
    if condition.operator != "exists" or condition.value is not None:
        data["value"] = condition.value
    return data


def _written(data: JsonObject) -> JsonObject:
    return {name: value for name, value in data.items() if value is not None}
