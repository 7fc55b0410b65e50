"""Expressions are written by tenants: they stall nobody.

The bounds on processor time are many times what is measured, so that only a change of order trips them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from headrace.json_types import Json
from headrace.workflow.expressions import ExpressionError, Templates, check_expressions
from headrace.workflow.expressions.limits import MAX_OUTPUT

from tests.security.expression_scope import SCOPE


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """The processor time of this process, not the clock on the wall: others share the machine."""
    began = time.process_time()
    yield
    assert time.process_time() - began < seconds


COSTLY = [
    "input.text ~ input.text ~ input.text ~ input.text ~ input.text ~ input.text",
    "[" + "input.text," * 200 + "] | join",
    "[" + "input.text," * 200 + "]",
    "[" + "input.list," * 200 + "]",
    " + ".join(["input.list"] * 60),
    "input.text" + " | replace('a', 'aa')" * 30,
    "input.text | replace('a', input.text)",
    "input.text" + " | urlencode" * 30,
    "input.text" + " | tojson" * 60,
    "input.text" + " | b64encode" * 60,
    "input.list | sort | unique | sort | unique | sort | unique | sort | unique",
    "input.texts" + " | sort" * 60,
    "input.objects" + " | sort(attribute='name')" * 60,
    "input.objects" + " | unique" * 60,
    "input.list" + " | reverse" * 60,
    "input.text" + " | reverse" * 60,
    "input.text | split('a')" + " | join('a') | split('a')" * 25,
    " and ".join(["input.list == input.list"] * 60),
    " and ".join(["[0] not in input.list"] * 60),
    " and ".join(["input.text not in input.texts"] * 60),
    " and ".join(["'b' * 0 == ''"] * 10),
    "input.text | fromjson",
    "('[' ~ input.text[:5] ~ ']') | fromjson",
    "input | tojson | fromjson | tojson",
    "(input | tojson) ~ (input | tojson)",
    "[" + ",".join(["(input.list | sum)"] * 100) + "]",
    "[" + ",".join(["(input.list | max)"] * 100) + "]",
    "[" + ",".join(["(input.text | upper)"] * 100) + "]",
]


@pytest.mark.parametrize("source", COSTLY, ids=[source[:40] for source in COSTLY])
def test_no_expression_takes_long_or_makes_much(source: str) -> None:
    with within(5):
        try:
            made = Templates().render({"x": ["{{ " + source + " }}"] * 20}, SCOPE)
        except ExpressionError:
            return
    assert length(made) <= 8 * MAX_OUTPUT


def test_many_expressions_share_one_budget() -> None:
    with within(5), pytest.raises(ExpressionError, match="too much work"):
        Templates().render(["{{ input.list | sum }}"] * 2_000, SCOPE)


@pytest.mark.parametrize(
    "text",
    [
        "{{" * 100_000,
        "{{ 1 }}" * 40_000,
        "{{ '" + "a" * 250_000,
        "{{ " + "(" * 4_000,
        "{{ " + "1 ** " * 800 + "1 }}",
        "{{ " + "[1][" * 500 + "0" + "]" * 500 + " }}",
        "{{ " + "a." * 2_000 + "a }}",
        "{{ " + "'a' " * 900 + "}}",
        "{{ " + "1_" * 2_000 + "1 }}",
        "{{ 1." + "0" * 4_000 + " }}",
        "}}" * 100_000,
        "{{ '" + "\\N{SPACE}" * 400 + "' }}",
    ],
    ids=lambda text: text[:12],
)
def test_checking_a_text_is_cheap_however_it_is_written(text: str) -> None:
    with within(3):
        check_expressions(text)


def test_checking_evaluates_nothing() -> None:
    """The control plane saves definitions: constants may not fold, however large they would be."""
    with within(1):
        assert check_expressions("{{ 10 ** 60 * 'a' ~ [1] * 999999999 }}") == []


def length(value: Json) -> int:
    total = 0
    waiting = [value]
    while waiting:
        part = waiting.pop()
        match part:
            case str():
                total += len(part)
            case list():
                total += len(part)
                waiting.extend(part)
            case dict():
                total += len(part)
                waiting.extend(part.values())
            case _:
                total += 8
        if total > 100 * MAX_OUTPUT:
            break
    return total
