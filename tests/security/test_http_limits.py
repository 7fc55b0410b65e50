"""How fast, how long, how many at once, from which pages, and only what is listed: the public face's own limits."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from fixtures_edge import Edge, Keyed, issue, listening
from headrace.errors import InvalidInput, RateLimited
from headrace_control.app import create_app
from headrace_control.auth.roles import Role
from headrace_control.graphql.persisted import read_documents
from headrace_control.graphql.schema import create_schema
from headrace_control.graphql.view import GraphQLView
from headrace_control.web import rates
from headrace_control.web.addresses import ClientAddress, bucket_of
from headrace_control.web.policy import HttpPolicy, HttpSettings
from headrace_control.web.rates import BURST_SECONDS, AddressRate, Buckets
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = "{ tenant { name } }"


def code(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["extensions"]["code"])


def face(edge: Edge, policy: HttpPolicy) -> httpx.AsyncClient:
    app = create_app(edge.composed.services, edge.composed.authenticator, {}, policy)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


# -- rates ---------------------------------------------------------------------------------------------------


async def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    now = 0.0
    buckets = Buckets(10, clock=lambda: now)
    for _ in range(int(10 * BURST_SECONDS)):
        buckets.take("a")
    with pytest.raises(RateLimited) as refused:
        buckets.take("a")
    assert refused.value.retry_after == 1
    buckets.take("b")
    now = 0.1
    buckets.take("a")
    with pytest.raises(RateLimited):
        buckets.take("a")
    now = 3_600.0
    for _ in range(int(10 * BURST_SECONDS)):
        buckets.take("a")


async def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_BUCKETS", 100)
    buckets = Buckets(1, clock=lambda: 0.0)
    for number in range(1_000):
        buckets.take(number)
    assert len(buckets._full_at) == 100


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(edge: Edge) -> None:
    async with face(edge, HttpPolicy(rate_per_key=0.01)) as http:
        admin, viewer = (Keyed(http, edge.keys[role].key) for role in (Role.ADMIN, Role.VIEWER))
        assert (await admin.post(NAME)).status_code == 200
        answer = await admin.post(NAME)
        assert (answer.status_code, code(answer)) == (429, "RATE_LIMITED")
        assert 1 <= int(answer.headers["retry-after"]) <= 100
        assert (await viewer.post(NAME)).status_code == 200


async def test_an_address_that_asks_too_often_is_refused_whatever_it_asks(edge: Edge) -> None:
    async with face(edge, HttpPolicy(rate_per_address=0.2)) as http:
        assert (await http.get("/nowhere")).status_code == 404
        for path in ("/nowhere", "/health", "/callbacks/x", "/webhooks/x", "/graphql"):
            answer = await http.post(path)
            assert (answer.status_code, code(answer)) == (429, "RATE_LIMITED")
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_forged_header_buys_no_further_requests(edge: Edge) -> None:
    async with face(edge, HttpPolicy(rate_per_address=0.2)) as http:
        answers = [await http.get("/health", headers={"x-forwarded-for": f"8.8.8.{n}"}) for n in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 429]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("9.9.9.9", ["1.2.3.4"], "9.9.9.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4", "10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["1.2.3.4, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4:5678"], "1.2.3.4"),
        ("10.0.0.1", ["[2001:db8::1]:5678"], "2001:db8::1"),
        ("10.0.0.1", ["::ffff:1.2.3.4"], "1.2.3.4"),
        ("::ffff:10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["1.2.3.4, ::ffff:10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [",,,"], "10.0.0.1"),
    ],
)
async def test_the_client_is_the_first_from_the_right_that_is_no_proxy_of_ours(
    peer: str, forwarded: list[str], client: str
) -> None:
    seen = []

    async def look(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    scope = {"type": "http", "client": (peer, 1), "headers": headers}
    await ClientAddress(look, [ip_network("10.0.0.0/8")])(scope, None, None)  # type: ignore[arg-type]
    assert seen == [client]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("1.2.3.4", "::ffff:1.2.3.4", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("1.2.3.4", "1.2.3.5", False),
    ],
)
async def test_what_one_subscriber_has_shares_a_rate(one: str, other: str, together: bool) -> None:
    assert (bucket_of(one) == bucket_of(other)) is together


async def test_a_handshake_counts_as_a_request() -> None:
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def never(*_: Any) -> None:
        raise AssertionError("reached")

    buckets = Buckets(0.1, clock=lambda: 0.0)
    buckets.take("1.2.3.4")
    await AddressRate(never, buckets)({"type": "websocket", "client": ("1.2.3.4", 1)}, None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["websocket.close"]


# -- time ----------------------------------------------------------------------------------------------------


@pytest.fixture
def stuck(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait_for_ever(*_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(type(edge.composed.services.tenants), "current", wait_for_ever)


@pytest.mark.usefixtures("stuck")
async def test_an_operation_that_takes_too_long_is_ended(edge: Edge) -> None:
    policy = HttpPolicy(operation_seconds=0.3)
    async with face(edge, policy) as http:
        answer = await Keyed(http, edge.admin.key).post(NAME)
        assert (answer.status_code, code(answer)) == (503, "TIMED_OUT")
    async with opened_socket(edge, edge.admin, policy) as ws:
        assert (await ask(ws, NAME))["payload"][0]["extensions"]["code"] == "TIMED_OUT"
        assert (await ask(ws, "{ __typename }"))["payload"]["data"] == {"__typename": "Query"}


# -- pages of other origins ----------------------------------------------------------------------------------

LISTED = "https://console.example.com"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


async def test_no_page_reads_answers_unless_its_origin_is_listed(edge: Edge) -> None:
    for policy, origin, allowed in (
        (HttpPolicy(), LISTED, False),
        (HttpPolicy(origins=[LISTED]), LISTED, True),
        (HttpPolicy(origins=[LISTED]), f"{LISTED}.evil.example", False),
        (HttpPolicy(origins=[LISTED]), "http://console.example.com", False),
        (HttpPolicy(origins=[LISTED]), "null", False),
        (HttpPolicy(origins=[LISTED]), "*", False),
    ):
        async with face(edge, policy) as http:
            asked = await http.options("/graphql", headers={"origin": origin, **PREFLIGHT})
            read = await http.post(
                "/graphql",
                json={"query": NAME},
                headers={"origin": origin, "authorization": f"Bearer {edge.admin.key}"},
            )
        assert asked.status_code == (204 if allowed else 405)
        for answer in (asked, read):
            expected = origin if allowed else None
            assert answer.headers.get("access-control-allow-origin") == expected
            assert "access-control-allow-credentials" not in answer.headers
            assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "text/plain;x=application/json",
        "application/jsonx",
        "application/graphql",
        "text/application/json",
    ],
)
async def test_what_a_form_can_send_is_no_operation(edge: Edge, kind: str | None) -> None:
    headers = {"authorization": f"Bearer {edge.admin.key}", **({"content-type": kind} if kind else {})}
    answer = await edge.http.post("/graphql", content=orjson.dumps({"query": NAME}), headers=headers)
    assert (answer.status_code, code(answer)) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_subscription_does_not_come_by_post(edge: Edge) -> None:
    headers = {"authorization": f"Bearer {edge.admin.key}"}
    for accept in (
        "text/event-stream",
        'multipart/mixed;boundary="graphql";subscriptionSpec=1.0,application/json',
        "multipart/mixed;deferSpec=20220824",
    ):
        body = {"query": 'subscription { runChanged(id: "x") { status } }'}
        answer = await edge.http.post("/graphql", json=body, headers={**headers, "accept": accept})
        assert answer.headers["content-type"] == "application/json"
        assert code(answer) == "BAD_QUERY"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "console.example.com"),
        ("CORS_ORIGINS", "https://console.example.com/"),
        ("CORS_ORIGINS", "null"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "everybody"),
        ("RATE_PER_KEY", "-1"),
    ],
)
async def test_a_loose_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"HEADRACE_{name}", value)
    with pytest.raises(ValueError, match=name.lower()):
        HttpSettings(_env_prefix="HEADRACE_")
    monkeypatch.setenv("HEADRACE_CORS_ORIGINS", f"{LISTED}, http://localhost:5173")
    monkeypatch.setenv("HEADRACE_TRUSTED_PROXIES", "10.0.0.0/8,::1")
    monkeypatch.delenv("HEADRACE_RATE_PER_KEY", raising=False)
    policy = HttpSettings(_env_prefix="HEADRACE_").http_policy({})
    assert list(policy.origins) == [LISTED, "http://localhost:5173"]
    assert [str(network) for network in policy.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert policy.introspection is False


# -- listed queries ------------------------------------------------------------------------------------------


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def by_hash(digest: Any, **more: Any) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}, **more}


async def test_a_listed_query_is_run_by_its_hash_and_nobody_adds_one(edge: Edge) -> None:
    other = "{ __typename }"
    async with face(edge, HttpPolicy(documents={sha256(NAME): NAME})) as http:
        headers = {"authorization": f"Bearer {edge.admin.key}"}

        async def post(body: Any) -> httpx.Response:
            return await http.post("/graphql", json=body, headers=headers)

        assert (await post(by_hash(sha256(NAME)))).json()["data"] == {"tenant": {"name": "acme"}}
        assert code(await post(by_hash(sha256(other)))) == "PERSISTED_QUERY_NOT_FOUND"
        assert (await post(by_hash(sha256(other), query=other))).json()["data"] == {"__typename": "Query"}
        assert code(await post(by_hash(sha256(other)))) == "PERSISTED_QUERY_NOT_FOUND"
        assert code(await post(by_hash(sha256(NAME), query=other))) == "INVALID_INPUT"
        for digest in (None, 1, {}, [], "", sha256(NAME).upper()):
            assert "data" not in (await post(by_hash(digest))).json()


async def test_only_listed_queries_run_where_it_is_set_so(edge: Edge) -> None:
    policy = HttpPolicy(documents={sha256(NAME): NAME}, documents_only=True)
    async with face(edge, policy) as http:
        admin = Keyed(http, edge.admin.key)
        assert (await admin(NAME))["tenant"]["name"] == "acme"
        for query in (NAME + " ", "{ __typename }", "query " + NAME):
            answer = await admin.post(query)
            assert (answer.status_code, code(answer)) == (403, "QUERY_NOT_LISTED")
    async with opened_socket(edge, edge.admin, policy) as ws:
        assert (await ask(ws, "{ __typename }"))["payload"][0]["extensions"]["code"] == "QUERY_NOT_LISTED"
        assert (await ask(ws, NAME))["payload"]["data"] == {"tenant": {"name": "acme"}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"a": 1}',
        '{"a": "{ tenant { name } }"}',
        orjson.dumps({sha256("{ nonsense }"): "{ nonsense }"}).decode(),
        orjson.dumps({sha256("{"): "{"}).decode(),
        orjson.dumps({sha256("{" * 3_000): "{" * 3_000}).decode(),
    ],
)
async def test_a_list_that_is_wrong_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    schema = create_schema().core
    path = tmp_path / "queries.json"
    with pytest.raises(InvalidInput):
        read_documents(path, schema)
    path.write_text(text)
    with pytest.raises(InvalidInput):
        read_documents(path, schema)
    path.write_bytes(orjson.dumps({sha256(NAME): NAME}))
    assert read_documents(path, schema) == {sha256(NAME): NAME}


# -- websockets ----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def socket_face(
    edge: Edge, policy: HttpPolicy, recheck_seconds: float = 30
) -> AsyncIterator[Callable[..., Any]]:
    view = GraphQLView(
        create_schema(operation_seconds=policy.operation_seconds),
        edge.composed.services,
        edge.composed.authenticator,
        policy,
        recheck_seconds,
    )
    async with listening(Starlette(routes=view.routes("/graphql"))) as port:

        def opened(**more: Any) -> Any:
            protocols = [Subprotocol("graphql-transport-ws")]
            return connect(f"ws://127.0.0.1:{port}/graphql", subprotocols=protocols, proxy=None, **more)

        yield opened


async def init(ws: Any, caller: Keyed) -> None:
    payload = {"authorization": f"Bearer {caller.key}"}
    await ws.send(orjson.dumps({"type": "connection_init", "payload": payload}).decode())
    assert orjson.loads(await ws.recv())["type"] == "connection_ack"


@contextlib.asynccontextmanager
async def opened_socket(edge: Edge, caller: Keyed, policy: HttpPolicy) -> AsyncIterator[Any]:
    async with socket_face(edge, policy) as opened, opened() as ws:
        await init(ws, caller)
        yield ws


async def subscribe(ws: Any, query: str, name: str = "1") -> None:
    await ws.send(orjson.dumps({"id": name, "type": "subscribe", "payload": {"query": query}}).decode())


async def ask(ws: Any, query: str, name: str = "1") -> Any:
    await subscribe(ws, query, name)
    answer = orjson.loads(await ws.recv())
    if answer["type"] == "next":
        assert orjson.loads(await ws.recv())["type"] == "complete"
    return answer


async def closed_with(ws: Any) -> int:
    with contextlib.suppress(ConnectionClosed):
        async for _ in ws:
            pass
    return int(ws.close_code)


TAIL = "subscription { logTail { message } }"


async def test_operations_on_sockets_are_bounded_by_key_and_by_process(edge: Edge) -> None:
    policy = HttpPolicy(operations_per_key=2, operations_on_sockets=3)
    async with socket_face(edge, policy) as opened, opened() as first, opened() as second, opened() as third:
        await init(first, edge.admin)
        await init(second, edge.admin)
        await init(third, edge.keys[Role.VIEWER])
        await subscribe(first, TAIL, "a")
        await first.send('{"type": "ping"}')
        assert orjson.loads(await first.recv())["type"] == "pong"
        await subscribe(second, TAIL, "b")
        assert (await ask(second, TAIL, "c"))["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        assert (await ask(first, NAME, "c"))["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        await subscribe(third, TAIL, "d")
        assert (await ask(third, TAIL, "e"))["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        await first.close()
        # The place is free once the server has seen the end of it.
        async with asyncio.timeout(30):
            while (await ask(third, NAME, "f"))["type"] == "error":
                await asyncio.sleep(0)


async def test_sockets_are_bounded(edge: Edge) -> None:
    async with socket_face(edge, HttpPolicy(sockets=1)) as opened:
        async with opened() as ws:
            await init(ws, edge.admin)
            with pytest.raises(InvalidStatus):
                await opened()
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(InvalidStatus):
                    (await opened()).transport.close()
                    break


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


async def test_a_message_above_the_cap_closes_the_socket(edge: Edge) -> None:
    async with opened_socket(edge, edge.admin, HttpPolicy()) as ws:
        with contextlib.suppress(ConnectionClosed):
            await ws.send(" " * (4 * 1024 * 1024 + 1))
        assert await closed_with(ws) == 1009
