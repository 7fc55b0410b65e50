"""What filters are given, checked and paid for."""

from headrace.json_index import index_in
from headrace.json_types import Json
from headrace.workflow.expressions.limits import Budget, ExpressionError, Missing
from headrace.workflow.values import kind_of


def text_of(budget: Budget, value: Json) -> str:
    if not isinstance(value, str):
        raise ExpressionError(f"text is needed, not {kind_of(value)}", "Turn it with `| string`.")
    budget.spend_text(len(value))
    return value


def elements_of(budget: Budget, value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise ExpressionError(f"a list is needed, not {kind_of(value)}")
    budget.spend(1 + 2 * len(value))
    return value


def members_of(budget: Budget, value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise ExpressionError(f"an object is needed, not {kind_of(value)}")
    budget.spend(1 + len(value))
    return value


def whole_number(value: Json, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ExpressionError(f"a whole number from {least} to {most} is needed")
    return value


def field_of(value: Json, path: Json) -> Json:
    """What stands in `value` under a dotted path of names and indexes. Raises `Missing`."""
    if not isinstance(path, str) or not 0 < len(path) <= 256:
        raise ExpressionError("`attribute` is a name, or names with dots between")
    for name in path.split("."):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and (index := index_in(value, name)) is not None:
            value = value[index]
        else:
            raise Missing("an element has no such attribute", "Leave such elements out, or give `default`.")
    return value


def check_ordered(elements: list[Json]) -> None:
    kinds = {kind_of(element) for element in elements}
    if len(kinds) > 1 or not kinds <= {"number", "text"}:
        raise ExpressionError("only numbers, or only texts, have an order", "Name an `attribute` to go by.")
