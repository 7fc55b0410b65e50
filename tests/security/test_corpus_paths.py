"""P9, by corpus: a JSONPath of `corpora/paths.yaml` finds what it names or is refused, and costs next to nothing."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from headrace.errors import InvalidInput, LimitExceeded
from headrace.json_types import Json
from headrace.workflow.extraction import compile_path, extract

from tests.security.cost import Meter
from tests.security.hostile_server import CORPORA, read

CASES: list[dict[str, Any]] = read(CORPORA / "paths.yaml")
LARGE: dict[str, Json] = {
    "nested": [[[[1] * 20] * 20] * 20] * 20,
    "heavy": [[["x" * 200_000]]],
    "long": {"list": [{"b": 1}] * 50_000},
}


def text_of(path: Any) -> str:
    if isinstance(path, str):
        return path
    return str(path.get("first", "")) + path["repeat"] * path["times"] + str(path.get("then", ""))


def names(case: dict[str, Any], path: str) -> dict[str, str]:
    return {"a": path, **{f"a{n}": path for n in range(1, case.get("paths", 1))}}


@pytest.fixture(scope="module")
def here() -> Iterator[Meter]:
    meter = Meter(os.getpid())
    yield meter
    print(f"paths: {meter.worst()}")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_path(here: Meter, case: dict[str, Any]) -> None:
    path, given = text_of(case["path"]), case.get("value")
    value: Json = LARGE.get(given, given) if isinstance(given, str) else given
    with here.one(case["name"]):
        match case["outcome"]:
            case "refused":
                with pytest.raises(InvalidInput) as caught:
                    compile_path(path, "steps[0].output.a")
                (problem,) = caught.value.problems
                assert (problem.path, problem.code) == ("steps[0].output.a", "BAD_JSONPATH")
            case "costly":
                with pytest.raises(LimitExceeded):
                    extract(value, names(case, path))
            case _:
                found = extract(value, names(case, path))["a"]
                if "count" in case:
                    assert isinstance(found, list)
                    assert len(found) == case["count"]
                else:
                    assert found == case["gives"]
    assert extract({"a": [1]}, {"b": "$.a[0]"}) == {"b": 1}


def test_many_names_of_one_large_part(here: Meter) -> None:
    value: Json = {"part": [1] * 100_000}
    with here.one("many names"), pytest.raises(LimitExceeded):
        extract(value, {f"name{n}": "$.part" for n in range(100)})
