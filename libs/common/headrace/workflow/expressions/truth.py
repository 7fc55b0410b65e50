"""An expression as a condition: true, false, or an error."""

from dataclasses import replace

from headrace.json_types import JsonMapping
from headrace.workflow.expressions.limits import Budget, ExpressionError
from headrace.workflow.expressions.render import Templates
from headrace.workflow.expressions.scope import Scope
from headrace.workflow.values import kind_of


def evaluate_when(templates: Templates, scope: Scope, text: str, own: JsonMapping, budget: Budget) -> bool:
    """Whether `text` is true in `scope`, where `output`, `status` and `error` are those of `own`.

    Raises `ExpressionError`, also for a result that is neither true nor false: what is meant by a text or a number
    there is not guessed.
    """
    found = templates.render(text, replace(scope, own=own), budget=budget)
    if isinstance(found, bool):
        return found
    mend = "Compare it with something, as in `{{ output.total > 0 }}`."
    raise ExpressionError(f"a condition is true or false, not {kind_of(found)}", mend)
