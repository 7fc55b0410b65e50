"""Texts that people write: what YAML and JSON mean here, and what is refused."""

import json

import pytest
from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json
from headrace.workflow.text import read_document_text
from hypothesis import given, settings
from hypothesis import strategies as st


def problem(text: str) -> Problem:
    with pytest.raises(InvalidInput) as caught:
        read_document_text(text)
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1", {"a": 1}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: [yes, No, on, OFF, y]", {"a": ["yes", "No", "on", "OFF", "y"]}),
        ("a: [true, False, null, ~, ]", {"a": [True, False, None, None]}),
        ("a:\nb: ''", {"a": None, "b": ""}),
        ("a: 2024-05-14\nb: 2024-05-14T10:00:00Z", {"a": "2024-05-14", "b": "2024-05-14T10:00:00Z"}),
        ("a: [12:30:45, 0o17, 0x1f, 1_000]", {"a": ["12:30:45", "0o17", "0x1f", "1_000"]}),
        ("a: [007, +4912, .5]", {"a": ["007", "+4912", ".5"]}),
        ("a: [-1, 0, 1.5, 1e3, -2.5E-1]", {"a": [-1, 0, 1.5, 1000.0, -0.25]}),
        ("a: '1'\nb: \"2\"\nc: !!str 3\nd: ! 4", {"a": "1", "b": "2", "c": "3", "d": "4"}),
        ("a: |\n  x\n  {{ y }}\n", {"a": "x\n{{ y }}\n"}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("&x a: 1", {"a": 1}),
        ('{"a": [1, 2.5, null, true, "\\u00fc"]}', {"a": [1, 2.5, None, True, "ü"]}),
        ("{a: [x, y], b: {c: 1}}", {"a": ["x", "y"], "b": {"c": 1}}),
        ("- a\n- b", ["a", "b"]),
        ("just text", "just text"),
    ],
)  # fmt: skip
def test_what_is_read(text: str, expected: Json) -> None:
    made = read_document_text(text)
    assert made == expected
    assert json.dumps(made) == json.dumps(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: *x", "aliases are not supported (line 2, column 4)"),
        ("a: !!python/object/apply:os.system [x]", "tags are not supported (line 1, column 4)"),
        ("a: !!binary aGk=", "tags are not supported"),
        ("a: !!set {x}", "tags are not supported"),
        ("a: 1\na: 2", "a name stands twice"),
        ("{a: 1, a: 2}", "a name stands twice"),
        ('{"a": {"b": 1, "b": 2}}', "a name stands twice"),
        ("1: x", "a name is no text"),
        ("true: x", "a name is no text"),
        ("? [a]\n: b", "a name is no text"),
        ("a: {{ input.x }}", "a name is no text"),
        ("a: .nan", "NaN and Infinity"),
        ("a: -.inf", "NaN and Infinity"),
        ('{"a": NaN}', "NaN and Infinity"),
        ('{"a": -Infinity}', "NaN and Infinity"),
        ("a: 1e999", "too large"),
        ('{"a": 1e999}', "too large"),
        ('{"a": ' + "9" * 5_000 + "}", "too large"),
        ("a: " + "9" * 5_000, "too large"),
        ("a: 1\n---\nb: 2", "more than one document"),
        ("", "empty"),
        ("# only a comment", "empty"),
        ("a:\n\t- b", "this is no YAML (line 2"),
        ("a: 'x", "this is no YAML"),
        ("a: [1", "this is no YAML"),
        ("a: \x01", "this is no YAML"),
        ("[" * 5_000, "levels"),
        ("[" * 200_000 + "]" * 200_000, "levels"),
        ("- " * 5_000, "levels"),
        ("? " * 5_000, "levels"),
        ('{"a":' * 5_000, "levels"),
        ("x" * (1024 * 1024 + 1), "bytes"),
        ("é" * (600 * 1024), "bytes"),
        ("[" + "1," * 220_000 + "]", "values"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_refused(text: str, message: str) -> None:
    found = problem(text)
    assert message in found.message
    assert found.mend


def test_a_bomb_of_aliases_does_not_go_off() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    assert "aliases" in problem("\n".join(lines)).message


@settings(deadline=None, max_examples=400)
@given(st.text(st.sampled_from("ab:-[]{}'\"\n \t|>&*!#%@`?,01.eE~<\\é\ud800\0"), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        made = read_document_text(text)
    except InvalidInput:
        return
    json.dumps(made, allow_nan=False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_all_of_json_is_read_as_it_is(value: dict[str, Json]) -> None:
    assert read_document_text(json.dumps(value)) == value
