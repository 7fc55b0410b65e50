"""What expressions mean: types, names, operators, filters, and what a missing thing does."""

from typing import Any

import pytest
from headrace.json_types import Json
from headrace.workflow.expressions import (
    ExpressionError,
    Scope,
    Templates,
    inspect,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.sandbox import SandboxedEnvironment

from tests.unit.workflow.rendering import SCOPE, fails, render


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # exactly one expression keeps its type, white space around it aside
        ("{{ input.n }}", 5),
        ("{{input.f}}", 2.5),
        (" {{ input.yes }}\n", True),
        ("{{ input.nothing }}", None),
        ("{{ input.items }}", [{"id": 1, "tags": ["b"]}, {"id": 2, "tags": []}]),
        ("{{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("{{ [1, (2, 3)] }}", [1, [2, 3]]),
        # anything around it, and it is text
        ("n={{ input.n }}", "n=5"),
        ("{{ input.n }}{{ input.f }}", "52.5"),
        ("{{ input.yes }}!", "true!"),
        ("{{ input.names }}.", '["bo","al","bo"].'),
        ("{{ 8 / 2 }} pieces", "4 pieces"),
        (
            "{{ 8 / 2 }},{{ -0.0 }},{{ 1e15 * 10 }},{{ 2.0 ** 53 }},{{ 1e20 }}",
            "4,0,10000000000000000,9007199254740992,100000000000000000000",
        ),
        ("{{ 5.5 }},{{ 0.00001 }},{{ 1e21 }},{{ true }}", "5.5,1e-05,1e+21,true"),
        ("{{ [8 / 2, {'n': 1e16}, 1.5, 'v1.0'] }}!", '[4,{"n":10000000000000000},1.5,"v1.0"]!'),
        ("{{ {'n': 8 / 2} | tojson }}{{ (8 / 2) | string }}{{ [8 / 2, 3] | join('-') }}", '{"n":4}44-3'),
        ("{{ {'n': 8 / 2} | urlencode }}", "n=4"),
        ("plain", "plain"),
        ("{# no comment #} } {", "{# no comment #} } {"),
        ("{{ '{% raw %}' }}", "{% raw %}"),
        ("{{ '}}' }}{{ \"{{\" }}", "}}{{"),
        # the field first, never a Python attribute
        ("{{ input.map.keys }}", "k"),
        ("{{ input.items[1].id }}", 2),
        ("{{ input.items.1.id }}", 2),
        ("{{ input.items[-1]['id'] }}", 2),
        ("{{ input.map['a b'] }}", 1),
        ("{{ input['map'].keys }}", "k"),
        # steps, env, run
        ("{{ steps.ok.output.body.id }}", 7),
        ("{{ steps.bad.error.code }}", "TIMEOUT"),
        ("{{ steps['ok'].status }}", "SUCCESS"),
        ("{{ steps.skipped.output }}", None),
        ("{{ env.REGION }}-{{ run.id }}", "eu-r-1"),
        # operators
        ("{{ input.n + 1 * 2 - 3 }}", 4),
        ("{{ -input.n }}", -5),
        ("{{-1}}", -1),
        ("{{ 7 // 2 }}", 3),
        ("{{ 7 % 4 }}", 3),
        ("{{ 2 ** 10 }}", 1024),
        ("{{ 'a' + 'b' }}", "ab"),
        ("{{ [1] + [2] }}", [1, 2]),
        ("{{ 'id-' ~ input.n ~ true }}", "id-5true"),
        ("{{ input.n > 3 and not input.nothing }}", True),
        ("{{ 1 < input.n <= 5 }}", True),
        ("{{ input.nothing or 'x' }}", "x"),
        ("{{ 'a' if input.n == 5 else 'b' }}", "a"),
        ("{{ 1 == 1.0 }}", True),
        ("{{ 1 == true }}", False),
        ("{{ {'a': [1]} == {'a': [1.0]} }}", True),
        ("{{ 'rü' in input.text }}", True),
        ("{{ 2 not in [1, 3] }}", True),
        ("{{ 'n' in input }}", True),
        ("{{ input.text[1:3] }}", "rü"),
        ("{{ input.names[::-1] }}", ["bo", "al", "bo"]),
        # what is missing
        ("{{ input.what.ever[3] | default('d') }}", "d"),
        ("{{ steps.skipped.output.body.id | default(0) }}", 0),
        ("{{ input.nothing | default('d') }}", None),
        ("{{ input.nothing | default('d', true) }}", "d"),
        ("{{ input.what is defined }}", False),
        ("{{ input.nothing is defined and input.nothing is none }}", True),
        ("{{ steps.bad.error is not none }}", True),
    ],
)
def test_values(text: str, expected: Json) -> None:
    result = render(text)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ -2.5 | abs }}", 2.5),
        ("{{ 'aä' | b64encode }}", "YcOk"),
        ("{{ 'YcOk' | b64decode }}", "aä"),
        ("{{ 'aB c' | capitalize }}", "Ab c"),
        ("{{ input.names | count }}", 3),
        ("{{ input.names | first }}{{ input.names | last }}", "bobo"),
        ("{{ [] | first | default('none') }}", "none"),
        ("{{ '2.5' | float }}", 2.5),
        ("{{ '{\"a\": [1]}' | fromjson }}", {"a": [1]}),
        ("{{ ' 42 ' | int }}", 42),
        ("{{ '+3' | int ~ ' ' ~ ('-007' | int) }}", "3 -7"),
        (
            "{{ [' .5' | float, '1e3' | float, '+2.' | float, '-1.5E-1 ' | float] }}",
            [0.5, 1000.0, 2.0, -0.15],
        ),
        ("{{ 2.9 | int }}", 2),
        ("{{ 'x' | int(default=0) }}", 0),
        ("{{ 'x' | int(none) }}", None),
        ("{{ [] | float(default=none) }}", None),
        ("{{ {'a': 1} | items }}", [["a", 1]]),
        ("{{ input.items | join(',', attribute='id') }}", "1,2"),
        ("{{ {'b': 1, 'a': 2} | keys }}", ["b", "a"]),
        ("{{ {'b': 1, 'a': 2} | values | sum }}", 3),
        ("{{ input.text | length }}", 5),
        ("{{ input.text | lower }}", "grüße"),
        ("{{ input.text | upper }}", "GRÜSSE"),
        ("{{ input.items | map(attribute='tags.0', default='-') }}", ["b", "-"]),
        ("{{ [{'w': 1}, none, {}] | map('w', none) }}", [1, None, None]),
        ("{{ [3, 1, 2] | max - ([3, 1, 2] | min) }}", 2),
        ("{{ 'a-b-c' | replace('-', '+') }}", "a+b+c"),
        ("{{ 'abc' | reverse }}", "cba"),
        ("{{ 2.567 | round(2) }}", 2.57),
        ("{{ 2.5 | round }}", 2),
        ("{{ 2.1 | round(0, 'ceil') }}", 3),
        ("{{ 1.1 | round(2, 'ceil') }}", 1.1),
        ("{{ 0.29 | round(2, 'floor') }}", 0.29),
        ("{{ (0 - 1.155) | round(2, 'floor') }}", -1.16),
        ("{{ 9007199254740993 | round(2, 'floor') }}", 9007199254740993),
        ("{{ 1e300 | round(15, 'ceil') }}", 1e300),
        ("{{ 2.17 | round(1, method='floor') }}", 2.1),
        ("{{ input.items | sort(reverse=true, attribute='id') | map(attribute='id') }}", [2, 1]),
        ("{{ 'a,b' | split(',') }}", ["a", "b"]),
        ("{{ 5 | string }}", "5"),
        ("{{ input.items | sum(attribute='id') }}", 3),
        ("{{ {'ä': [1, null_]} | tojson }}".replace("null_", "none"), '{"ä":[1,null]}'),
        ("{{ '  x ' | trim }}", "x"),
        ("{{ input.names | unique }}", ["bo", "al"]),
        ("{{ [1, 1.5, true, 1] | unique }}", [1, 1.5, True]),
        # what `==` says is equal is one, and nothing else is
        (
            "{{ [1, 1.0, '1', true, 'true', -0.0, 0, none, false] | unique }}",
            [1, "1", True, "true", 0, None, False],
        ),
        (
            "{{ [[1], [1.0], [true], {'a': 1, 'b': 2}, {'b': 2.0, 'a': 1}] | unique }}",
            [[1], [True], {"a": 1, "b": 2}],
        ),
        ("{{ [1152921504606846976, 2 ** 60 * 1.0, 1152921504606847000] | unique | length }}", 2),
        ("{{ [{'n': 1}, {'n': 1.0}] | unique(attribute='n') | length }}", 1),
        ("{{ 'a b/ü' | urlencode }}", "a%20b%2F%C3%BC"),
        ("{{ {'q': 'a b', 'n': 1} | urlencode }}", "q=a%20b&n=1"),
    ],
)
def test_filters(text: str, expected: Json) -> None:
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "is_float"),
    [
        ("1_000", False),
        ("12_34.5", False),
        ("\N{ARABIC-INDIC DIGIT THREE}", False),
        ("\N{FULLWIDTH DIGIT ONE}", False),
        ("\N{SUPERSCRIPT TWO}", False),
        ("0x10", False),
        ("- 1", False),
        ("1 2", False),
        ("", False),
        ("+", False),
        (".", False),
        ("e3", False),
        ("1e", False),
        ("nan", False),
        ("-Infinity", False),
        ("1e999", False),
        ("9" * 65, False),
        ("2.5", True),
        ("1e3", True),
    ],
)
def test_a_text_that_spells_no_number_in_decimal_gives_the_default(text: str, is_float: bool) -> None:
    assert render(f"{{{{ '{text}' | int(none) }}}}") is None
    assert "is no whole number" in fails(f"{{{{ '{text}' | int }}}}").reason
    assert (render(f"{{{{ '{text}' | float(none) }}}}") is not None) is is_float


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ input.what }}", "`input.what` is not there"),
        ("{{ input.n.x }}", "is number"),
        ("{{ input.nothing.x }}", "is null"),
        ("{{ steps.skipped.output.body }}", "is null"),
        ("{{ input.items[9] }}", "`input.items[9]` is not there"),
        ("{{ env.NOPE }}", "`env.NOPE` is not there"),
        ("{{ [] | first }}", "`first`: the list is empty"),
        ("id-{{ input.nothing }}", "null can not be part of a text"),
        ("{{ 'a' ~ input.nothing }}", "null can not be part of a text"),
        ("{{ 1 + 'a' }}", "`+` does not go with number and text"),
        ("{{ true + 1 }}", "`+` does not go with boolean and number"),
        ("{{ 'a' * 3 }}", "`*` does not go with text and number"),
        ("{{ '%s' % 1 }}", "`%` does not go with text and number"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 1 < 'a' }}", "number and text have no order"),
        ("{{ [1, 'a'] | sort }}", "only numbers, or only texts"),
        ("{{ 'x' | int }}", "is no whole number"),
        ("{{ 'x' | fromjson }}", "the text is not JSON"),
        ("{{ {1: 2} }}", "a name in an object is text, not number"),
        ("{{ input.names['a':] }}", "an index is a whole number"),
        ("{{ (0 - 8) ** 0.5 }}", "no real number"),
        ("{{ input.items | map(attribute='nope') }}", "no such attribute"),
    ],
)
def test_what_has_no_value_says_why(text: str, reason: str) -> None:
    error = fails(text)
    assert reason in error.reason
    assert error.path == "at"
    assert error.mend


def test_values_are_rendered_deep_and_errors_name_the_place() -> None:
    assert render({"a": ["{{ input.n }}", {"b": "{{ input.f }}"}], "c": 1, "d": None}) == {
        "a": [5, {"b": 2.5}],
        "c": 1,
        "d": None,
    }
    assert fails({"a": [1, {"b c": "{{ input.what }}"}]}).path == "at.a[1]['b c']"


def test_numbers_count_as_they_are_written_out() -> None:
    few, many = [1e308] * 3_000, [1e308] * 4_000
    assert Templates().render("{{ input }}", Scope(few, {}, {}, {})) == few
    with pytest.raises(ExpressionError, match="characters at most"):
        Templates().render("{{ input }}", Scope(many, {}, {}, {}))


def test_names_of_objects_are_not_templates() -> None:
    assert render({"{{ input.n }}": 1}) == {"{{ input.n }}": 1}


def test_data_is_never_rendered_again() -> None:
    scope = Scope(input={"x": "{{ env.SECRET }}"}, env={"SECRET": "s"})
    assert render("{{ input.x }} {{ input.x ~ '' }}", scope) == "{{ env.SECRET }} {{ env.SECRET }}"


def test_loop_names_exist_in_a_loop_only() -> None:
    assert fails("{{ item }}").reason == "`item` is not a name"
    assert render("{{ item.x ~ index }}", Scope(loop=True, item={"x": "a"}, index=3)) == "a3"
    templates = Templates()
    assert templates.render("{{ item }}", Scope(loop=True, item=1)) == 1
    with pytest.raises(ExpressionError):
        templates.render("{{ item }}", Scope())


names = st.sampled_from(["n", "f", "yes", "text", "names"])
simple = st.one_of(
    names.map(lambda name: f"input.{name}"),
    st.integers(0, 99).map(str),
    st.sampled_from(["'a'", "2.5", "true", "[1, 2]"]),
)
expressions = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "<", ">=", "and", "or", "in"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        inner.map(lambda e: f"(not {e})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        inner.map(lambda e: f"({e} | default(0))"),
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(expressions)
def test_where_both_have_a_value_jinja_has_the_same(source: str) -> None:
    """Ours refuses more than Jinja2; but what it gives, Jinja2 gives too (equality of booleans and numbers aside)."""
    text = "{{ " + source + " }}"
    try:
        ours: Any = render(text)
    except ExpressionError:
        return
    assert ours == SandboxedEnvironment(optimized=False).compile_expression(source)(input=SCOPE.input)


def test_callbacks_are_looked_up_by_step() -> None:
    scope = Scope(callbacks={"paid": "https://hooks.example/x"})
    assert render("{{ callbacks.paid }}", scope) == "https://hooks.example/x"
    assert "is not there" in fails("{{ callbacks.other }}", scope).reason
    assert inspect("{{ callbacks.paid }}?{{ callbacks['other'] }}")[0].callbacks == {"paid", "other"}
    assert inspect("{{ callbacks }}")[1]
