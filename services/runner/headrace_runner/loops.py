"""Loops of one run: their lists, rendered when they are first needed, and their results put together."""

from collections.abc import Callable
from uuid import UUID

from headrace.json_types import Json, JsonObject
from headrace.workflow.document import OnError, Step
from headrace.workflow.expressions.limits import ExpressionError
from headrace.workflow.expressions.render import Templates
from headrace.workflow.expressions.scope import Scope
from headrace.workflow.keys import item_key
from headrace.workflow.state import SUCCEEDED, Failure, Place, RunState, StepStatus

from headrace_runner.failures import expression_failed

MAX_ITEMS = 10_000


class Loops:
    """A list is the same whenever it is rendered for the same run: what it is made of has ended. `rendered` counts how
    often one was."""

    def __init__(self, templates: Templates, places: Callable[[str], str]) -> None:
        self._templates, self._places = templates, places
        self._lists: dict[str, dict[UUID, list[Json]]] = {}
        self.rendered = 0

    def items(self, step: Step, did: UUID, scope: Callable[[], Scope]) -> list[Json] | Failure:
        """The list that the run `did` does the step for, or has done it for; `scope` gives what its expressions see."""
        lists = self._lists.setdefault(step.key, {})
        if did not in lists:
            place = f"{self._places(step.key)}.forEach.items"
            written = step.for_each.items if step.for_each else None
            self.rendered += 1
            try:
                made = self._templates.render(written, scope(), place)
            except ExpressionError as error:
                return expression_failed(error)
            if not isinstance(made, list):
                return Failure("NOT_A_LIST", f"{place}: a list is needed")
            if len(made) > MAX_ITEMS:
                return Failure("TOO_MANY_ITEMS", f"{place}: the list has more than {MAX_ITEMS} items")
            lists[did] = made
        return lists[did]

    def forget(self, step: Step) -> None:
        """The loop has ended."""
        self._lists.pop(step.key, None)


def collected(step: Step, state: RunState) -> tuple[JsonObject, Failure | None]:
    """The loop's output, and why it failed, if it did: by the item that failed first."""
    total = state.step(step.key).items or 0
    results: list[Json] = []
    failed: list[Json] = []
    errors: list[tuple[Place, int, Failure]] = []
    for index in range(total):
        row = state.step(item_key(step.key, index))
        results.append(row.output if row.status in SUCCEEDED else None)
        if row.status is StepStatus.FAILED:
            error = row.error or Failure("STEP_FAILED", "the item failed")
            failed.append({"index": index, "error": error.as_json()})
            errors.append((row.failed_at, index, error))
    output: JsonObject = {"results": results, "failed": failed}
    if not errors or (step.for_each and step.for_each.on_item_error is OnError.CONTINUE):
        return output, None
    _, index, error = min(errors, key=lambda failure: failure[:2])
    return output, Failure(error.code, f"item {index} failed: {error.message}")
