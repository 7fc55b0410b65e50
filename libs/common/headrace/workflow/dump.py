"""From a `Document` to its canonical JSON data: what is stored, and what a version's digest is made of.

The exact inverse of `parse_document`; what was not written, or stands for its default, is left out.
"""

from headrace.json_types import Json, JsonObject
from headrace.workflow.document import (
    Concurrency,
    Document,
    Edge,
    EdgeOn,
    Ending,
    Join,
    OnError,
    Step,
)
from headrace.workflow.dump_parts import (
    dump_approval,
    dump_cache,
    dump_child,
    dump_compensation,
    dump_for_each,
    dump_probe,
    dump_repeat,
    dump_signal,
    dump_wait,
    dump_when,
    unless,
    written,
)
from headrace.workflow.grammar import ACTION_TYPE, TRANSFORM_TYPE
from headrace.workflow.retry import dump_retry


def dump_document(document: Document) -> JsonObject:
    """The document as JSON data that `parse_document` reads back as an equal document."""
    env: JsonObject = {**document.env}
    env.update((name, {"secret": secret}) for name, secret in document.secrets.items())
    undone: list[Json] = [*sorted(document.compensate_on)]
    return written(
        {
            "workflow": document.workflow,
            "parameters": document.parameters,
            "env": env or None,
            "steps": [_step(step) for step in document.steps],
            "edges": [_edge(edge) for edge in document.edges] or None,
            "result": document.result,
            "timeoutMs": document.timeout_ms,
            "compensateOn": None if document.compensate_on == frozenset(Ending) else undone,
            "concurrency": None if document.concurrency is None else _concurrency(document.concurrency),
            "retries": {name: dump_retry(retry) for name, retry in document.retries.items()} or None,
            "retryBudget": document.retry_budget,
        }
    )


def _step(step: Step) -> Json:
    mismatch = step.on_output_mismatch
    data = written(
        {
            "key": step.key,
            "type": unless(step.type, ACTION_TYPE),
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
            "onError": unless(step.on_error.value, OnError.FAIL.value),
            "onOutputMismatch": None if mismatch is None else mismatch.value,
            "compensate": None if step.compensate is None else dump_compensation(step.compensate),
            "probe": None if step.probe is None else dump_probe(step.probe),
            "join": unless(step.join.value, Join.ALL.value),
            "forEach": None if step.for_each is None else dump_for_each(step.for_each),
            "repeat": None if step.repeat is None else dump_repeat(step.repeat),
            "cache": None if step.cache is None else dump_cache(step.cache),
            "wait": None if step.wait is None else dump_wait(step.wait),
            "approval": None if step.approval is None else dump_approval(step.approval),
            "signal": None if step.signal is None else dump_signal(step.signal),
            "workflow": None if step.child is None else dump_child(step.child),
        }
    )
    if step.type == TRANSFORM_TYPE:
        data.setdefault("input", None)  # a transform must have one, and null is one
    return data


def _edge(edge: Edge) -> Json:
    return written(
        {
            "from": edge.from_step,
            "to": edge.to_step,
            "when": None if edge.when is None else dump_when(edge.when),
            "on": unless(edge.on.value, EdgeOn.SUCCESS.value),
        }
    )


def _concurrency(concurrency: Concurrency) -> Json:
    plain = Concurrency()
    return written(
        {
            "limit": unless(concurrency.limit, plain.limit),
            "onLimit": unless(concurrency.on_limit.value, plain.on_limit.value),
            "key": concurrency.key,
        }
    )
