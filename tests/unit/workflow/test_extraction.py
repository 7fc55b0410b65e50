"""Output extraction: restricted JSONPath."""

import pytest
from headrace.errors import InvalidInput, LimitExceeded
from headrace.json_types import Json
from headrace.workflow.extraction import compile_path, extract

OUTPUT: Json = {
    "status": 200,
    "headers": {"content-type": "application/json"},
    "body": {"items": [{"id": 1}, {"id": 2}, {}], "none": None, "a b": {"ü": 3}, "n": 5},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.status", 200),
        ("$.headers['content-type']", "application/json"),
        ("$.body.items[0].id", 1),
        ("$.body.items[-2].id", 2),
        ('$["body"]["a b"].ü', 3),
        ("$.body.none", None),
        ("$.body.missing.deeper", None),
        ("$.body.items[9]", None),
        ("$.body.n.x", None),
        ("$.body.items[*].id", [1, 2]),
        ("$.body.items[1:].id", [2]),
        ("$.body.items[::2]", [{"id": 1}, {}]),
        ("$.body.missing[*]", []),
        ("$.body['n', 'none']", [5, None]),
        ("$.headers.*", ["application/json"]),
        ("$", OUTPUT),
    ],
)
def test_what_a_path_finds(path: str, expected: Json) -> None:
    assert extract(OUTPUT, {"x": path}) == {"x": expected}


def test_a_skipped_step_gives_nulls() -> None:
    assert extract(None, {"a": "$.body", "b": "$.body[*]"}) == {"a": None, "b": []}


@pytest.mark.parametrize(
    "path",
    [
        "", "body", "$.", "$..id", "$.body..id", "$..*", "$.body[?@.id]", "$[?@.a == 1]", "$.body[?match(@.a, 'a*')]",
        "$.a[", "$['a", "$.a[1e3]", "$.a[9999999999999999999]", "$.a" * 2, "$" + ".a" * 33, "$" + "[*]" * 5,
        "$['" + "a" * 600 + "']", "$[" + "0," * 16 + "0]", "$.a\0", "$[?" + "(" * 200 + ")" * 200 + "]",
    ],
)  # fmt: skip
def test_paths_that_are_refused(path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        compile_path(path, "steps[0].output.x")
    (problem,) = caught.value.problems
    assert (problem.path, problem.code) == ("steps[0].output.x", "BAD_JSONPATH")
    assert problem.mend


def test_what_a_path_starts_with() -> None:
    assert compile_path("$.body.x").first_name == "body"
    assert compile_path("$[0]").first_name is None
    assert compile_path("$").first_name is None
    assert compile_path("$['?']").single


def test_results_are_bounded() -> None:
    with pytest.raises(LimitExceeded):
        extract([[0] * 200] * 200, {"x": "$[*][*]"})
