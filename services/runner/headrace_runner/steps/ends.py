"""Steps that end the run when they are reached: `succeed` and `fail`."""

from headrace.workflow.document import RetryPolicy
from headrace.workflow.expressions.limits import ExpressionError
from headrace.workflow.state import Failure

from headrace_runner.failures import expression_failed
from headrace_runner.steps.protocol import Outcome, Prepared, StepContext, StepServices, Succeeded


class SucceedStep:
    """`succeed`: nothing more is begun, and the run succeeds. Its input, if written, is the run's result."""

    def __init__(self, services: StepServices) -> None:
        self._templates = services.templates

    def prepare(self, context: StepContext) -> Prepared | Failure:
        try:
            made = self._templates.render(context.step.input, context.scope, f"{context.place}.input")
        except ExpressionError as error:
            return expression_failed(error)
        return Prepared(made, side_effect=False, unsafe=False, retry=RetryPolicy(), work=made)

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        return Succeeded(prepared.work)


class FailStep:
    """`fail`: the step fails with the code and the message that its input gives, and by that the run."""

    def __init__(self, services: StepServices) -> None:
        self._templates = services.templates

    def prepare(self, context: StepContext) -> Failure:
        try:
            made = self._templates.render(context.step.input, context.scope, f"{context.place}.input")
        except ExpressionError as error:
            return expression_failed(error)
        given = made if isinstance(made, dict) else {}
        return Failure(
            str(given.get("code") or "FAILED"), str(given.get("message") or "the workflow failed the run")
        )

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        raise AssertionError("a step that fails by its preparation is never attempted")
