"""Failures that are told alike wherever they come about."""

from collections.abc import Sequence

from headrace.errors import Problem
from headrace.workflow.expressions.limits import ExpressionError
from headrace.workflow.state import Failure

OUTPUT_TOO_LARGE = Failure(
    "OUTPUT_TOO_LARGE", "the step's output, or the run's outputs together, are too large"
)
# How many problems of one value a failure names.
_MOST = 5


def expression_failed(error: ExpressionError) -> Failure:
    return Failure("EXPRESSION_FAILED", f"{error.path}: {error.reason}")


def input_mismatch(place: str, problems: Sequence[Problem]) -> Failure:
    """Of an input that does not fit its schema; `place` is the step's path in the document."""
    return Failure("INPUT_MISMATCH", f"{place}: {listed(problems)}")


def listed(problems: Sequence[Problem]) -> str:
    """The first of the problems, as a message tells them."""
    return "; ".join(f"{p.path}: {p.message}" for p in problems[:_MOST])
