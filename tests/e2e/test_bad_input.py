"""Bad input of every kind ends in a typed error at its place, and the next run works."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from designer import Designer, step
from fleet import Fleet
from target import Target

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEN_MEGABYTES = 10 * 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"

# What a target on a bare socket answers to a path, before it closes the connection.
ANSWERS = {
    "/large": OK + b"Content-Length: %d\r\n\r\n" % TEN_MEGABYTES + b"x" * TEN_MEGABYTES,
    "/large-chunked": OK
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + (b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * (TEN_MEGABYTES // 0x10000)
    + b"0\r\n\r\n",
    "/bomb": OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * TEN_MEGABYTES),
    "/not-json": OK + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n<html>\0\xff\xfe",
    "/not-gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: 13\r\n\r\n" + b'{"fine": 123}',
    "/cut-gzip": OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b'{"fine": 123}')[:-9],
    "/bad-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "/cut-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n20\r\nhello",
    "/cut-body": OK + b"Content-Length: 100\r\n\r\nhello",
    "/not-http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "/silent": b"",
}


@asynccontextmanager
async def crooked() -> AsyncIterator[str]:
    """A server whose answers are not what they say."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        try:
            writer.write(ANSWERS[head.split()[1].decode()])
            await writer.drain()
        except ConnectionError:
            pass  # the runner has read enough
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@dataclass(frozen=True)
class World:
    designer: Designer
    target: Target

    async def run(self, app: str, base_url: str, path: str = "/", **action: Any) -> Any:
        """One call of an app of its own, to the run's end."""
        await self.designer.app(app, base_url)
        await self.designer.action(app, "call", action.pop("method", "GET"), path, **action)
        await self.designer.publish({"workflow": app, "steps": [{"key": "call", "action": f"{app}/call"}]})
        run_id = await self.designer.start(app)
        return await self.designer.ended(run_id, wanted={"SUCCESS", "FAILED", "WAITING"})

    async def still_works(self) -> None:
        run = await self.designer.ended(await self.designer.start("sound", n=1))
        assert (run["status"], run["result"]) == ("SUCCESS", {"path": "/sound"}), run


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(module_fleet: Fleet) -> AsyncIterator[World]:
    async with Target() as target:
        await module_fleet.start_all()
        designer = Designer(module_fleet)
        await designer.app("shop", target.url)
        number = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        await designer.action(
            "shop", "create", "POST", "/sound", idempotency={"mode": "KEY"}, bodySchema=number
        )
        await designer.publish(
            {
                "workflow": "sound",
                "parameters": {**number, "properties": {"n": {}}},
                "steps": [{"key": "create", "action": "shop/create", "input": {"n": "{{ input.n }}"}}],
                "result": {"path": "{{ steps.create.output.body.path }}"},
            }
        )
        yield World(designer, target)


# -- what designers write ----------------------------------------------------------------------------------

PROBLEMS = "problems { path message mend code }"


# Wrong above all in its shape, and in its meaning alone: (path, code) of everything that is.
MISSHAPEN = {
    "workflow": "Broken Name",
    "env": {"LIST": [1]},
    "steps": [
        {"key": "one", "action": "shop"},
        {"key": "one", "type": "transform", "retry": {"strategy": "SOMETIMES"}},
        {"key": "two", "action": "shop/create", "timeoutMs": "soon", "conection": "main"},
        "three",
    ],
    "edges": [{"from": "one", "to": "two", "when": {"field": "output.n", "operator": "about", "value": 1}}],
}
MISSHAPEN_PLACES = {
    ("workflow", "INVALID"),
    ("env.LIST", "INVALID"),
    ("steps[0].action", "INVALID"),
    ("steps[1].key", "DUPLICATE_KEY"),
    ("steps[1].input", "MISSING_KEY"),
    ("steps[1].retry", "UNKNOWN_KEY"),
    ("steps[1].retry.strategy", "INVALID"),
    ("steps[2].timeoutMs", "INVALID"),
    ("steps[2].conection", "UNKNOWN_KEY"),
    ("steps[2].input.n", "MISSING_INPUT"),
    ("steps[3]", "INVALID"),
    ("edges[0].when.operator", "UNKNOWN_OPERATOR"),
}
MEANINGLESS = {
    "workflow": "broken",
    "parameters": {"type": "objekt"},
    "env": {"TOKEN": {"secret": "no-such-secret"}},
    "steps": [
        {"key": "one", "action": "shop/nothing"},
        {"key": "two", "action": "shop/create", "connection": "nobody", "input": {"n": "{{ input. }}"}},
        {"key": "three", "action": "shop/create", "input": {"n": "{{ steps.four.output.n }}"}},
        {"key": "four", "action": "shop/create", "input": {"n": "many"}},
        {"key": "five", "type": "no-such-type", "output": {"x": "$..x"}},
    ],
    "edges": [{"from": "one", "to": "two"}, {"from": "two", "to": "three"}, {"from": "two", "to": "nowhere"}],
}
MEANINGLESS_PLACES = {
    ("parameters.type", "BAD_SCHEMA"),
    ("env.TOKEN.secret", "UNKNOWN_SECRET"),
    ("steps[0].action", "UNKNOWN_ACTION"),
    ("steps[1].connection", "UNKNOWN_CONNECTION"),
    ("steps[1].input.n", "BAD_EXPRESSION"),
    ("steps[2].input.n", "UNKNOWN_OUTPUT"),
    ("steps[3]", "UNCONNECTED_STEP"),
    ("steps[3].input.n", "SCHEMA_MISMATCH"),
    ("steps[4]", "UNCONNECTED_STEP"),
    ("steps[4].type", "UNKNOWN_STEP_TYPE"),
    ("steps[4].output.x", "BAD_JSONPATH"),
    ("edges[2].to", "UNKNOWN_STEP"),
}


@pytest.mark.parametrize(
    ("document", "places"),
    [(MISSHAPEN, MISSHAPEN_PLACES), (MEANINGLESS, MEANINGLESS_PLACES)],
    ids=["shape", "meaning"],
)
async def test_every_problem_of_a_document_comes_in_one_answer(
    world: World, document: dict[str, Any], places: set[tuple[str, str]]
) -> None:
    found = await world.designer.do(
        f"query ($document: JSON!) {{ validateWorkflow(document: $document) {{ {PROBLEMS} }} }}",
        document=document,
    )
    refused = await world.designer.do(
        f"""mutation ($document: JSON!) {{ publishWorkflow(document: $document) {{
              ... on InvalidInput {{ code {PROBLEMS} }} }} }}""",
        document=document,
    )
    problems = refused["publishWorkflow"]["problems"]
    assert problems == found["validateWorkflow"]["problems"]
    assert all(p["path"] and p["message"] and p["mend"] for p in problems), problems
    assert {(p["path"], p["code"]) for p in problems} == places, problems
    await world.still_works()


async def test_an_unknown_connection_is_named_with_those_there_are(world: World) -> None:
    await world.designer.connection("shop", "shop-main", {})
    refused = await world.designer.do(
        f"""mutation ($document: JSON!) {{ publishWorkflow(document: $document) {{
              ... on InvalidInput {{ {PROBLEMS} }} }} }}""",
        document={
            "workflow": "w",
            "steps": [{"key": "one", "action": "shop/create", "connection": "shop-mian", "input": {"n": 1}}],
        },
    )
    (problem,) = refused["publishWorkflow"]["problems"]
    assert (problem["path"], problem["code"]) == ("steps[0].connection", "UNKNOWN_CONNECTION")
    assert "shop-main" in problem["mend"]
    await world.still_works()


# -- what starts runs, and what steps make of it -----------------------------------------------------------


async def test_an_input_that_does_not_fit_is_refused_at_the_start(world: World) -> None:
    refused = await world.designer.do(
        f"""mutation {{ startRun(workflow: "sound", input: {{m: 1}}) {{
              ... on InvalidInput {{ code {PROBLEMS} }} ... on Run {{ id }} }} }}"""
    )
    (problem,) = refused["startRun"]["problems"]
    assert problem["path"].startswith("input")
    assert problem["mend"]
    await world.still_works()


async def test_an_input_that_does_not_fit_the_action_ends_the_step_before_any_call(world: World) -> None:
    calls = len(world.target.calls)
    run = await world.designer.ended(await world.designer.start("sound", n="one"))
    assert (run["status"], run["error"]["code"]) == ("FAILED", "INPUT_MISMATCH")
    assert "steps[0]: body.n" in run["error"]["message"]
    assert step(run, "create")["attempts"] == []
    assert len(world.target.calls) == calls
    await world.still_works()


# -- what targets do ---------------------------------------------------------------------------------------


@pytest.fixture
def closed_port() -> Iterator[int]:
    """It is bound, so that nobody else gets it meanwhile, and nobody listens there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@pytest.mark.parametrize(
    ("app", "base_url", "code"),
    [
        ("closed", "http://127.0.0.1:{closed_port}", "CONNECT_FAILED"),
        ("nowhere", "http://nowhere.invalid", "DNS_FAILED"),
        ("metadata", "http://169.254.169.254", "EGRESS_DENIED"),
        ("private", "http://10.0.0.1", "EGRESS_DENIED"),
        ("spelled", "http://0xa9fea9fe", "EGRESS_DENIED"),
    ],
)
async def test_a_host_that_can_not_be_reached(
    world: World, app: str, base_url: str, code: str, closed_port: int
) -> None:
    run = await world.run(app, base_url.format(closed_port=closed_port))
    assert (run["status"], run["error"]["code"]) == ("FAILED", code), run
    (attempt,) = step(run, "call")["attempts"]
    assert (attempt["outcome"], attempt["error"]["code"]) == ("FAILED", code)
    await world.still_works()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/large", "RESPONSE_TOO_LARGE"),
        ("/large-chunked", "RESPONSE_TOO_LARGE"),
        ("/bomb", "RESPONSE_TOO_LARGE"),
        ("/not-gzip", "BAD_RESPONSE"),
        ("/cut-gzip", "BAD_RESPONSE"),
        ("/bad-chunk", "BAD_RESPONSE"),
        ("/cut-chunk", "CONNECTION_LOST"),
        ("/cut-body", "CONNECTION_LOST"),
        ("/not-http", "BAD_RESPONSE"),
        ("/silent", "CONNECTION_LOST"),
    ],
)
async def test_an_answer_that_is_none(world: World, path: str, code: str) -> None:
    async with crooked() as url:
        run = await world.run(f"crooked-{path[1:]}", url, path)
    assert (run["status"], run["error"]["code"]) == ("FAILED", code), run
    assert len(step(run, "call")["attempts"]) == 1
    await world.still_works()


async def test_an_unsafe_call_that_is_not_answered_waits_for_a_person(world: World) -> None:
    async with crooked() as url:
        run = await world.run("crooked-post", url, "/silent", method="POST")
    assert run["status"] == "WAITING"
    assert (step(run, "call")["status"], step(run, "call")["error"]["code"]) == ("UNKNOWN", "CONNECTION_LOST")
    await world.still_works()


async def test_json_that_is_none_is_text_and_fails_a_schema_that_asks_for_more(world: World) -> None:
    async with crooked() as url:
        lenient = await world.run("crooked-lenient", url, "/not-json")
        strict = await world.run(
            "crooked-strict", url, "/not-json", outputSchema={"type": "object"}, onOutputMismatch="FAIL"
        )
    assert lenient["status"] == "SUCCESS"
    assert step(lenient, "call")["output"]["body"] == "<html>\ufffd\ufffd\ufffd"
    assert (strict["status"], strict["error"]["code"]) == ("FAILED", "OUTPUT_MISMATCH")
    await world.still_works()
