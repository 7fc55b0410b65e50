"""What makes a call of an action this one and no other: for who approves it, and for a result that may stand for it."""

from collections.abc import Callable, Mapping

from headrace.json_types import Json, JsonObject
from headrace.outbound.call import OutboundCall
from headrace.workflow.assign import RequestParts
from headrace.workflow.definition import PinnedAction

from headrace_runner.results import Sought
from headrace_runner.steps.protocol import StepContext


def shown(
    pinned: PinnedAction,
    connection_id: str | None,
    call: OutboundCall,
    parts: RequestParts,
    template: Mapping[str, Json],
) -> Json:
    """All that tells this call from another, but for what is Headrace's own or the credential's."""
    return {
        "action": pinned.definition.ref,
        "revision": pinned.revision_id,
        "connection": connection_id,
        "method": call.method,
        "url": call.url,
        "path": parts.path,
        "query": parts.query,
        "headers": {**template, **parts.headers},
        "body": parts.body,
    }


def sought(
    context: StepContext,
    pinned: PinnedAction,
    connection_id: str | None,
    base_url: str,
    cached_by: Json,
    call: Callable[[], Json],
) -> Sought | None:
    """By what an earlier result is found; None: nothing is cached. What the document makes of an answer tells
    results apart, too; and so does the connection as it was when its credential was handed out: a call with the
    credential of before a change is never taken for one with the credential of after it."""
    step, action = context.step, pinned.definition
    if step.cache is None:
        return None
    changed_at = context.credentials.changed_at(connection_id) if connection_id else None
    if connection_id and changed_at is None:
        return None
    keyed: JsonObject = {"revision": pinned.revision_id, "connection": connection_id, "base": base_url}
    by: JsonObject = {
        "request": call() if cached_by is None else {**keyed, "key": cached_by},
        "changedAt": changed_at,
        "output": None if step.output is None else dict(step.output),
        "onOutputMismatch": (step.on_output_mismatch or action.on_output_mismatch).value,
    }
    return Sought(step.cache, action.ref, by)
