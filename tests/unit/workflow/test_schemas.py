"""JSON Schema checks: what is told, where, and what a schema may hold."""

from typing import Any

import pytest
from headrace.errors import InvalidInput
from headrace.json_types import Json
from headrace.workflow.schemas import Schemas, check_schema, compile_schema

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["id", "lines"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "note": {"type": ["string", "null"], "maxLength": 5},
        "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}},
    },
    "$defs": {
        "line": {
            "type": "object",
            "properties": {"sku": {"pattern": "^[A-Z]+$"}, "count": {"type": "integer"}},
        }
    },
}


def told(value: Json, path: str = "input") -> dict[str, str]:
    return {problem.path: problem.message for problem in compile_schema(ORDER).validate(value, path)}


def test_a_value_that_fits() -> None:
    good = {
        "id": "0190163d-8694-739b-aea5-966c26f8ad90",
        "note": None,
        "lines": [{"sku": "AB", "count": 1.0}],
    }
    assert told(good) == {}


def test_each_thing_that_does_not_fit_is_told_with_its_place() -> None:
    assert told({"id": "x", "note": "too long", "lines": [{"sku": "a"}, {"count": 1.5}, 3], "more": 1}) == {
        "input": "it has names that the schema does not have",
        "input.id": "the text does not fit `format` of the schema",
        "input.note": "the text does not fit `maxLength` of the schema",
        "input.lines[0].sku": "the text does not fit `pattern` of the schema",
        "input.lines[1].count": "whole number is needed, not number",
        "input.lines[2]": "object is needed, not number",
    }
    assert told({}, "output.body") == {
        "output.body.id": "this name is missing",
        "output.body.lines": "this name is missing",
    }
    assert told([]) == {"input": "object is needed, not list"}


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (True, "bodySchema"),
        ([], "bodySchema"),
        ({"type": "objekt"}, "bodySchema.type"),
        ({"properties": {"a": {"minLength": -1}}}, "bodySchema.properties.a.minLength"),
        ({"properties": {"a b": {"pattern": "["}}}, "bodySchema.properties['a b'].pattern"),
        ({"required": "x"}, "bodySchema.required"),
        ({"allOf": [{}, {"items": [{}]}]}, "bodySchema.allOf[1].items"),
        ({"$ref": "#/$defs/nope"}, "bodySchema"),
        ({"properties": {"a": {"$ref": "other.json#/x"}}}, "bodySchema.properties.a"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "bodySchema"),
        ({"$ref": f"#/allOf/{'9' * 5000}", "allOf": [{}]}, "bodySchema"),
        ({"properties": {"²": {"$ref": "x"}}}, "bodySchema.properties['²']"),
        ({"properties": {"9" * 5000: {"$ref": "x"}}}, f"bodySchema.properties['{'9' * 60}...']"),
        ({"$defs": {"x": {"$anchor": "here"}}}, "bodySchema['$defs'].x"),
    ],
)
def test_schemas_that_are_refused(schema: Json, path: str) -> None:
    problems = check_schema(schema, "bodySchema")
    assert [problem.path for problem in problems] == [path]
    assert all(problem.message and problem.mend for problem in problems)


def test_every_fault_of_a_schema_is_told() -> None:
    assert len(check_schema({"type": 1, "minLength": "x", "properties": {"a": {"enum": {}}}})) == 3


def test_what_stands_beside_schemas_is_not_taken_for_one() -> None:
    fine = {
        "const": {"$ref": "http://x"},
        "enum": [{"$anchor": "a"}],
        "default": {"$id": "x"},
        "examples": [{"type": 1}],
    }
    assert check_schema(fine) == []
    assert check_schema({"$id": "https://shop.example/order", "$ref": "#/$defs/a", "$defs": {"a": {}}}) == []
    assert check_schema({"properties": {"$ref": {"type": "string"}}}) == []


def test_validators_are_kept_within_bounds() -> None:
    schemas = Schemas(size=2)
    first = schemas.validator({"type": "string"})
    assert schemas.validator({"type": "string"}) is first
    for kind in ("number", "boolean", "null"):
        schemas.validator({"type": kind})
    assert schemas.validator({"type": "string"}) is not first
    assert len(schemas._compiled) == 2
    with pytest.raises(InvalidInput):
        schemas.validator({"type": 1})
