"""`transform`: mapping only. Its output is its rendered input, or what its paths extract from that."""

from headrace.errors import HeadraceError
from headrace.workflow.document import RetryPolicy
from headrace.workflow.expressions.limits import ExpressionError
from headrace.workflow.extraction import extract
from headrace.workflow.state import Failure

from headrace_runner.failures import expression_failed
from headrace_runner.steps.protocol import Outcome, Prepared, StepContext, StepServices, Succeeded


class TransformStep:
    def __init__(self, services: StepServices) -> None:
        self._templates = services.templates

    def prepare(self, context: StepContext) -> Prepared | Failure:
        step = context.step
        try:
            rendered = self._templates.render(step.input, context.scope, f"{context.place}.input")
            output = extract(rendered, step.output) if step.output is not None else rendered
        except ExpressionError as error:
            return expression_failed(error)
        except HeadraceError as error:
            return Failure(error.code, error.message)
        return Prepared(rendered, side_effect=False, unsafe=False, retry=RetryPolicy(), work=output)

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        return Succeeded(prepared.work)
