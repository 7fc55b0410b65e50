"""P9, by corpus: conditions of edges cost next to nothing, however many a document has, and never hold a runner up.

Each case of `corpora/conditions.yaml` is checked as the control plane does, and then run by an engine, beside which
somebody else wants the processor all the time: the longest that they wait is what one stretch of it costs.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from headrace.errors import Problem
from headrace.json_types import Json
from headrace.workflow.expressions import check_parsing
from headrace.workflow.parse import parse_document, read_document
from headrace.workflow.state import RunState, RunStatus, StepState, StepStatus
from headrace.workflow.validate import Catalog, validate_document
from headrace_runner.steps.transform import TransformStep
from rpds import HashTrieMap

from tests.security.cost import MOST_CPU, Meter
from tests.security.hostile_server import CORPORA, read
from tests.unit.runner.engines import Told, advanced, step_services

CASES: list[dict[str, Any]] = read(CORPORA / "conditions.yaml")
STEPS = {"begun": "SUCCESS", "skipped": "SKIPPED", "costly": "FAILED", "failed": "FAILED"}
CODES = {"costly": "CONDITION_TOO_COSTLY", "failed": "CONDITION_FAILED"}


@pytest.fixture(scope="module")
def data() -> dict[str, Json]:
    return {
        "short": {"text": "aaa"},
        "text": {"text": "a" * 1_000_000},
        "wide": {"text": "ä" * 240_000},
        "bits": {"text": "".join(Random(1).choices("01", k=250_000))},
        "numbers": {"list": list(range(130_000))},
        "nested": {"list": [[0] * 10] * 12_000},
        "objects": {"list": [{"id": 1, "name": "a"}] * 12_000},
    }


@pytest.fixture(scope="module")
def here() -> Iterator[Meter]:
    meter = Meter(os.getpid())
    yield meter
    print(f"conditions, one stretch of a runner: {meter.worst()}")


def written(part: Any, edge: int) -> Any:
    match part:
        case {"some": times, "of": one}:
            return [_numbered(written(one, edge), number) for number in range(times)]
        case str():
            return part.replace("#", str(edge))
        case list():
            return [written(one, edge) for one in part]
        case dict():
            return {name: written(one, edge) for name, one in part.items()}
        case _:
            return part


def _numbered(part: Any, number: int) -> Any:
    if isinstance(part, str):
        return part.replace("@", str(number))
    return {name: _numbered(one, number) for name, one in part.items()} if isinstance(part, dict) else part


def document(case: dict[str, Any]) -> dict[str, Any]:
    behind = [f"b{n}" for n in range(case.get("edges", 1))]
    return {
        "workflow": "w",
        "steps": [
            {
                "key": "a",
                "type": "transform",
                "input": {"text": "{{ input.text }}", "list": "{{ input.list }}"},
            },
            *({"key": key, "type": "transform", "input": {}, "onError": "continue"} for key in behind),
        ],
        "edges": [{"from": "a", "to": key, "when": written(case["when"], n)} for n, key in enumerate(behind)],
    }


def test_there_are_cases_enough() -> None:
    assert len(CASES) >= 35
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_a_condition(here: Meter, data: dict[str, Json], case: dict[str, Any]) -> None:
    given = document(case)
    with here.one(f"checked: {case['name']}"):
        problems = check_parsing(given, "edges[]") or validated(given)
    if case["outcome"] == "refused":
        assert {problem.code for problem in problems} == {case["code"]}
        assert all(problem.path.startswith("edges[") and problem.mend for problem in problems)
        return
    assert problems == []
    async with never_held_up(here, case["name"]):
        events = await run(given, data[case["data"]])
    steps = [(step, d) for kind, step, d in events if kind == "completed" and isinstance(d, dict)]
    assert Counter(d["status"] for _, d in steps) == {STEPS[case["outcome"]]: len(given["edges"])}
    for step, d in steps:
        if error := d.get("error"):
            assert isinstance(error, dict)
            assert error["code"] == CODES[case["outcome"]], error
            assert f"the edge from `a` to `{step}`" in str(error["message"])
    assert [kind for kind, _, _ in events][-1] == "finished"


def validated(given: dict[str, Any]) -> list[Problem]:
    found, problems = read_document(given)
    return [*problems, *(validate_document(found, Catalog()) if found else ())]


async def run(given: dict[str, Any], output: Json) -> list[Told]:
    state = RunState(
        RunStatus.RUNNING, HashTrieMap({"a": StepState(StepStatus.SUCCESS, 1, output=output, done=(1, 1))})
    )
    async with step_services() as services:
        handlers = {"transform": TransformStep(services)}
        async with advanced(services, handlers, parse_document(given), {}, state) as one:
            return await one.to_its_end()


@asynccontextmanager
async def never_held_up(meter: Meter, name: str) -> AsyncIterator[None]:
    """Fails when somebody who wants the processor all the time has to wait for longer than one case may cost."""
    longest = 0.0

    async def wait_again_and_again() -> None:
        nonlocal longest
        while True:
            before = time.process_time()
            await asyncio.sleep(0)
            longest = max(longest, time.process_time() - before)

    waiting = asyncio.create_task(wait_again_and_again())
    await asyncio.sleep(0)  # they are there before it begins
    try:
        yield
    finally:
        waiting.cancel()
    meter.spent[name] = longest
    assert longest < MOST_CPU, f"{name}: {longest:.2f} s"
