"""JSON Schemas are written by tenants: they fetch nothing, stall nobody, and their problems quote no value."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from headrace.errors import InvalidInput
from headrace.json_types import Json
from headrace.workflow.schemas import SchemaValidator, check_schema, compile_schema

SECRET = "canary-7f3a91-secret"


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Processor time of this process; the bounds are many times what is measured."""
    began = time.process_time()
    yield
    assert time.process_time() - began < seconds


def schema(**keywords: Any) -> SchemaValidator:
    return compile_schema(keywords)


class Counting(BaseHTTPRequestHandler):
    hits = 0

    def do_GET(self) -> None:
        type(self).hits += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"type": "string"}')

    def log_message(self, *_: Any) -> None: ...


def test_no_reference_is_fetched(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), Counting)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    file = tmp_path / "schema.json"
    file.write_text('{"type": "string"}')
    here = f"http://127.0.0.1:{server.server_port}/schema.json"
    try:
        for reference in [
            here,
            f"{here}#",
            file.as_uri(),
            str(file),
            "schema.json",
            "//127.0.0.1/x",
            "urn:x:y",
        ]:
            for keyword in ("$ref", "$dynamicRef", "$schema", "$recursiveRef"):
                for data in ({keyword: reference}, {"properties": {"a": {keyword: reference}}}):
                    assert check_schema(data)
            assert check_schema({"$id": here, "$ref": "other.json"})
            assert check_schema({"properties": {"a": {"$id": here, "$ref": "other.json"}}})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert Counting.hits == 0


def doubling(keyword: str, depth: int) -> Json:
    definitions: dict[str, Json] = {
        f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
        for n in range(depth)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{depth}": {"type": "string"}}}


def nested(keyword: str, depth: int) -> Json:
    return reduce(lambda inner, _: {keyword: [inner, inner]}, range(depth), {"type": "string"})  # type: ignore[return-value]


COSTLY: dict[str, Json] = {
    "references that double": doubling("allOf", 40),
    "alternatives that double": doubling("anyOf", 40),
    "branches that double": doubling("oneOf", 14),
    "a million branches written once": nested("anyOf", 20),
    "a reference to itself": {"$ref": "#"},
    "a circle of references": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    },
    "recursion twice per level": {
        "allOf": [{"properties": {"x": {"$ref": "#"}}}, {"properties": {"x": {"$ref": "#"}}}]
    },
    "recursion through overlapping names": {
        "properties": {"x": {"$ref": "#"}},
        "patternProperties": {"x": {"$ref": "#"}},
    },
    "recursion through items and contains": {"items": {"$ref": "#"}, "contains": {"$ref": "#"}},
    "recursion through not": {
        "not": {"properties": {"x": {"$ref": "#"}}},
        "properties": {"x": {"$ref": "#"}},
    },
    "too deep": reduce(lambda inner, _: {"not": inner}, range(200), {}),  # type: ignore[dict-item, return-value]
    "too many": {"properties": {f"p{n}": {"type": "string"} for n in range(6_000)}},
    "too long": {"description": "x" * 300_000},
    "too many patterns": {"allOf": [{"pattern": f"a{n}"} for n in range(300)]},
    "a pattern that is too long": {"pattern": "a" * 2_000},
    "a pattern that counts too far": {"pattern": "(a{1000}){1000}"},
    "look-ahead": {"pattern": "(?=a)b"},
    "a back-reference": {"pattern": r"(a)\1"},
}


@pytest.mark.parametrize("data", COSTLY.values(), ids=list(COSTLY))
def test_what_could_take_long_is_refused_and_refused_fast(data: Json) -> None:
    with within(2):
        problems = check_schema(data, "bodySchema")
    assert problems
    assert all(problem.path.startswith("bodySchema") and problem.mend for problem in problems)
    with pytest.raises(InvalidInput):
        compile_schema(data)


def test_ordinary_recursion_is_welcome() -> None:
    tree = schema(type="object", properties={"name": {"type": "string"}, "kids": {"items": {"$ref": "#"}}})
    assert tree.validate({"kids": [{"kids": [{"name": "a"}]}]}) == []
    assert [p.path for p in tree.validate({"kids": [{"kids": [{"name": 1}]}]})] == ["kids[0].kids[0].name"]
    anything = compile_schema(
        {
            "$ref": "#/$defs/json",
            "$defs": {
                "json": {
                    "anyOf": [
                        {"type": ["string", "number", "boolean"]},
                        {"type": "array", "items": {"$ref": "#/$defs/json"}},
                        {"type": "object", "additionalProperties": {"$ref": "#/$defs/json"}},
                    ]
                }
            },
        }
    )
    assert anything.validate([{"a": [1, "x"]}]) == []
    assert anything.validate([{"a": [1, None]}]) != []


LONG = "ab" * 120_000
VALUES: dict[str, tuple[dict[str, Any], Json]] = {
    "nested quantifiers": ({"pattern": "^(a+)+$"}, "a" * 200_000 + "b"),
    "alternatives that overlap": ({"pattern": "^(a|a|aa)*c$"}, "a" * 200_000),
    "states that explode": ({"pattern": "[ab]*a[ab]{300}c"}, LONG),
    "many patterns whose states explode": (
        {"allOf": [{"pattern": f"[ab]*a[ab]{{300}}c{n}"} for n in range(40)]},
        LONG,
    ),
    "unique numbers": ({"uniqueItems": True}, [n / 2 for n in range(100_000)]),
    "unique objects": ({"uniqueItems": True}, [{"a": {"b": n}} for n in range(30_000)]),
    "unique lists": ({"uniqueItems": True}, [[n] for n in range(50_000)]),
    "every element wrong": ({"items": {"type": "string"}}, list(range(100_000))),
    "every element wrong in every way": (
        {"items": {"anyOf": [{"type": "string", "minLength": n} for n in range(1_000)]}},
        list(range(20_000)),
    ),
    "two branches, all wrong": (
        {"anyOf": [{"items": {"type": "string"}}, {"items": {"type": "null"}}]},
        list(range(100_000)),
    ),
    "every keyword wrong of a long text": ({"allOf": [{"minLength": 10**6 + n} for n in range(1_000)]}, LONG),
    "many names": ({"additionalProperties": False}, {f"n{n}": n for n in range(50_000)}),
    "many names, many patterns": (
        {"patternProperties": {f"^a{n}x*$": {} for n in range(150)}},
        {f"a{n}": n for n in range(2_000)},
    ),
    "many names unevaluated": (
        {"allOf": [{"properties": {f"p{n}": {}}} for n in range(2_000)], "unevaluatedProperties": False},
        {f"p{n}": n for n in range(2_000)},
    ),
    "a long enumeration": (
        {"items": {"enum": [{"a": n} for n in range(5_000)]}},
        [{"a": -1}] * 50_000,
    ),
    "a deep value": ({"type": "object"}, reduce(lambda inner, _: {"a": inner}, range(5_000), {})),  # type: ignore[dict-item, arg-type, return-value]
    "a long number": ({"multipleOf": 1e-300}, 10**4_000),
    "formats": (
        {
            "allOf": [
                {"format": f} for f in ("email", "uri", "hostname", "idn-email", "date-time", "regex", "ipv6")
            ]
        },
        "(a." * 60_000,
    ),
}


@pytest.mark.parametrize(("keywords", "value"), VALUES.values(), ids=list(VALUES))
def test_no_check_takes_long(keywords: dict[str, Any], value: Json) -> None:
    validator = schema(**keywords)
    with within(5):
        problems = validator.validate(value, "output")
    assert len(problems) <= 20


@pytest.mark.parametrize(
    "keywords",
    [
        {"type": "number"},
        {"const": 1},
        {"enum": ["a"]},
        {"pattern": "^[0-9]+$"},
        {"maxLength": 3},
        {"format": "uuid"},
        {"anyOf": [{"type": "number"}, {"maxLength": 1}]},
        {"oneOf": [{"type": "string"}, {"minLength": 1}]},
        {"not": {"type": "string"}},
        {"items": {"type": "number"}},
        {"properties": {"a": {"type": "number"}}},
        {"additionalProperties": {"type": "number"}},
        {"additionalProperties": False},
        {"patternProperties": {"": {"type": "number"}}},
        {"unevaluatedProperties": False},
        {"propertyNames": {"maxLength": 2}},
        {"required": ["b"], "type": "object"},
        {"dependentRequired": {SECRET: ["b"]}},
        {"maxProperties": 0},
        {"uniqueItems": True, "contains": {"type": "number"}},
        {"if": {"type": "string"}, "then": False},
    ],
)
def test_problems_quote_no_value_and_no_name_that_may_be_data(keywords: dict[str, Any]) -> None:
    validator = schema(**keywords)
    values: list[Json] = [
        SECRET,
        [SECRET, SECRET],
        {"a": SECRET},
        {SECRET: SECRET},
        {SECRET: {SECRET: SECRET}},
    ]
    found = [problem for value in values for problem in validator.validate(value, "output")]
    assert found
    for problem in found:
        assert SECRET not in f"{problem.path} {problem.message} {problem.mend}"
