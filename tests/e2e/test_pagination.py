"""An action asks for page after page, by link, cursor or number, as one step with one output."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from aiohttp import web
from designer import Designer, step
from fleet import Fleet, heartbeat_heard
from target import Call, Target

# Pages are the runner's work alone: which bus carries what it tells makes no difference to them.
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("module_fleet", ["embedded"], indirect=True, scope="module"),
]

ITEMS = {"items": "$.body.items"}
PAGES = [[1, 2], [3], [4, 5], []]
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "pagination.md"
_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEY = "a-key-of-the-shop"


@dataclass(frozen=True)
class World:
    fleet: Fleet
    designer: Designer
    target: Target

    async def run(self, name: str, pagination: Any, connection: str = "shop-main", **action: Any) -> Any:
        """A run of one step, a call of `/<name>` through a connection, to its end."""
        await self.designer.action("shop", name, "GET", f"/{name}", pagination=pagination, **action)
        call = {"key": "read", "action": f"shop/{name}", "connection": connection}
        await self.designer.publish({"workflow": name, "steps": [call]})
        return await self.designer.ended(await self.designer.start(name))

    def answers(self, name: str, answer: Callable[[Call], web.Response]) -> None:
        async def answered(call: Call) -> web.StreamResponse:
            return answer(call)

        self.target.answers[f"/{name}"] = answered


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(module_fleet: Fleet) -> AsyncIterator[World]:
    async with Target() as target:
        await module_fleet.start_all()
        designer = Designer(module_fleet)
        await designer.app("shop", target.url, {"kind": "API_KEY", "in": "query", "name": "key"})
        await designer.connection("shop", "shop-main", {"apiKey": KEY})
        yield World(module_fleet, designer, target)


def read(run: Any) -> Any:
    assert run["status"] == "SUCCESS", run
    return step(run, "read")["output"]


async def test_links_in_the_body_are_followed_with_the_credential(world: World) -> None:
    def answer(call: Call) -> web.Response:
        page = int(call.query.get("p", 0))
        # As many APIs do, the link repeats the whole query, the caller's key in it.
        following = f"/links?key={call.query['key']}&p={page + 1}" if page < 3 else None
        return web.json_response({"items": PAGES[page], "next": following})

    world.answers("links", answer)
    output = read(await world.run("links", {**ITEMS, "nextLink": "$.body.next"}))
    assert output["body"] == {"items": [1, 2, 3, 4, 5], "pages": 4, "truncated": False}
    assert [call.query["key"] for call in world.target.of("/links")] == [KEY] * 4


async def test_the_guides_documents_run(world: World) -> None:
    definitions, workflow = _BLOCK.findall(GUIDE.read_text(encoding="utf-8"))
    app, connection, action = yaml.safe_load_all(definitions)
    document = yaml.safe_load(workflow)
    await world.designer.app(app["name"], world.target.url, app["auth"])
    await world.designer.connection(app["name"], connection["name"], {"apiKey": KEY})
    definition = {name: value for name, value in action.items() if name not in ("kind", "app", "name")}
    await world.designer.action(
        action["app"],
        action["name"],
        definition.pop("method"),
        definition.pop("endpointTemplate"),
        **definition,
    )
    await world.designer.publish(document)

    def answer(call: Call) -> web.Response:
        assert call.query["state"] == "open"
        following = None if call.query.get("p") else "/orders?state=open&p=2"
        return web.json_response({"orders": [{"total": 5}, {"total": 7}], "next": following})

    world.answers("orders", answer)
    run = await world.designer.ended(await world.designer.start(document["workflow"]))
    assert (run["status"], run["result"]) == ("SUCCESS", {"total": 24, "complete": True}), run


async def test_links_in_the_header_are_followed_up_to_the_cap(world: World) -> None:
    def answer(call: Call) -> web.Response:
        page = int(call.query.get("p", 0))
        link = f'<{world.target.url}/header?p={page + 1}>; rel="next"'
        return web.json_response({"items": [page]}, headers={"Link": link, "X-Page": str(page)})

    world.answers("header", answer)
    run = await world.run("header", {**ITEMS, "nextLink": "header", "maxPages": 3})
    output = read(run)
    assert output["body"] == {"items": [0, 1, 2], "pages": 3, "truncated": True}
    assert (output["status"], output["headers"]["x-page"]) == (200, "2")
    assert len(world.target.of("/header")) == 3
    async with asyncio.timeout(20):
        while True:  # log records have no promise of order with the run's status
            found = await world.designer.do(
                "query ($run: ID!) { logs(filter: {run: $run, level: WARN}) { items { message } } }",
                run=run["id"],
            )
            if found["logs"]["items"]:
                break
            await asyncio.sleep(0.1)
    assert "maxPages" in found["logs"]["items"][0]["message"]


async def test_a_cursor_is_sent_back_and_a_failing_page_begins_anew(world: World) -> None:
    failing = [True]

    def answer(call: Call) -> web.Response:
        cursor = call.query.get("after", "c0")
        page = int(cursor[1:])
        if page == 2 and failing.pop():
            failing.append(False)
            return web.json_response({}, status=503)
        return web.json_response({"items": PAGES[page], "cursor": f"c{page + 1}" if page < 2 else ""})

    world.answers("cursor", answer)
    run = await world.run(
        "cursor",
        {**ITEMS, "cursor": {"from": "$.body.cursor", "parameter": "after"}},
        retry={"strategy": "FIXED", "maxAttempts": 2, "initialDelayMs": 1},
    )
    assert read(run)["body"] == {"items": [1, 2, 3, 4, 5], "pages": 3, "truncated": False}
    assert step(run, "read")["attemptCount"] == 2
    asked = [call.query.get("after") for call in world.target.of("/cursor")]
    assert asked == [None, "c1", "c2"] * 2
    message = step(run, "read")["attempts"][0]["error"]["message"]
    assert message.startswith("page 3:")


async def test_a_cancel_between_two_pages_leaves_nothing_to_replay(world: World) -> None:
    world.target.on("/canceled", body={"items": [1], "next": "/canceled?p=2"})
    world.target.hold("/canceled")
    running = asyncio.create_task(world.run("canceled", {**ITEMS, "nextLink": "$.body.next"}))
    await world.target.called("/canceled")
    found = await world.designer.do('{ runs(filter: {workflow: "canceled"}) { items { id } } }')
    await world.designer.cancel(found["runs"]["items"][0]["id"])
    await heartbeat_heard(world.fleet.backends.database_url)
    world.target.release("/canceled")
    run = await running
    assert (run["status"], step(run, "read")["status"]) == ("CANCELED", "CANCELED")
    assert [made["error"]["code"] for made in step(run, "read")["attempts"]] == ["NOT_CALLED"]
    assert len(world.target.of("/canceled")) == 1
    listed = await world.designer.do('{ deadLetters(filter: {workflow: "canceled"}) { items { id } } }')
    assert listed["deadLetters"]["items"] == []


async def test_pages_are_counted_until_one_is_empty(world: World) -> None:
    world.answers("numbers", lambda call: web.json_response({"items": PAGES[int(call.query["n"])]}))
    output = read(await world.run("numbers", {**ITEMS, "page": {"parameter": "n", "first": 0}}))
    assert output["body"] == {"items": [1, 2, 3, 4, 5], "pages": 4, "truncated": False}


@pytest.mark.parametrize(
    ("name", "link", "code", "calls"),
    [
        ("elsewhere", "http://127.0.0.2:{port}/elsewhere?p=2", "PAGINATION_OTHER_HOST", 1),
        ("around", "/around?p=2", "PAGINATION_LOOP", 2),
    ],
)
async def test_links_that_lead_nowhere_fail_the_step(
    world: World, name: str, link: str, code: str, calls: int
) -> None:
    following = link.format(port=world.target.url.rpartition(":")[2])
    world.target.on(f"/{name}", body={"items": [1], "next": following})
    run = await world.run(name, {**ITEMS, "nextLink": "$.body.next"})
    assert step(run, "read")["error"]["code"] == code
    assert len(world.target.of(f"/{name}")) == calls


async def test_each_page_counts_for_the_connections_limit(world: World) -> None:
    limits = {"requestsPerSecond": 0.001, "burst": 1}
    given = {"app": "shop", "name": "shop-slow", "secrets": {"apiKey": KEY}, "limits": limits}
    await world.designer.mutate(
        "mutation ($input: ConnectionInput!) { createConnection(input: $input) { ok: __typename ...Failed } }",
        input=given,
    )
    world.target.on("/slow", body={"items": [1], "next": "/slow?p=2"})
    run = await world.run("slow", {**ITEMS, "nextLink": "$.body.next"}, "shop-slow")
    assert step(run, "read")["error"]["code"] == "TIMEOUT"
    assert len(world.target.of("/slow")) == 1


async def test_each_page_has_to_fit_the_output_schema(world: World) -> None:
    world.answers("schema", lambda call: web.json_response({"items": [1] if call.query["n"] == "1" else "x"}))
    schema = {"type": "object", "properties": {"items": {"type": "array"}}}
    run = await world.run(
        "schema", {**ITEMS, "page": {"parameter": "n"}}, outputSchema=schema, onOutputMismatch="FAIL"
    )
    assert step(run, "read")["error"]["code"] == "OUTPUT_MISMATCH"


async def test_an_action_that_may_not_be_repeated_is_refused(world: World) -> None:
    saved = await world.designer.do(
        """mutation ($definition: JSON!) { saveAction(app: "shop", name: "post", definition: $definition) {
             ... on InvalidInput { problems { path code mend } } } }""",
        definition={
            "method": "POST",
            "endpointTemplate": "/post",
            "pagination": {**ITEMS, "nextLink": "header"},
        },
    )
    (problem,) = saved["saveAction"]["problems"]
    assert (problem["path"], problem["code"]) == ("pagination", "NOT_REPEATABLE")
    assert "IDEMPOTENT" in problem["mend"]
