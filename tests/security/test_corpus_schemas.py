"""P9, by corpus: schemas that tenants save fetch nothing, and no value held against one stalls anybody.

Each case of `corpora/schemas.yaml` goes through the functions that the services call, in this process; then through the
control plane: saved with an action, or held against the input of a run.
"""

import os
import random
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from databases import fresh_database
from designer import Designer
from fleet import Backends, Fleet
from headrace.errors import InvalidInput
from headrace.json_types import Json
from headrace.workflow.schemas import check_schema, compile_schema

from tests.security.cost import Meter
from tests.security.hostile_server import CORPORA, read

CORPUS: dict[str, list[dict[str, Any]]] = read(CORPORA / "schemas.yaml")
CASES = [case for cases in CORPUS.values() for case in cases]
LARGEST = 200_000  # characters of what is sent to the control plane
CODES: dict[str, list[str | None]] = {
    "fits": [None],
    "misfits": ["SCHEMA_MISMATCH"],
    "costly": ["TOO_COSTLY"],
}
CODES["bounded"] = [code for codes in CODES.values() for code in codes]


def built(part: Any, number: int = 0) -> Any:
    """What a part of a case stands for; `number` is the place in the innermost list or object that repeats it."""
    match part:
        case {"~list": of, "times": int(times)}:
            return [built(of, n) for n in range(times)]
        case {"~object": of, "times": int(times), "name": str(name)}:
            made = {name.replace("@", str(n)): built(of, n) for n in range(times)}
            return made | ({name.replace("@", str(times)): built(part["last"])} if "last" in part else {})
        case {"~nest": around, "times": int(times), "in": inner}:
            made = built(inner, number)
            for _ in range(times):
                made = _around(around, made)
            return made
        case {"~text": str(text), "times": int(times)}:
            return text * times
        case {"~random": str(letters), "times": int(times)}:
            return "".join(random.Random(7).choices(letters, k=times))
        case {"~number": plus}:
            return plus * (number + 1) if isinstance(plus, float) and plus < 1e-100 else plus + number
        case {"~power": [int(base), int(exponent)]}:
            return base**exponent
        case dict():
            return {str(built(name, number)): built(value, number) for name, value in part.items()}
        case [str(), *_] | [{"~text": _}, *_] if _is_text(part):
            return "".join(built(piece, number) for piece in part)
        case list():
            return [built(piece, number) for piece in part]
        case str():
            return part.replace("{1}", str(number + 1)).replace("@", str(number)) if _counts(part) else part
        case _:
            return part


def _is_text(part: list[Any]) -> bool:
    """A list with a repeated text in it is one text."""
    return any(isinstance(piece, dict) and "~text" in piece for piece in part)


def _counts(text: str) -> bool:
    return "{1}" in text or text.endswith("@") or text.startswith("^a@")


def _around(around: Any, inner: Any) -> Any:
    match around:
        case None:
            return inner
        case dict():
            return {name: _around(value, inner) for name, value in around.items()}
        case list():
            return [_around(value, inner) for value in around]
        case _:
            return around


@pytest.fixture(scope="module")
def here() -> Iterator[Meter]:
    meter = Meter(os.getpid())
    yield meter
    print(f"schemas, in a process: {meter.worst()}")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """What a reference in the corpus leads to, if the port is free."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        yield server


def test_there_are_cases_enough() -> None:
    assert len(CASES) >= 80
    assert len({case["name"] + str(case["outcome"]) for cases in CORPUS.values() for case in cases}) > 80


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_in_a_process(here: Meter, case: dict[str, Any]) -> None:
    schema, value = built(case["schema"]), built(case.get("value"))
    with here.one(f"saved: {case['name']}"):
        problems = check_schema(schema, "outputSchema")
    assert bool(problems) == (case["outcome"] == "refused"), [(p.path, p.message) for p in problems]
    assert all(problem.path.startswith("outputSchema") and problem.mend for problem in problems)
    if problems:
        with pytest.raises(InvalidInput):
            compile_schema(schema)
    else:
        validator = compile_schema(schema)
        with here.one(f"checked: {case['name']}"):
            found = validator.validate(value, "output")
        codes: set[str | None] = {problem.code for problem in found} or {None}
        assert codes <= set(CODES[case["outcome"]]), found
        assert len(found) <= 20
        if (marks := validator.marks) is not None:
            with here.one(f"hidden: {case['name']}"):
                marks.hidden(value, "[***]")
            with here.one(f"found: {case['name']}"):
                list(marks.leaves(value))
            with here.one(f"sealed: {case['name']}"):
                marks.replaced(value, lambda _part, pointer: pointer, lambda _part: False)
    assert compile_schema({"type": "object", "required": ["a"]}).validate({"a": 1}) == []


def test_no_reference_is_followed(listening: socket.socket) -> None:
    address = f"127.0.0.1:{listening.getsockname()[1]}"
    for case in CORPUS["references"]:
        text = orjson.dumps(built(case["schema"])).replace(b"127.0.0.1:9", address.encode())
        check_schema(orjson.loads(text))
    with pytest.raises(BlockingIOError):
        listening.accept()


# -- through the control plane -------------------------------------------------------------------------------------

SAVE = """mutation ($app: String!, $name: String!, $definition: JSON!) {
  saveAction(app: $app, name: $name, definition: $definition) {
    done: __typename ... on InvalidInput { problems { path code } } } }"""
PUBLISH = """mutation ($document: JSON!) { publishWorkflow(document: $document) {
  done: __typename ... on InvalidInput { problems { path code } } } }"""
START = """mutation ($workflow: String!, $input: JSON) { startRun(workflow: $workflow, input: $input) {
  done: __typename ... on InvalidInput { problems { path code } } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    async with fresh_database(postgres, template) as dsn:
        backends = Backends("embedded", dsn, dsn, dsn)
        async with Fleet(backends, tmp_path_factory.mktemp("schemas"), {"HEADRACE_PARTITIONS": "2"}) as fleet:
            await fleet.control_plane()
            yield fleet


@pytest.mark.timeout(240)
@pytest.mark.asyncio(loop_scope="module")
async def test_through_the_control_plane(deployment: Fleet) -> None:
    designer = Designer(deployment)
    await designer.app("shop", "http://127.0.0.1:1")
    meter = Meter(deployment.services[0].process.pid)
    seen = 0
    for number, case in enumerate(CASES):
        schema, given = built(case["schema"]), {"v": built(case.get("value"))}
        if case.get("edge") is False or len(orjson.dumps([schema, given])) > LARGEST:
            continue
        seen += 1
        with meter.one(case["name"]):
            if case["outcome"] == "refused":
                definition = {"method": "GET", "endpointTemplate": "/a", "outputSchema": schema}
                saved = await _done(designer, SAVE, app="shop", name="a", definition=definition)
                assert saved["done"] == "InvalidInput", case["name"]
                assert all(problem["path"].startswith("outputSchema") for problem in saved["problems"])
                continue
            document = {
                "workflow": f"case-{number}",
                "parameters": {"type": "object", "properties": {"v": _under(schema)}},
                "steps": [{"key": "a", "type": "transform", "input": 1}],
            }
            if "$ref" in orjson.dumps(schema).decode():
                document["parameters"] = {
                    "properties": {"v": {}}
                }  # a reference is to the root of its own schema
            published = await _done(designer, PUBLISH, document=document)
            assert published["done"] != "InvalidInput", (case["name"], published)
        with meter.one(f"started: {case['name']}"):
            started = await _done(designer, START, workflow=f"case-{number}", input=given)
        if "$ref" not in orjson.dumps(schema).decode():
            codes = {problem["code"] for problem in started.get("problems", [])} or {None}
            assert codes <= set(CODES[case["outcome"]]), (case["name"], started)
    assert seen >= 80
    print(f"schemas, in the control plane: {meter.worst()}")


def _under(schema: Json) -> Json:
    """The schema as one part of another: without what may stand at the top alone."""
    return (
        {name: part for name, part in schema.items() if name != "$id"} if isinstance(schema, dict) else schema
    )


async def _done(designer: Designer, query: str, **variables: Any) -> dict[str, Any]:
    (payload,) = (await designer.do(query, **variables)).values()
    found: dict[str, Any] = payload
    return found
