"""How many websockets and operations on them there are, how long, for whom, and what closes one."""

import contextlib
import hashlib
import logging
from typing import Any

import pytest
from fixtures_edge import Edge, issue
from headrace_control.auth.roles import Role
from headrace_control.web.policy import HttpPolicy
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from tests.security.public_face import LISTED, NAME, ask, init, opened_socket, socket_face, subscribe

pytestmark = pytest.mark.asyncio(loop_scope="module")

TAIL = "subscription { logTail { message } }"


async def closed_with(ws: Any) -> int:
    with contextlib.suppress(ConnectionClosed):
        async for _ in ws:
            pass
    return int(ws.close_code)


async def test_operations_on_a_socket_count_for_the_keys_rate(edge: Edge) -> None:
    async with opened_socket(edge, edge.admin, HttpPolicy(rate_per_key=0.01)) as ws:
        assert "data" in (await ask(ws, NAME))["payload"]
        extensions = (await ask(ws, NAME))["payload"][0]["extensions"]
        assert extensions["code"] == "RATE_LIMITED"
        assert extensions["retryAfterSeconds"] >= 1


async def test_a_socket_on_which_nothing_is_asked_for_is_closed(edge: Edge) -> None:
    async with opened_socket(edge, edge.admin, HttpPolicy(socket_idle_seconds=0.05)) as ws:
        assert await closed_with(ws) == 4408


async def test_a_socket_is_closed_when_its_key_may_do_something_else(edge: Edge) -> None:
    operator = await issue(edge.admin, Role.OPERATOR)
    async with socket_face(edge, HttpPolicy(), recheck_seconds=0.05) as opened, opened() as ws:
        await init(ws, operator)
        await subscribe(ws, TAIL)
        changed = await edge.owner.execute(
            "UPDATE api_keys SET role = 'VIEWER' WHERE hash = $1",
            hashlib.sha256(operator.key.encode()).digest(),
        )
        assert changed == "UPDATE 1"
        assert await closed_with(ws) == 4403


async def test_a_page_of_another_origin_opens_no_socket(edge: Edge) -> None:
    async with socket_face(edge, HttpPolicy(origins=[LISTED])) as opened:
        for origin in ("https://evil.example", "null", f"{LISTED}.evil.example"):
            with pytest.raises(InvalidStatus) as refused:
                await opened(origin=Origin(origin))
            assert refused.value.response.status_code == 403
        async with opened(origin=Origin(LISTED)) as ws:
            await init(ws, edge.admin)


MALFORMED: list[Any] = [
    b"\x00\x01",
    "",
    "x",
    "[]",
    "1",
    "null",
    "{}",
    '{"type": 1}',
    '{"type": []}',
    '{"type": "subscribe"}',
    '{"type": "subscribe", "id": "1"}',
    '{"type": "subscribe", "id": [], "payload": {"query": "{ __typename }"}}',
    '{"type": "subscribe", "id": {}, "payload": {"query": "{ __typename }"}}',
    '{"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}',
    '{"type": "subscribe", "id": "1", "payload": 1}',
    '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": []}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "operationName": {}}}',
    '{"type": "complete", "id": []}',
    '{"type": "connection_init", "payload": []}',
    '{"type": "nonsense"}',
    '{"type": "subscribe", "id": "' + "i" * 1_000 + '", "payload": {"query": "{ __typename }"}}',
    "[" * 100_000,
    '{"type": NaN}',
]


@pytest.mark.parametrize("message", MALFORMED, ids=range(len(MALFORMED)))
async def test_a_malformed_message_closes_its_socket_and_is_not_logged(
    edge: Edge, message: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened_socket(edge, edge.admin, HttpPolicy()) as ws:
        await ws.send(message)
        assert await closed_with(ws) in (4400, 4429)
    assert "unexpected error" not in capsys.readouterr().out
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_text_that_is_no_utf_8_closes_its_socket_and_is_not_logged(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened_socket(edge, edge.admin, HttpPolicy()) as ws:
        await ws.send(b"\xff\xfe", text=True)
        assert await closed_with(ws) == 1007
    async with opened_socket(edge, edge.admin, HttpPolicy()) as ws:
        await ws.send([b"\xc3", b"\x28"], text=True)
        assert await closed_with(ws) == 1007
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_message_above_the_cap_closes_the_socket(edge: Edge) -> None:
    async with opened_socket(edge, edge.admin, HttpPolicy()) as ws:
        with contextlib.suppress(ConnectionClosed):
            await ws.send(" " * (4 * 1024 * 1024 + 1))
        assert await closed_with(ws) == 1009
