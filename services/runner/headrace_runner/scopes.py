"""What the expressions of a run see: of a step, of an item of a loop, of a condition."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from headrace.json_types import Json, JsonMapping, JsonObject
from headrace.workflow.conditions import ConditionFailed, holds
from headrace.workflow.document import Step, When
from headrace.workflow.expressions.limits import Budget, ExpressionError, OutOfWork
from headrace.workflow.expressions.render import Templates
from headrace.workflow.expressions.scope import Scope
from headrace.workflow.expressions.truth import evaluate_when
from headrace.workflow.keys import RowKey
from headrace.workflow.state import Failure, StepStatus

from headrace_runner.claimed_run import ClaimedRun
from headrace_runner.history import RunHistory
from headrace_runner.loops import Loops
from headrace_runner.rows import StepsView, own_row


class Scopes:
    """Made as they are asked for: a large graph costs a step nothing. `places` gives a step's path in the document."""

    def __init__(
        self, run: ClaimedRun, history: RunHistory, templates: Templates, places: Callable[[str], str]
    ) -> None:
        self._run, self._history, self._templates = run, history, templates
        self._of_run: JsonObject = {
            # What undoes a step names the run that did it.
            "id": str(run.undoes or run.run_id),
            "workflow": run.version.document.workflow,
            "startedAt": run.started_at.isoformat(),
        }
        self.loops = Loops(templates, places)

    def items(self, step: Step) -> list[Json] | Failure:
        """The list of a loop."""
        return self.loops.items(step, self.scope)

    def scope(self, secrets: Mapping[str, str] | None = None, key: RowKey | None = None) -> Scope:
        scope = Scope(
            input=self._run.input,
            env={**self._run.version.document.env, **(secrets or {})},
            steps=StepsView(self._run.graph, self._history.state, own_row(key) if key else None),
            run=self._of_run,
            callbacks=self._run.callbacks if secrets is not None else {},
        )
        if key is None or key.index is None:
            return scope
        items = self.items(self._run.graph.steps[key.step])
        item = items[key.index] if isinstance(items, list) and key.index < len(items) else None
        return replace(scope, loop=True, item=item, index=key.index)

    def evaluate(self, text: str, own: JsonMapping, budget: Budget, key: RowKey | None = None) -> bool:
        try:
            return evaluate_when(self._templates, self.scope(key=key), text, own, budget)
        except OutOfWork:
            raise  # what the whole condition takes
        except ExpressionError as error:
            raise ConditionFailed(error.reason) from error

    def holds(self, when: When, output: Json) -> bool:
        """Whether `when` is true of a step that succeeded with `output`. Raises `ConditionFailed`."""
        return holds(when, {"output": output, "status": StepStatus.SUCCESS, "error": None}, self.evaluate)
