"""Filters on numbers, and to them."""

import re
from contextlib import suppress
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from headrace.json_types import Json
from headrace.workflow.expressions.arithmetic import bounded, number
from headrace.workflow.expressions.limits import Budget, ExpressionError
from headrace.workflow.expressions.operands import whole_number
from headrace.workflow.expressions.signature import NotGiven
from headrace.workflow.values import kind_of

# Digits as JSON has them: Python would read `1_000` and the digits of other scripts, too.
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LONGEST = 64
_EXACT = Context(prec=400)  # digits: more than the largest double has, with those behind its point


def abs_of(_budget: Budget, value: Json) -> Json:
    return abs(number(value))


def round_of(_budget: Budget, value: Json, precision: Json = 0, method: Json = "common") -> Json:
    digits = whole_number(precision, 0, 15)
    if method == "common":
        return round(number(value), digits) if digits else round(number(value))
    if method not in ("ceil", "floor"):
        raise ExpressionError("`method` is common, ceil or floor")
    exact = number(value)
    if isinstance(exact, int):
        return exact
    # By the digits that one reads: 1.1 is a little more than that in binary, and 0.29 a little less.
    rounding = ROUND_CEILING if method == "ceil" else ROUND_FLOOR
    turned = Decimal(repr(exact)).quantize(Decimal(1).scaleb(-digits), rounding, _EXACT)
    return float(turned) if digits else bounded(int(turned))


def to_int(_budget: Budget, value: Json, default: "Json | NotGiven" = NotGiven.NOT_GIVEN) -> Json:
    return _converted(value, default, "whole number", int, _WHOLE)


def to_float(_budget: Budget, value: Json, default: "Json | NotGiven" = NotGiven.NOT_GIVEN) -> Json:
    return _converted(value, default, "number", float, _NUMBER)


def _converted(
    value: Json,
    default: "Json | NotGiven",
    what: str,
    turn: type[int] | type[float],
    spelled: re.Pattern[str],
) -> Json:
    if isinstance(value, int | float):
        return bounded(turn(value))
    if isinstance(value, str) and len(value) <= _LONGEST and spelled.fullmatch(text := value.strip()):
        with suppress(ExpressionError):
            return bounded(turn(text))
    if isinstance(default, NotGiven):
        raise ExpressionError(f"the {kind_of(value)} is no {what}", "Give it a `default`.")
    return default
