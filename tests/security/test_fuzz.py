"""Thousands of hostile requests: the services stay up, their memory flat, and no answer of theirs is without a code.

HEADRACE_FUZZ_REQUESTS says how many (20,000 before a release), HEADRACE_FUZZ_SEED which.
"""

import asyncio
import contextlib
import json
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest
import pytest_asyncio
import schemathesis
from databases import fresh_database
from fleet import Backends, Fleet, Service
from headrace.ids import new_id
from headrace_control.graphql.schema import create_schema
from hostile_requests import Hostile
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from schemathesis import GenerationMode
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(3_600)]

REQUESTS = int(os.environ.get("HEADRACE_FUZZ_REQUESTS", "1500"))
SEED = int(os.environ.get("HEADRACE_FUZZ_SEED", "20260101"))
AT_ONCE = 8
# How much a service may have grown since it was warm. Pools, caches and prepared statements fill up to a bound; what is
# kept for each request would pass it: 20,000 requests of 4 kB each are 80 MB.
GROWTH_MB = 48

CONTRACT = Path(__file__).parents[2] / "contracts/internal.openapi.json"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    own = {
        "HEADRACE_PARTITIONS": "1",
        "HEADRACE_RATE_PER_KEY": "0",
        "HEADRACE_RATE_PER_ADDRESS": "0",
        "HEADRACE_INTROSPECTION": "true",
    }
    async with (
        fresh_database(postgres, template) as database,
        Fleet(
            Backends("embedded", database, database, database), tmp_path_factory.mktemp("fuzz"), own
        ) as fleet,
    ):
        await fleet.start_all()
        yield fleet


def memory(service: Service) -> float:
    return float(psutil.Process(service.process.pid).memory_info().rss) / 2**20


async def hammer(fleet: Fleet, requests: int, send: Callable[[], Awaitable[None]]) -> None:
    """`send` so many times, some at once; then everything stands as before."""
    warm = max(AT_ONCE, requests // 5)
    said = {service.log: len(service.log.read_text()) for service in fleet.services}
    for number, batch in enumerate((warm, requests - warm)):
        left = iter(range(batch))

        async def work(left: Any = left) -> None:
            for _ in left:
                await send()

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        if number == 0:
            before = {service.log.name: memory(service) for service in fleet.services}
    for service in fleet.services:
        assert service.process.returncode is None, service.log.read_text()[-3_000:]
        assert (await fleet.http.get(f"{service.health}/health")).status_code == 200
        grown = memory(service) - before[service.log.name]
        print(f"{service.log.name}: {before[service.log.name]:.0f} MB, grown by {grown:.1f} MB")
        assert grown < GROWTH_MB, service.log.name
    assert (await fleet.graphql("{ tenant { name } }"))["tenant"]["name"] == "acme"
    words = "".join(service.log.read_text()[said[service.log] :] for service in fleet.services)
    assert "Traceback" not in words, words[words.index("Traceback") :][:3_000]
    assert "unexpected error" not in words, words[words.index("unexpected error") - 200 :][:1_500]


def check(answer: httpx.Response, sent: object, seen: Counter[str]) -> None:
    """An answer in the one shape of errors, or a good one."""
    seen[str(answer.status_code)] += 1
    if answer.status_code >= 400:
        assert answer.headers["content-type"].startswith("application/json"), (sent, answer.text)
        for error in answer.json()["errors"]:
            assert error["extensions"]["code"], (sent, answer.text)
            assert error["extensions"]["correlationId"], (sent, answer.text)
    assert "INTERNAL" not in answer.text or '"code":"INTERNAL"' not in answer.text, (sent, answer.text)
    for words in ("Traceback", 'File "', "asyncpg", "psycopg", "SELECT ", "site-packages"):
        assert words not in answer.text, (sent, answer.text[:2_000])


async def test_graphql_made_from_the_schema_and_spoilt(deployment: Fleet) -> None:
    hostile, seen = Hostile(create_schema().core, SEED), Counter[str]()
    headers = {"authorization": f"Bearer {deployment.api_key}", "content-type": "application/json"}

    async def send() -> None:
        body = hostile.graphql()
        answer = await deployment.http.post("/graphql", content=body, headers=headers)
        check(answer, body[:3_000], seen)
        for error in orjson.loads(answer.content).get("errors", ()):
            seen[error["extensions"]["code"]] += 1
            assert error["extensions"]["correlationId"]

    await hammer(deployment, REQUESTS * 5 // 10, send)
    print(seen)
    assert seen["200"] > REQUESTS // 10


async def test_the_internal_api_by_its_contract(deployment: Fleet) -> None:
    """Cases of schemathesis, that fit the contract and that break it, with a session and without one."""
    spec = schemathesis.openapi.from_path(CONTRACT)
    operations = [found.ok() for found in spec.get_all_operations()]
    strategies = [
        operation.as_strategy(generation_mode=mode)
        for operation in operations
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]
    cases: list[Any] = []

    @hypothesis_seed(SEED)
    @settings(
        max_examples=REQUESTS * 2 // 10,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(*strategies))
    def collect(case: Any) -> None:
        cases.append(case)

    await asyncio.to_thread(collect)
    internal = f"http://127.0.0.1:{deployment.internal_port}"
    enrolment = f"Bearer {deployment._environment['HEADRACE_RUNNER_TOKEN']}"
    session = f"hrs_{secrets.token_urlsafe(43)[:43]}"
    opened = await deployment.http.post(
        f"{internal}/internal/sessions",
        json={"runner_id": str(new_id()), "session": session},
        headers={"authorization": enrolment},
    )
    assert opened.status_code == 200
    keys = [
        f"Bearer {session}",
        f"Bearer {session}",
        enrolment,
        "Bearer x",
        f"Bearer {deployment.api_key}",
        "",
    ]
    seen = Counter[str]()
    remaining = iter(enumerate(cases))

    async def send() -> None:
        number, case = next(remaining, (0, cases[0]))
        key = keys[number % len(keys)]
        given_ = case.as_transport_kwargs(base_url=internal)
        body = given_.get("data")
        if "json" in given_:
            body = json.dumps(given_["json"], default=str)
        answer = await deployment.http.request(
            case.method,
            f"{internal}{case.formatted_path}",
            content=body if isinstance(body, bytes | str) else None,
            headers={"content-type": "application/json", "authorization": key},
        )
        check(answer, (case.method, case.path, str(body)[:2_000]), seen)
        if key in ("", "Bearer x", f"Bearer {deployment.api_key}"):
            # Sessions are opened by what is in the body, so it is read before it is known who asks.
            opens = case.path == "/internal/sessions"
            assert answer.status_code in ((400, 401, 413, 422) if opens else (401, 413)), (
                case.path,
                answer.text,
            )

    await hammer(deployment, len(cases), send)
    print(seen)
    assert seen["401"]
    assert seen["422"]


async def test_bytes_that_are_no_requests(deployment: Fleet) -> None:
    hostile, seen = Hostile(create_schema().core, SEED), Counter[str]()
    ports = [deployment.http_port, deployment.internal_port]
    ports += [httpx.URL(service.health).port or 0 for service in deployment.services[1:]]

    async def send() -> None:
        sent = hostile.raw(deployment.api_key)
        leaves = hostile.random.random()
        # Whoever leaves at once, whoever half closes, and whoever waits for an answer that need not come.
        with contextlib.suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", hostile.random.choice(ports))
            try:
                writer.write(sent)
                if leaves < 0.3:
                    return
                writer.write_eof()
                async with asyncio.timeout(2):
                    came = await reader.read(65_536)
                if came:
                    seen[came[:12].decode("latin-1")] += 1
                    assert not came.startswith(b"HTTP/1.1 5"), (sent, came)
                    assert b"Traceback" not in came
            finally:
                writer.close()

    await hammer(deployment, REQUESTS * 2 // 10, send)
    print(seen)


async def test_messages_that_are_no_messages(deployment: Fleet) -> None:
    hostile = Hostile(create_schema().core, SEED)
    url = f"ws://127.0.0.1:{deployment.http_port}/graphql"

    async def send() -> None:
        """One socket and what it bears of a handful of messages."""
        with contextlib.suppress(WebSocketException, ConnectionError, TimeoutError):
            async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as ws:
                if hostile.random.random() < 0.8:
                    payload = {"authorization": f"Bearer {deployment.api_key}"}
                    await ws.send(orjson.dumps({"type": "connection_init", "payload": payload}).decode())
                    await ws.recv()
                for _ in range(hostile.random.randrange(1, 4)):
                    await ws.send(hostile.message())
                if hostile.random.random() < 0.2:
                    ws.transport.abort()
                async with asyncio.timeout(0.2):
                    async for came in ws:
                        assert b"Traceback" not in (came if isinstance(came, bytes) else came.encode())

    await hammer(deployment, REQUESTS // 10, send)
