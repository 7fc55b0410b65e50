"""`x-sensitive` marks what stands at its place, wherever a schema may put it."""

from typing import Any

import pytest
from headrace.workflow.schemas import check_schema, compile_schema
from headrace.workflow.sensitive import Marks, is_marked
from headrace.workflow.sensitive_places import MAX_WORK

SECRET = {"x-sensitive": True}
NODE = {
    "type": "object",
    "properties": {"pin": SECRET, "next": {"$ref": "#/$defs/node"}},
}


@pytest.mark.parametrize(
    ("schema", "value", "hidden"),
    [
        (SECRET, {"a": [1, {"b": True}]}, {"a": ["*", {"b": "*"}]}),
        ({"properties": {"card": SECRET}}, {"card": 1, "ok": 2}, {"card": "*", "ok": 2}),
        ({"properties": {"card": SECRET}}, {"card": {"no": 1, "by": [2]}}, {"card": {"no": "*", "by": ["*"]}}),
        ({"properties": {"a/b~c": SECRET}}, {"a/b~c": 1, "a": 2}, {"a/b~c": "*", "a": 2}),
        ({"items": {"properties": {"a": SECRET}}}, [{"a": 1, "b": 1}, {"a": 2}], [{"a": "*", "b": 1}, {"a": "*"}]),
        ({"prefixItems": [{}, SECRET], "items": {}}, [1, 2, 3], [1, "*", 3]),
        ({"contains": SECRET}, [1, 2], ["*", "*"]),
        ({"additionalProperties": SECRET, "properties": {"a": {}}}, {"a": 1, "b": 2}, {"a": 1, "b": "*"}),
        ({"patternProperties": {"^x": SECRET}}, {"x1": 1, "y": 2}, {"x1": "*", "y": "*"}),
        ({"allOf": [{"properties": {"a": SECRET}}, {}]}, {"a": 1, "b": 2}, {"a": "*", "b": 2}),
        ({"anyOf": [{"properties": {"a": SECRET}}, {}]}, {"a": 1, "b": 2}, {"a": "*", "b": 2}),
        ({"oneOf": [{}, {"items": SECRET}]}, [1], ["*"]),
        ({"if": {}, "then": {"properties": {"a": SECRET}}}, {"a": 1}, {"a": "*"}),
        ({"dependentSchemas": {"b": {"properties": {"a": SECRET}}}}, {"a": 1}, {"a": "*"}),
        (
            {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
            {"pin": 1, "name": 2, "next": {"pin": 3, "next": {"pin": 4, "name": 5}}},
            {"pin": "*", "name": 2, "next": {"pin": "*", "next": {"pin": "*", "name": 5}}},
        ),
        ({"$defs": {"card": SECRET}, "properties": {"a": {"$ref": "#/$defs/card"}}}, {"a": 1}, {"a": "*"}),
    ],
)  # fmt: skip
def test_a_mark_counts_wherever_it_stands(schema: Any, value: Any, hidden: Any) -> None:
    assert check_schema(schema) == []
    marks = compile_schema(schema).marks
    assert marks is not None
    assert marks.hidden(value, "*") == hidden
    assert sorted(_hidden_leaves(value, hidden), key=str) == sorted(
        (leaf for _, leaf in marks.leaves(value)), key=str
    )


def test_a_schema_without_a_mark_has_none() -> None:
    for schema in ({}, {"x-sensitive": False}, {"properties": {"x-sensitive": {}}}):
        assert compile_schema(schema).marks is None
    assert not is_marked({"actions": [{"outputSchema": {"type": "object"}}]})
    assert is_marked({"actions": [{"outputSchema": {"items": SECRET}}]})


@pytest.mark.parametrize("mark", ["true", "yes", 1, None, {}])
def test_a_mark_that_is_neither_true_nor_false_is_refused(mark: Any) -> None:
    (problem,) = check_schema({"properties": {"card": {"x-sensitive": mark}}})
    assert problem.path == "properties.card"
    assert "x-sensitive" in problem.message


def test_what_is_too_large_to_be_looked_at_is_all_sensitive() -> None:
    branches = 1_000
    people = {"properties": {"pin": SECRET}}
    marks = Marks.of({"anyOf": [{"properties": {f"p{n}": people}} for n in range(branches)]})
    assert marks is not None
    # Each member that a branch names is a place of its own, below all branches.
    assert branches * branches > MAX_WORK
    value: Any = {f"p{n}": {"open": 1} for n in range(branches)}
    hidden: Any = marks.hidden(value, "*")
    assert hidden["p0"] == {"open": 1}
    assert hidden[f"p{branches - 1}"] == {"open": "*"}
    assert branches / 2 < len(list(marks.leaves(value))) <= branches


def _hidden_leaves(value: Any, hidden: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for key in value for leaf in _hidden_leaves(value[key], hidden[key])]
    if isinstance(value, list):
        return [
            leaf for part, shown in zip(value, hidden, strict=True) for leaf in _hidden_leaves(part, shown)
        ]
    return [value] if hidden == "*" else []


@pytest.mark.parametrize(
    ("place", "touched"),
    [
        (("card",), True),
        (("card", "number"), True),
        (("people", 3, "name"), True),
        (("people", 3), True),
        ((), True),
        (("people", 3, "age"), False),
        (("order",), False),
    ],
)
def test_what_stands_at_a_place_may_be_marked(place: tuple[str | int, ...], touched: bool) -> None:
    people = {"items": {"properties": {"name": SECRET, "age": {}}}}
    marks = compile_schema({"properties": {"card": SECRET, "people": people, "order": {}}}).marks
    assert marks is not None
    assert marks.touches(place) is touched
