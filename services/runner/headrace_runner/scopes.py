"""What the expressions of a run see: of a step, of an item of a loop, of a condition."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from headrace.json_types import Json, JsonMapping
from headrace.workflow.conditions import ConditionFailed, holds
from headrace.workflow.document import Step, When
from headrace.workflow.expressions.limits import Budget, ExpressionError, OutOfWork
from headrace.workflow.expressions.render import Templates, inspect
from headrace.workflow.expressions.scope import Local, Scope
from headrace.workflow.expressions.truth import evaluate_when
from headrace.workflow.keys import Part, RowKey
from headrace.workflow.state import Failure, StepStatus

from headrace_runner.claimed_run import ClaimedRun
from headrace_runner.doers import Doer
from headrace_runner.history import RunHistory
from headrace_runner.loops import Loops
from headrace_runner.rows import StepsView, own_row


class Scopes:
    """Made as they are asked for: a large graph costs a step nothing. `places` gives a step's path in the document."""

    def __init__(
        self, run: ClaimedRun, history: RunHistory, templates: Templates, places: Callable[[str], str]
    ) -> None:
        self._run, self._history, self._templates = run, history, templates
        # What undoes a step names the run that did it.
        self._own = Doer(run.undoes or run.run_id, run.input, run.started_at, run.callbacks)
        self.loops = Loops(templates, places)

    def items(self, step: Step) -> list[Json] | Failure:
        """The list of a loop."""
        return self._items(step, self._own)

    def scope(self, secrets: Mapping[str, str] | None = None, key: RowKey | None = None) -> Scope:
        did = self._doer(key)
        scope = self._seen_by(did, secrets, key)
        if key is None or key.index is None:
            return scope
        items = self._items(self._run.graph.steps[key.step], did)
        item = items[key.index] if isinstance(items, list) and key.index < len(items) else None
        return replace(scope, loop=True, item=item, index=key.index)

    def unknown(self, key: RowKey) -> Failure | None:
        """Why nobody can tell what the work that `key` undoes was done with, if so. Nothing is undone by a guess."""
        step = self._run.graph.steps[key.step]
        if key.part is not Part.UNDO or step.compensate is None:
            return None
        if self._run.doers.get(key.work, self._own) is None:
            return Failure("INPUT_GONE", "the run that did the step is not kept any more, nor is its input")
        if key.index is None:
            return None
        items = self._items(step, self._doer(key))
        same = isinstance(items, list) and len(items) == self._history.state.step(key.step).items
        if same or not inspect(step.compensate.input, local=Local(loop=True))[0].loop:
            return None
        return Failure("ANOTHER_LIST", "the loop's list is not the one any more that the step was done for")

    def _doer(self, key: RowKey | None) -> Doer:
        """The run whose input, list and name the row sees: for what undoes or asks about a row, the one that did it."""
        if key is None or key.part is None:
            return self._own
        return self._run.doers.get(key.work) or self._own

    def _items(self, step: Step, did: Doer) -> list[Json] | Failure:
        return self.loops.items(step, did.run_id, lambda: self._seen_by(did))

    def _seen_by(
        self, did: Doer, secrets: Mapping[str, str] | None = None, key: RowKey | None = None
    ) -> Scope:
        document = self._run.version.document
        return Scope(
            input=did.input,
            env={**document.env, **(secrets or {})},
            steps=StepsView(self._run.graph, self._history.state, own_row(key) if key else None),
            run={
                "id": str(did.run_id),
                "workflow": document.workflow,
                "startedAt": did.started_at.isoformat(),
            },
            callbacks=did.callbacks if secrets is not None else {},
        )

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
