"""Filters on lists and objects; some take texts too."""

from headrace.json_types import Json
from headrace.workflow.expressions.arithmetic import bounded, number
from headrace.workflow.expressions.limits import (
    UNITS_PER_PAIR,
    Budget,
    ExpressionError,
    Missing,
    check_text_length,
)
from headrace.workflow.expressions.operands import check_ordered, elements_of, field_of, members_of, text_of
from headrace.workflow.expressions.signature import NotGiven
from headrace.workflow.expressions.text import as_text, measure, written
from headrace.workflow.values import kind_of, like, order


def join_of(budget: Budget, value: Json, separator: Json = "", attribute: Json = None) -> Json:
    separator = text_of(budget, separator)
    parts: list[str] = []
    length = 0
    for element in elements_of(budget, value):
        text = as_text(budget, element if attribute is None else field_of(element, attribute))
        length += len(text) + len(separator)
        check_text_length(length)
        budget.spend_text(len(separator))
        parts.append(text)
    return separator.join(parts)


def length_of(_budget: Budget, value: Json) -> Json:
    if not isinstance(value, str | list | dict):
        raise ExpressionError(f"{kind_of(value)} has no length")
    return len(value)


def first_of(_budget: Budget, value: Json) -> Json:
    return _end(value, 0)


def last_of(_budget: Budget, value: Json) -> Json:
    return _end(value, -1)


def _end(value: Json, position: int) -> Json:
    if not isinstance(value, str | list):
        raise ExpressionError(f"a list is needed, not {kind_of(value)}")
    if not value:
        raise Missing("the list is empty", "Write `| default(...)` after it.")
    return value[position]


def reverse_of(budget: Budget, value: Json) -> Json:
    return text_of(budget, value)[::-1] if isinstance(value, str) else elements_of(budget, value)[::-1]


def keys_of(budget: Budget, value: Json) -> Json:
    return list(members_of(budget, value))


def values_of(budget: Budget, value: Json) -> Json:
    return list(members_of(budget, value).values())


def items_of(budget: Budget, value: Json) -> Json:
    return [[name, part] for name, part in members_of(budget, value).items()]


def map_of(
    budget: Budget, value: Json, attribute: Json, default: "Json | NotGiven" = NotGiven.NOT_GIVEN
) -> Json:
    found: list[Json] = []
    for element in elements_of(budget, value):
        try:
            found.append(field_of(element, attribute))
        except Missing:
            if isinstance(default, NotGiven):
                raise
            found.append(default)
    return found


def sort_of(budget: Budget, value: Json, reverse: Json = False, attribute: Json = None) -> Json:
    elements = elements_of(budget, value)
    keys = [element if attribute is None else field_of(element, attribute) for element in elements]
    check_ordered(keys)
    turns = max(1, len(elements).bit_length())
    budget.spend(turns * sum(1 + len(key) // 64 if isinstance(key, str) else 1 for key in keys))
    positions = sorted(range(len(keys)), key=keys.__getitem__, reverse=bool(reverse))  # type: ignore[arg-type]
    return [elements[position] for position in positions]


def unique_of(budget: Budget, value: Json, attribute: Json = None) -> Json:
    seen: set[str] = set()
    kept: list[Json] = []
    for element in elements_of(budget, value):
        budget.spend(UNITS_PER_PAIR)
        key = _alike(budget, element if attribute is None else field_of(element, attribute))
        if key not in seen:
            seen.add(key)
            kept.append(element)
    return kept


def _alike(budget: Budget, value: Json) -> str:
    """One text for all values that equal each other. No hash of lists and objects: whoever writes them could choose
    many of one hash."""
    budget.spend(measure(budget, value) // 32)
    return written(like(value))


def sum_of(budget: Budget, value: Json, attribute: Json = None) -> Json:
    total: int | float = 0
    for element in elements_of(budget, value):
        total = bounded(total + number(element if attribute is None else field_of(element, attribute)))
    return total


def min_of(budget: Budget, value: Json) -> Json:
    return _extreme(budget, value, -1)


def max_of(budget: Budget, value: Json) -> Json:
    return _extreme(budget, value, 1)


def _extreme(budget: Budget, value: Json, wanted: int) -> Json:
    elements = elements_of(budget, value)
    if not elements:
        raise Missing("the list is empty", "Write `| default(...)` after it.")
    check_ordered(elements)
    best = elements[0]
    for element in elements[1:]:
        if isinstance(element, str):
            budget.spend_text(len(element))
        if order(element, best) == wanted:
            best = element
    return best
