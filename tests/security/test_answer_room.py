"""Readers of large values: what they ask for takes little more memory than its size, and holds nobody up."""

import asyncio
import hashlib
import re
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from fixtures_edge import Edge, Keyed
from headrace.ids import new_id
from headrace_control.auth.roles import Role
from headrace_control.web.policy import HttpPolicy

from tests.security.public_face import ask, face, init, opened_socket, socket_face

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("_runs")]

RUNS, VALUES = 100, 80_000
PUBLISH = """mutation($d: JSON!) { publishWorkflow(document: $d) {
    ... on PublishedVersion { version { number } } ... on InvalidInput { problems { path message } } } }"""
START = "mutation($w: String!, $i: JSON) { startRun(workflow: $w, input: $i) { ... on Run { id } } }"
PAGE = """query($first: Int!, $after: String) { runs(first: $first, after: $after) {
    items { id input } pageInfo { endCursor hasNextPage } } }"""


def megabytes(name: str) -> int:
    """A line of /proc/self/status."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _runs(edge: Edge) -> None:
    document = {"workflow": "nests", "steps": [{"key": "take", "type": "transform", "input": 1}]}
    published = await edge.admin(PUBLISH, d=document)
    assert published["publishWorkflow"].get("version"), published
    started = await edge.admin(START, w="nests", i={"a": [[]] * VALUES})
    copy = """INSERT INTO runs (id, tenant_id, workflow_id, version_id, input, dispatch_id, created_by)
        SELECT new_id, tenant_id, workflow_id, version_id, input, gen_random_uuid(), created_by
        FROM runs CROSS JOIN unnest($2::uuid[]) AS new_id WHERE id = $1"""
    await edge.owner.execute(copy, started["startRun"]["id"], [new_id() for _ in range(RUNS - 1)])


class Stranger:
    """Asks for something small every 50 ms; `longest` is how long an answer took at most, in seconds."""

    def __init__(self, keyed: Keyed) -> None:
        self._keyed, self.longest = keyed, 0.0

    async def ask(self) -> None:
        while True:
            begun = time.monotonic()
            await self._keyed("{ tenant { name } }")
            self.longest = max(self.longest, time.monotonic() - begun)
            await asyncio.sleep(0.05)


async def beside_a_stranger(edge: Edge, *asks: Any) -> tuple[list[Any], float, int]:
    """The answers; how long a stranger waited at most; by how many MB the process grew at its peak."""
    stranger = Stranger(edge.stranger)
    task = asyncio.create_task(stranger.ask())
    await asyncio.sleep(0.2)
    Path("/proc/self/clear_refs").write_text("5")
    before = megabytes("VmHWM")
    answers = await asyncio.gather(*asks)
    grown = megabytes("VmHWM") - before
    task.cancel()
    return answers, stranger.longest, grown


@pytest.mark.parametrize("first", [100, 20])
async def test_pages_of_large_inputs_take_little_memory_and_hold_nobody_up(edge: Edge, first: int) -> None:
    viewer = edge.keys[Role.VIEWER]
    answers, longest, grown = await beside_a_stranger(
        edge, *(viewer.post(PAGE, first=first) for _ in range(4))
    )
    for answer in answers:
        errors = orjson.loads(answer.content).get("errors", [])
        assert {error["extensions"]["code"] for error in errors} <= {"LIMIT_EXCEEDED"}
        assert bool(errors) == (first == 100)
    assert longest < 1
    assert grown < 128


async def test_every_run_is_readable_page_by_page(edge: Edge) -> None:
    viewer, seen, after = edge.keys[Role.VIEWER], 0, None
    while True:
        page = (await viewer(PAGE, first=20, after=after))["runs"]
        assert all(run["input"] == {"a": [[]] * VALUES} for run in page["items"])
        seen += len(page["items"])
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == RUNS


async def test_values_are_the_same_by_websocket_and_by_listed_queries(edge: Edge) -> None:
    """Numbers, names and texts as they were given, in an order that Postgres gives them."""
    given = {
        "n": [1, -0.5, 1e300, 2**53 + 1, 1.0],
        "t": 'ä\U0001f600\u2028 "\\',
        "o": {"b": None, "a": {}},
        "": [],
    }
    started = await edge.admin(START, w="nests", i=given)
    run = started["startRun"]["id"]
    query = f'{{ run(id: "{run}") {{ input result steps {{ key input output }} }} }}'
    # A number comes as Postgres writes it, with all its digits.
    plain = orjson.loads((await edge.admin.post(query)).content)["data"]
    assert plain["run"]["input"] == given
    async with opened_socket(edge, edge.admin, HttpPolicy()) as ws:
        for name in "ab":
            told = await ask(ws, query, name)
            assert (told["type"], told["payload"]["data"]) == ("next", plain)
    digest = hashlib.sha256(query.encode()).hexdigest()
    async with face(edge, HttpPolicy(documents={digest: query}, documents_only=True)) as http:
        extensions = {"persistedQuery": {"version": 1, "sha256Hash": digest}}
        answer = await http.post(
            "/graphql", json={"extensions": extensions}, headers={"authorization": f"Bearer {edge.admin.key}"}
        )
    assert orjson.loads(answer.content) == {"data": plain}


async def test_a_socket_gives_its_room_back_with_each_answer(edge: Edge) -> None:
    """Some megabytes each: the room would be full at the third."""
    async with socket_face(edge, HttpPolicy()) as opened, opened(max_size=None) as ws:
        await init(ws, edge.keys[Role.VIEWER])
        for number in range(6):
            told = await ask(ws, "{ runs(first: 20) { items { input } } }", str(number))
            assert len(told["payload"]["data"]["runs"]["items"]) == 20
