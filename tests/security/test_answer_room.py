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
from headrace.redaction import MARKER
from headrace_control.auth.roles import Role
from headrace_control.web.policy import HttpPolicy

from tests.security.public_face import ask, face, init, opened_socket, socket_face

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("_runs")]

RUNS, VALUES = 40, 80_000
PUBLISH = """mutation($d: JSON!) { publishWorkflow(document: $d) {
    ... on PublishedVersion { version { number } } ... on InvalidInput { problems { path message } } } }"""
START = "mutation($w: String!, $i: JSON) { startRun(workflow: $w, input: $i) { ... on Run { id } } }"
PAGE = """query($w: String!, $first: Int!, $after: String) {
    runs(filter: {workflow: $w}, first: $first, after: $after) {
        items { id input } pageInfo { endCursor hasNextPage } } }"""


def megabytes(name: str) -> int:
    """A line of /proc/self/status."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _runs(edge: Edge) -> None:
    """Of the workflow `nests`, and of `marked`, which marks something in its input as sensitive."""
    marks = {"properties": {"pin": {"type": "string", "x-sensitive": True}}}
    copy = """INSERT INTO runs (id, tenant_id, workflow_id, version_id, input, dispatch_id, created_by)
        SELECT new_id, tenant_id, workflow_id, version_id, input, gen_random_uuid(), created_by
        FROM runs CROSS JOIN unnest($2::uuid[]) AS new_id WHERE id = $1"""
    for name, parameters, given in (("nests", {}, {}), ("marked", marks, {"pin": "1234"})):
        step = {"key": "take", "type": "transform", "input": 1}
        document = {"workflow": name, "parameters": {"type": "object", **parameters}, "steps": [step]}
        published = await edge.admin(PUBLISH, d=document)
        assert published["publishWorkflow"].get("version"), published
        started = await edge.admin(START, w=name, i={"a": [[]] * VALUES, **given})
        await edge.owner.execute(copy, started["startRun"]["id"], [new_id() for _ in range(RUNS - 1)])


class Stranger:
    """Asks for something small every 50 ms; `longest` is how long an answer took at most, in seconds of this process's
    CPU. `known` is set once it had one."""

    def __init__(self, keyed: Keyed) -> None:
        self._keyed, self.longest, self.known = keyed, 0.0, asyncio.Event()

    async def ask(self) -> None:
        while True:
            begun = time.process_time()
            await self._keyed("{ tenant { name } }")
            self.longest = max(self.longest, time.process_time() - begun)
            self.known.set()
            await asyncio.sleep(0.05)


async def beside_a_stranger(edge: Edge, *asks: Any) -> tuple[list[Any], float, int]:
    """The answers; how long a stranger waited at most; by how many MB the process grew at its peak."""
    stranger = Stranger(edge.stranger)
    task = asyncio.create_task(stranger.ask())
    await stranger.known.wait()
    Path("/proc/self/clear_refs").write_text("5")
    before = megabytes("VmHWM")
    answers = await asyncio.gather(*asks)
    grown = megabytes("VmHWM") - before
    task.cancel()
    return answers, stranger.longest, grown


@pytest.mark.parametrize(
    ("workflow", "first"), [("nests", RUNS), ("nests", 20), ("marked", RUNS), ("marked", 20)]
)
async def test_pages_of_large_inputs_take_little_memory_and_hold_nobody_up(
    edge: Edge, workflow: str, first: int
) -> None:
    viewer = edge.keys[Role.VIEWER]
    asks = (viewer.post(PAGE, w=workflow, first=first) for _ in range(4))
    answers, longest, grown = await beside_a_stranger(edge, *asks)
    for answer in answers:
        errors = orjson.loads(answer.content).get("errors", [])
        assert {error["extensions"]["code"] for error in errors} <= {"LIMIT_EXCEEDED"}
        assert errors or first == 20
        assert not errors or first == RUNS or workflow == "marked"
    assert longest < 1
    assert grown < 128


@pytest.mark.parametrize(("workflow", "pin"), [("nests", {}), ("marked", {"pin": MARKER})])
async def test_every_run_is_readable_page_by_page(edge: Edge, workflow: str, pin: dict[str, str]) -> None:
    viewer, seen, after = edge.keys[Role.VIEWER], 0, None
    while True:
        page = (await viewer(PAGE, w=workflow, first=20, after=after))["runs"]
        assert all(run["input"] == {"a": [[]] * VALUES, **pin} for run in page["items"])
        seen += len(page["items"])
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == RUNS


async def test_one_by_itself_is_answered_where_a_page_is_not(edge: Edge) -> None:
    run = (await edge.admin(START, w="nests", i={"of": "pages"}))["startRun"]["id"]
    large = "jsonb_build_object('details', repeat('x', 5000000))"
    for statement in (
        f"""INSERT INTO events (tenant_id, run_id, epoch, seq, kind, at, data)
            SELECT tenant_id, id, 1, n, 'attempted', now(), {large} FROM runs CROSS JOIN generate_series(1, 3) AS n""",
        f"""INSERT INTO waits (tenant_id, run_id, step, kind, status, opened_at, data)
            SELECT tenant_id, id, 's' || n, 'APPROVAL', 'OPEN', now() + n * interval '1 s', {large}
            FROM runs CROSS JOIN generate_series(1, 3) AS n""",
        f"""INSERT INTO step_runs (tenant_id, run_id, key, status, output)
            SELECT tenant_id, id, 's' || n, 'SUCCESS', {large} FROM runs CROSS JOIN generate_series(1, 3) AS n""",
    ):
        await edge.owner.execute(f"{statement} WHERE id = $1", run)
    more, variables = "pageInfo { hasNextPage endCursor }", "query($first: Int!, $after: String)"
    of_run = "query($id: ID!, $first: Int!, $after: String) { run(id: $id) { pages: %s } }"
    for query, given in (
        (of_run % f"events(first: $first, after: $after) {{ items {{ data }} {more} }}", {"id": run}),
        (of_run % f"waits(first: $first, after: $after) {{ items {{ details }} {more} }}", {"id": run}),
        (
            f"{variables} {{ pages: approvals(first: $first, after: $after) {{ items {{ details }} {more} }} }}",
            {},
        ),
    ):
        refused = orjson.loads((await edge.admin.post(query, first=2, **given)).content)
        assert refused["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED", query
        after, seen = None, 0
        while True:
            data = await edge.admin(query, first=1, after=after, **given)
            page = data.get("pages") or data["run"]["pages"]
            seen += len(page["items"])
            assert len(orjson.dumps(page["items"])) > 5_000_000
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        assert seen == 3
    # A run has no pages of its steps.
    steps = (await edge.admin("query($id: ID!) { run(id: $id) { steps { output } } }", id=run))["run"][
        "steps"
    ]
    assert sum(len(orjson.dumps(step["output"])) for step in steps) > 15_000_000


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
            told = await ask(
                ws, '{ runs(filter: {workflow: "nests"}, first: 20) { items { input } } }', str(number)
            )
            assert len(told["payload"]["data"]["runs"]["items"]) == 20
