"""Arithmetic on numbers of bounded size, and `+` on texts and lists, whose sizes are checked beforehand."""

from collections.abc import Callable

from headrace.json_types import Json
from headrace.workflow.expressions.limits import MAX_OUTPUT, Budget, ExpressionError, check_text_length
from headrace.workflow.expressions.text import check_integer
from headrace.workflow.values import kind_of

Number = int | float


def add(budget: Budget, left: Json, right: Json) -> Json:
    if isinstance(left, str) and isinstance(right, str):
        check_text_length(len(left) + len(right))
        budget.spend_text(len(left) + len(right))
        return left + right
    if isinstance(left, list) and isinstance(right, list):
        if len(left) + len(right) > MAX_OUTPUT:
            raise ExpressionError("a list is too long")
        budget.spend(len(left) + len(right))
        return left + right
    return add_numbers(left, right)


def add_numbers(left: Json, right: Json) -> Number:
    return _calculate(left, right, "+", lambda one, other: one + other)


def subtract(_budget: Budget, left: Json, right: Json) -> Json:
    return _calculate(left, right, "-", lambda one, other: one - other)


def multiply(_budget: Budget, left: Json, right: Json) -> Json:
    return _calculate(left, right, "*", lambda one, other: one * other)


def divide(_budget: Budget, left: Json, right: Json) -> Json:
    return _calculate(left, right, "/", lambda one, other: one / other)


def floor_divide(_budget: Budget, left: Json, right: Json) -> Json:
    return _calculate(left, right, "//", lambda one, other: one // other)


def modulo(_budget: Budget, left: Json, right: Json) -> Json:
    return _calculate(left, right, "%", lambda one, other: one % other)


def power(_budget: Budget, left: Json, right: Json) -> Json:
    if isinstance(left, int) and isinstance(right, int) and abs(left) > 1 and right > 64:
        raise ExpressionError("a number is too large")
    return _calculate(left, right, "**", lambda one, other: one**other)


def bounded(value: object) -> Number:
    """A result that JSON can hold. Raises `ExpressionError`."""
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ExpressionError("a number is too large")
        return value
    if not isinstance(value, int):
        raise ExpressionError("the result is no real number")
    check_integer(value)
    return value


def number(value: Json) -> Number:
    """`value`, if it is a number of bounded size. Raises `ExpressionError`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError(
            f"a number is needed, not {kind_of(value)}", "Turn it with `| int` or `| float`."
        )
    return bounded(value)


def _calculate(left: Json, right: Json, operator: str, operate: Callable[[Number, Number], object]) -> Number:
    if (
        isinstance(left, bool)
        or isinstance(right, bool)
        or not (isinstance(left, int | float) and isinstance(right, int | float))
    ):
        raise ExpressionError(
            f"`{operator}` does not go with {kind_of(left)} and {kind_of(right)}",
            "Turn text into numbers with `| int` or `| float`; join texts with `~`.",
        )
    try:
        return bounded(operate(number(left), number(right)))
    except ZeroDivisionError as error:
        raise ExpressionError("division by zero") from error
    except OverflowError as error:
        raise ExpressionError("a number is too large") from error
