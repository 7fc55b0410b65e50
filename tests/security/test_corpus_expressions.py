"""P9, by corpus: what tenants write in expressions reaches nothing but JSON, and costs next to nothing.

Each case of `corpora/expressions.yaml` is checked as the control plane does and evaluated as a runner does, in this
process, whatever the check said; then through the services themselves: refused when a document is validated, or run.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from databases import fresh_database
from designer import Designer, step
from fleet import Backends, Fleet
from headrace.json_types import Json
from headrace.workflow.expressions import (
    ExpressionError,
    Scope,
    Templates,
    check_expressions,
    check_parsing,
)
from headrace.workflow.json_rules import check_json

from tests.security.cost import Meter
from tests.security.hostile_server import CORPORA, read

CORPUS: dict[str, list[dict[str, Any]]] = read(CORPORA / "expressions.yaml")
CASES = [case for cases in CORPUS.values() for case in cases]
SMALL: dict[str, Json] = {"text": "ab" * 50, "list": list(range(50)), "n": 3}
STEPS: dict[str, dict[str, Json]] = {
    "fetch": {"output": {"body": {"a": 1}}, "status": "SUCCESS", "error": None}
}
RUN: dict[str, Json] = {"id": "r", "workflow": "w", "startedAt": "2030-01-01T00:00:00Z"}


def text_of(case: dict[str, Any]) -> str:
    return written(case["text"]) if "text" in case else "{{ " + written(case["source"]) + " }}"


def written(part: Any) -> str:
    match part:
        case {"repeat": repeated, "times": times}:
            return str(part.get("join", "")).join([repeated] * times)
        case list():
            return "".join(map(written, part))
        case _:
            return str(part)


def named(case: dict[str, Any]) -> str:
    return text_of(case)[:60].encode("ascii", "backslashreplace").decode()


@pytest.fixture(scope="module")
def large() -> dict[str, Json]:
    deep: Json = 1
    for _ in range(60):
        deep = {"a": deep}
    return {
        "text": "ab" * 120_000,
        "same": "a" * 500_000,
        "wide": "\U0001f600" * 240_000,
        "quotes": '"' * 200_000,
        "list": list(range(60_000)),
        "floats": [n / 7 for n in range(60_000)],
        "texts": ["a" * 200 + str(n) for n in range(2_000)],
        "objects": [{"id": n, "name": f"n{n}"} for n in range(20_000)],
        "deep": [deep] * 3_000,
        "nested": [[[[1] * 20] * 20] * 20] * 20,
        "n": 3,
    }


@pytest.fixture(scope="module")
def here() -> Iterator[Meter]:
    meter = Meter(os.getpid())
    yield meter
    print(f"expressions, in a process: {meter.worst()}")


def scope(given: dict[str, Json]) -> Scope:
    return Scope(input=given, env={"A": "a"}, steps=STEPS, run=RUN)


def test_there_are_cases_enough() -> None:
    assert len(CASES) >= 120
    assert len({text_of(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_in_a_process(here: Meter, large: dict[str, Json], case: dict[str, Any]) -> None:
    text, given = text_of(case), large if case.get("data") == "large" else SMALL
    with here.one(f"checked {named(case)}"):
        problems = check_expressions(text, "input.a")
    assert bool(problems) == (case["outcome"] == "refused"), problems
    assert {problem.code for problem in problems} <= {"BAD_EXPRESSION"}
    assert all(problem.path == "input.a" and problem.mend for problem in problems)
    with here.one(f"evaluated {named(case)}"):
        made = rendered({"a": text}, scope(given))
    match case["outcome"]:
        case "gives":
            assert made == {"a": _expected(case)}
        case "bounded":
            assert isinstance(made, ExpressionError) or check_json(made) == []
        case _:
            assert isinstance(made, ExpressionError), made
            assert "abab" not in f"{made.message} {made.mend}"
    assert Templates().render("{{ input.n + 1 }}", scope(given)) == 4


def rendered(value: Json, seen: Scope) -> Any:
    try:
        return Templates().render(value, seen, "input")
    except ExpressionError as error:
        return error


def _given(gives: dict[str, Any]) -> Any:
    return written(gives) if "repeat" in gives else gives


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([f"{{{{ {n} }}}}" for n in range(60_000)], id="many short ones"),
        pytest.param(["{{ 1" + " + 1" * 250 + " }}"] * 1_000, id="many long ones"),
        pytest.param(["{{ 1 }}" * 256] * 500, id="many in many"),
        pytest.param(["{{" + "(" * 40] * 60_000, id="many that do not end"),
        pytest.param(["{{ 'a' * }}"] * 50_000, id="many that are wrong"),
    ],
)
def test_a_document_of_expressions(here: Meter, texts: list[Json]) -> None:
    # Each document is as costly as its budget lets it be, half a second on a quiet machine: several cases' worth.
    with here.one(f"many checked: {str(texts[0])[:20]}", cases=4):
        assert [problem.code for problem in check_parsing({"steps": texts})] == ["TOO_MANY"]
    with here.one(f"many evaluated: {str(texts[0])[:20]}", cases=4), pytest.raises(ExpressionError):
        Templates().render(texts, scope(SMALL))


def test_what_is_kept_of_compiled_texts_stays_small(here: Meter) -> None:
    templates = Templates()
    with here.one("first texts", cases=30):
        for n in range(30):
            templates.render("{{ [" + "1, " * 250 + f"{n}] }}}}", scope(SMALL))
    for batch in range(2):
        with here.one(f"texts {batch}", cases=30):
            for n in range(30):
                templates.render("{{ [" + "1, " * 240 + f"{batch} * {n}] }}}}", scope(SMALL))


# -- through the services ------------------------------------------------------------------------------------------

EDGE = [case for case in CASES if case.get("data") != "large"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    async with fresh_database(postgres, template) as dsn:
        backends = Backends("embedded", dsn, dsn, dsn)
        async with Fleet(
            backends, tmp_path_factory.mktemp("expressions"), {"HEADRACE_PARTITIONS": "2"}
        ) as fleet:
            await fleet.start_all()
            yield fleet


def document(name: str, *texts: str) -> dict[str, Any]:
    """`fetch` answers as in `STEPS`; `it0` and so on hold cases."""
    steps = [{"key": f"it{n}", "type": "transform", "input": {"a": text}} for n, text in enumerate(texts)]
    return {
        "workflow": name,
        "env": {"A": "a"},
        "steps": [{"key": "fetch", "type": "transform", "input": {"body": {"a": 1}}}, *steps],
    }


@pytest.mark.timeout(240)
@pytest.mark.asyncio(loop_scope="module")
async def test_through_the_services(deployment: Fleet) -> None:
    designer = Designer(deployment)
    control, runner = (Meter(service.process.pid) for service in deployment.services[:2])
    publishable: list[dict[str, Any]] = []
    for some in batched(EDGE, 30):
        with control.one(f"30 from {named(some[0])}"):
            problems = await validated(designer, document("many", *map(text_of, some)))
        refused = {problem["path"] for problem in problems}
        for number, case in enumerate(some):
            place = f"steps[{number + 1}].input.a"
            if case["outcome"] == "refused":
                assert {"path": place, "code": "BAD_EXPRESSION"} in problems, named(case)
            elif (
                place not in refused
            ):  # more is known of a document: names that are not there are refused now
                publishable.append(case)
    assert await validated(designer, document("normal", "{{ input.n + 1 }}")) == []
    assert len(publishable) > 100
    for some in batched(publishable[::5], 12):
        ids = []
        name = f"12 runs from {named(some[0])}"
        with runner.one(name, len(some)), control.one(name, len(some)):
            for number, case in enumerate(some):
                await designer.publish(document(f"case-{number}", text_of(case)))
                ids.append(await designer.start(f"case-{number}", **SMALL))
            ended = await asyncio.gather(*(designer.ended(run_id) for run_id in ids))
        for case, run in zip(some, ended, strict=True):
            came = step(run, "it0")
            if case["outcome"] == "gives":
                assert came["output"] == {"a": _expected(case)}, named(case)
            else:
                assert came["error"]["code"] == "EXPRESSION_FAILED", (named(case), came)
    print(f"expressions, in the control plane: {control.worst()}; in the runner: {runner.worst()}")


def batched(cases: list[dict[str, Any]], size: int) -> list[list[dict[str, Any]]]:
    return [cases[start : start + size] for start in range(0, len(cases), size)]


def _expected(case: dict[str, Any]) -> Any:
    return _given(case["gives"]) if isinstance(case["gives"], dict) else case["gives"]


async def validated(designer: Designer, given: dict[str, Any]) -> list[dict[str, Any]]:
    query = "query ($d: JSON!) { validateWorkflow(document: $d) { problems { path code } } }"
    found: list[dict[str, Any]] = (await designer.do(query, d=given))["validateWorkflow"]["problems"]
    return found
