"""Reading `when`, `until` and `done`: a condition, several composed, or one expression."""

import re

from headrace.json_types import Json
from headrace.workflow.document import AllOf, AnyOf, Condition, Expression, Not, When
from headrace.workflow.grammar import (
    CONDITION_KEYS,
    MAX_CONDITION_DEPTH,
    MAX_CONDITIONS,
    MAX_EXPRESSION,
    MAX_OPTIONS,
    WHEN_KEYS,
)
from headrace.workflow.names import FIELD
from headrace.workflow.operators import KINDS, OPERATORS, Operator, Takes
from headrace.workflow.paths import at_index
from headrace.workflow.reading import Fields, Reading
from headrace.workflow.values import is_number, kind_of

# The whole text, from the first braces to the last; that it is one expression is checked when it is compiled.
ONE_EXPRESSION = r"[ \t\r\n]*\{\{[\s\S]*\}\}[ \t\r\n]*"
TOO_LARGE = "CONDITION_TOO_LARGE"
_COMPOSED = ("all", "any", "not")
_MEND = "Write `{field, operator, value}`, `{all: [...]}`, `{any: [...]}`, `{not: ...}`, or one `{{ expression }}`."


def read_when(owner: Fields, name: str) -> When | None:
    """What stands under `name`, None when it is not written or wrong. All of it is looked at."""
    if not owner.has(name):
        return None
    reader = _Reader(owner.reading)
    found = reader.read(owner.any(name), owner.at(name), 1)
    if reader.count > MAX_CONDITIONS:
        mend = "Let a transform step compute some of them."
        owner.wrong(name, f"there are more than {MAX_CONDITIONS} conditions", mend, TOO_LARGE)
        return None
    return found


class _Reader:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.count = 0

    def read(self, value: Json, path: str, depth: int) -> When | None:
        if depth > MAX_CONDITION_DEPTH:
            message = f"conditions nest more than {MAX_CONDITION_DEPTH} levels"
            self._reading.add(path, message, "Make it flatter.", TOO_LARGE)
            return None
        if isinstance(value, str):
            self.count += 1
            return self._expression(value, path)
        if not isinstance(value, dict):
            self._reading.add(path, f"a condition is needed, not {kind_of(value)}", _MEND)
            return None
        composed = [name for name in _COMPOSED if name in value]
        if composed:
            return self._composed(composed[0], value, path, depth)
        self.count += 1
        return self._condition(value, path)

    def _expression(self, text: str, path: str) -> When | None:
        if len(text) > MAX_EXPRESSION or not re.fullmatch(ONE_EXPRESSION, text):
            message = f"a text here is exactly one expression of at most {MAX_EXPRESSION} characters"
            self._reading.add(path, message, _MEND)
            return None
        return Expression(text)

    def _composed(self, word: str, value: dict[str, Json], path: str, depth: int) -> When | None:
        fields = self._reading.fields(value, path, (word,))
        if fields is None:
            return None
        if word == "not":
            part = self.read(value[word], fields.at(word), depth + 1)
            return None if part is None else Not(part)
        written = value[word]
        if not isinstance(written, list) or not written:
            fields.wrong(word, "a list of conditions is needed", "Start each condition with `- `.")
            return None
        parts: list[When | None] = []
        for index, one in enumerate(written):
            parts.append(self.read(one, at_index(fields.at(word), index), depth + 1))
            if self.count > MAX_CONDITIONS:
                return None
        if any(part is None for part in parts):
            return None
        every = tuple(part for part in parts if part is not None)
        return AllOf(every) if word == "all" else AnyOf(every)

    def _condition(self, value: dict[str, Json], path: str) -> Condition | None:
        known = CONDITION_KEYS if value.keys() & set(CONDITION_KEYS) else WHEN_KEYS
        fields = self._reading.fields(value, path, known)
        if fields is None:
            return None
        fields.required("field", FIELD.words)
        where = fields.name("field", FIELD)
        fields.required("operator", f"Write one of {', '.join(OPERATORS)}.")
        word = fields.any("operator")
        operator = OPERATORS.get(word) if isinstance(word, str) else None
        if operator is None:
            if fields.has("operator"):
                mend = self._reading.closest(word, OPERATORS) if isinstance(word, str) else _one_of(OPERATORS)
                fields.wrong("operator", "this operator is not known", mend, "UNKNOWN_OPERATOR")
            return None
        _check_value(fields, str(word), operator)
        return Condition(where or "", str(word), fields.any("value"))


def _one_of(words: object) -> str:
    return f"Write one of {', '.join(words)}."  # type: ignore[arg-type]


def _check_value(fields: Fields, word: str, operator: Operator) -> None:
    """Says so when `value` is none that the operator can do with."""
    if not fields.has("value"):
        if operator.needs_value:
            fields.required("value", "Write the value to compare with.")
        return
    value = fields.any("value")
    kind = kind_of(value)
    match operator.takes:
        case Takes.ANYTHING:
            wanted = ""
        case Takes.ORDERED:
            wanted = "" if kind in ("number", "text") else "a number or a text"
        case Takes.RANGE:
            wanted = "" if _is_range(value) else "a list of two numbers, or of two texts"
        case Takes.OPTIONS:
            fits = isinstance(value, list) and len(value) <= MAX_OPTIONS
            wanted = "" if fits else f"a list of at most {MAX_OPTIONS} values"
        case Takes.TEXT | Takes.PATTERN | Takes.TIME:
            wanted = "" if kind == "text" else "a text"
        case Takes.KIND:
            wanted = "" if value in KINDS else f"one of {', '.join(KINDS)}"
        case Takes.LENGTH:
            wanted = "" if _is_length(value) else "a whole number that is not below 0"
        case Takes.MAYBE_BOOLEAN:
            wanted = "" if kind == "boolean" else "true or false"
        case Takes.NOTHING:
            fields.wrong("value", f"`{word}` compares with nothing", "Leave `value` out.")
            return
    if wanted:
        fields.wrong("value", f"`{word}` goes with {wanted}, not with this {kind}", f"Write {wanted}.")


def _is_range(value: Json) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(is_number(part) for part in value) or all(isinstance(part, str) for part in value)


def _is_length(value: Json) -> bool:
    whole = is_number(value) and (not isinstance(value, float) or value.is_integer())
    return whole and value >= 0  # type: ignore[operator]
