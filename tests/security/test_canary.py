"""P6: secret values that are used for real turn up nowhere: no table, log record, message, process log, error."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import asyncpg
import pytest
from designer import Designer
from fleet import Fleet
from headrace.bus.names import Names
from pymongo import MongoClient
from target import Target

from tests.security.canaries import (
    CANARIES,
    USER,
    as_bytes,
    as_text,
    broken,
    echo,
    failing,
    hanging,
    leaks,
    no_tokens,
    redirecting,
    tokens,
)

ANSWERS = {
    "ok": echo,
    "text": as_text,
    "bytes": as_bytes,
    "moved": redirecting,
    "fail": failing,
    "slow": hanging,
    "broken": broken,
    "held": echo,
    "post": echo,
    "token": tokens,
    "no-token": no_tokens,
}
CALM = ("ok", "text", "bytes", "moved")
WILD = ("fail", "slow", "broken")
# As short as a busy machine can keep, so that what a killed runner held is soon another's.
QUICK = {"HEADRACE_LEASE_SECONDS": "2", "HEADRACE_UNCLAIMED_AFTER_SECONDS": "3"}


@pytest.mark.timeout(180)
async def test_a_canary_is_found_nowhere(fleet: Fleet, target: Target) -> None:
    for path, answer in ANSWERS.items():
        target.answers[f"/{path}"] = answer
    await fleet.control_plane(**QUICK)
    runner = await fleet.runner(**QUICK)
    designer = Designer(fleet)
    kinds = await connect(designer, target)
    target.hold("/held")
    held = await begin(designer, "held", [call("header", "held")])
    await target.called("/held")
    run_ids = [held, *await use_every_canary(designer, kinds)]
    await target.called("/slow", times=len(kinds))
    await target.called("/fail", times=2 * len(kinds))
    (posted,) = await target.called("/post")
    await runner.kill()  # amid a call, which another makes again
    secrets = {**CANARIES, **deployment_secrets(fleet), "callback": callback(posted.body)}
    # No reporter yet: the messages are still there to be looked at.
    messages = await messages_of(fleet)
    assert messages, "nothing was published"
    found = [leak for n, body in enumerate(messages) for leak in leaks(f"message {n}", body, secrets)]
    target.release("/held")
    await asyncio.gather(fleet.reporter(**QUICK), fleet.runner(**QUICK))
    await target.called("/held", times=2, seconds=60)
    await fleet.http.post(callback_path(posted.body), json={"said": CANARIES["key in a header"][:4]})
    runs = [await designer.ended(run_id) for run_id in run_ids]
    assert {run["status"] for run in runs} == {"SUCCESS", "FAILED"}
    shown = [*runs, await everything_shown(designer), *[one async for one in errors(fleet)]]
    found += [
        leak
        for n, each in enumerate(shown)
        for leak in leaks(f"answer {n}", json.dumps(each).encode(), secrets)
    ]
    async with asyncio.timeout(20):
        while not (records := await log_records(fleet)):
            await asyncio.sleep(0.1)
    found += leaks("the log store", records, secrets)
    async for table, text in tables(fleet):
        found += leaks(f"table {table}", text, secrets)
    found += leaks("a process's log", fleet.process_logs().encode(), secrets)
    for service in fleet.services[:1] + fleet.services[2:]:  # the killed one shows nothing any more
        shown_by = fleet.operators if service.name == "headrace_control" else service.health
        metrics = await fleet.http.get(f"{shown_by}/metrics")
        assert metrics.status_code == 200
        found += leaks(f"the metrics of {service.name}", metrics.content, secrets)
    # What was taken over, ended and given up since.
    found += [leak for body in await messages_of(fleet) for leak in leaks("a message left", body, secrets)]
    assert not found, "\n".join(sorted(set(found)))
    # The target did get them: this test could not pass by not using them.
    sent = repr([(each.headers, each.query, each.body) for each in target.calls])
    for name in ("first header", "access token"):
        assert CANARIES[name] in sent
    assert b"s3cret" in posted.body
    assert target.of("/token")
    assert target.of("/no-token")


def call(kind: str, path: str, key: str = "") -> dict[str, Any]:
    return {"key": key or path, "action": f"{kind}/{path}", "connection": kind}


async def connect(designer: Designer, target: Target) -> list[str]:
    """A connection of every kind, with a secret in each of its fields; the kinds that calls can be made with."""
    oauth2 = {"kind": "OAUTH2", "grant": "REFRESH_TOKEN", "clientAuth": "BASIC"}
    kinds: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, str] | None]] = {
        "key": (
            {"kind": "API_KEY", "in": "header", "name": "X-Key"},
            {"apiKey": CANARIES["key in a header"]},
            None,
        ),
        "query": (
            {"kind": "API_KEY", "in": "query", "name": "k"},
            {"apiKey": CANARIES["key in the query"]},
            None,
        ),
        "basic": ({"kind": "BASIC"}, {"password": CANARIES["password"]}, {"username": USER}),
        "header": (
            {"kind": "CUSTOM_HEADER", "headers": ["X-First", "X-Second"]},
            {"X-First": CANARIES["first header"], "X-Second": CANARIES["second header"]},
            None,
        ),
        "oauth2": (
            {**oauth2, "tokenUrl": f"{target.url}/token"},
            {"clientSecret": CANARIES["client secret"], "refreshToken": CANARIES["refresh token"]},
            {"clientId": USER},
        ),
        "refused": (
            {**oauth2, "tokenUrl": f"{target.url}/no-token", "clientAuth": "POST"},
            {
                "clientSecret": CANARIES["client secret of the one that fails"],
                "refreshToken": CANARIES["refresh token"],
            },
            {"clientId": USER},
        ),
    }
    await designer.secret("env-canary", CANARIES["value in env"])
    for name, (auth, secrets, config) in kinds.items():
        await designer.app(name, target.url, auth)
        await designer.connection(name, name, secrets, config)
        for path in (*CALM, *WILD, "held"):
            retry = {"strategy": "FIXED", "maxAttempts": 2, "initialDelayMs": 1} if path == "fail" else None
            more = {"retry": retry} if retry else {}
            await designer.action(
                name, path, "GET", f"/{path}", timeoutMs=60_000 if path == "held" else 3_000, **more
            )
    await designer.action("key", "post", "POST", "/post", idempotency={"mode": "KEY"})
    return [name for name in kinds if name != "refused"]


async def use_every_canary(designer: Designer, kinds: list[str]) -> list[str]:
    again = {"key": "again", "type": "transform", "input": {"all": "{{ steps.ok.output }}"}}
    run_ids = []
    for kind in kinds:
        result = {"k": "{{ steps.ok.output }}", "t": "{{ steps.text.output.body }}"}
        run_ids.append(
            await begin(
                designer, f"{kind}-calm", [*(call(kind, path) for path in CALM), again], result=result
            )
        )
        for path in WILD:
            run_ids.append(await begin(designer, f"{kind}-{path}", [call(kind, path)]))
    run_ids.append(await begin(designer, "refused", [call("refused", "ok")]))
    posting = {
        **call("key", "post"),
        "input": {
            "token": "{{ env.TOKEN }}",
            "mixed": "a{{ env.TOKEN }}b",
            "callback": "{{ callbacks.answer }}",
        },
    }
    env = {"TOKEN": {"secret": "env-canary"}}
    result = {"e": "{{ steps.post.output }}"}
    run_ids.append(
        await begin(designer, "env", [posting, {"key": "answer", "type": "signal"}], env=env, result=result)
    )
    return run_ids


async def begin(designer: Designer, name: str, steps: list[dict[str, Any]], **more: Any) -> str:
    await designer.publish({"workflow": name, "steps": steps, **more})
    return await designer.start(name)


def callback_path(body: bytes) -> str:
    return urlsplit(json.loads(body)["callback"]).path


def callback(body: bytes) -> str:
    """The part of a callback's address that is the permission to use it."""
    return callback_path(body).rsplit("/", 1)[-1]


def deployment_secrets(fleet: Fleet) -> Mapping[str, str]:
    """What the services themselves are given, and the key of whoever asks."""
    environment = fleet._environment
    named = {name: environment[name] for name in ("HEADRACE_RUNNER_TOKEN",) if name in environment}
    named["API key"] = fleet.api_key
    named["wrapping key"] = (fleet.folder / "key").read_text()
    for name in ("HEADRACE_DATABASE_URL", "HEADRACE_BUS_URL", "HEADRACE_LOG_STORE_URL"):
        place = urlsplit(environment[name])
        if place.password:
            named[name] = f"{place.username}:{place.password}@"
    return named


async def everything_shown(designer: Designer) -> Any:
    """What a tenant can read back of connections, secrets, runs, events and records."""
    return await designer.do(
        """{ connections { items { name config secretFields tokenError } } secrets { items { name } }
             runs(first: 50) { items { id result error { code message } events(first: 100) { items { kind data } } } }
             logs(filter: {}, first: 100) { items { message context } } }"""
    )


async def errors(fleet: Fleet) -> AsyncIterator[str]:
    """What those are told who ask wrongly, with keys of somebody."""
    internal = f"http://127.0.0.1:{fleet.internal_port}"
    key = {"authorization": f"Bearer {fleet.api_key}"}
    token = {"authorization": f"Bearer {fleet._environment['HEADRACE_RUNNER_TOKEN']}"}
    for url, headers, body in [
        (f"{fleet.url}/graphql", key, {"query": "{ nothing(a: "}),
        (
            f"{fleet.url}/graphql",
            {"authorization": key["authorization"] + "x"},
            {"query": "{ runs { items { id } } }"},
        ),
        (f"{fleet.url}/callbacks/{fleet.api_key}", key, {}),
        (f"{internal}/claims", token, {"query": fleet.api_key}),
        (f"{internal}/nothing/{fleet.api_key}", token, {}),
    ]:
        answer = await fleet.http.post(url, headers=headers, json=body)
        assert answer.status_code >= 400 or "errors" in answer.json()
        # An address that nobody has is told back in no answer.
        yield answer.text + repr([line for line in answer.headers.items() if line[0] != "location"])


async def messages_of(fleet: Fleet) -> list[bytes]:
    """Every message that stands in the bus, left where it is."""
    if fleet.backends.profile == "embedded":
        admin = await asyncpg.connect(fleet.backends.database_url)
        rows = await admin.fetch("SELECT body FROM bus_messages")
        await admin.close()
        return [row["body"] for row in rows]
    names, bodies = Names(2, fleet.backends.namespace), []
    async with await aio_pika.connect(fleet.backends.bus_url) as connection:
        channel = await connection.channel()
        await channel.set_qos(1000)
        for name in names.queues():
            queue = await channel.get_queue(names.outside(name))
            ready = queue.declaration_result.message_count or 0
            async with queue.iterator(timeout=20) as messages:
                for _ in range(ready):
                    bodies.append((await anext(messages)).body)
    return bodies  # nothing was acknowledged: with the connection's end they stand in their places again


async def log_records(fleet: Fleet) -> bytes:
    if fleet.backends.profile == "embedded":
        admin = await asyncpg.connect(fleet.backends.database_url)
        rows = await admin.fetch("SELECT * FROM log_records")
        await admin.close()
        return b"\n".join(plain(row) for row in rows)
    with MongoClient(fleet.backends.log_store_url) as client:
        database = client.get_default_database()
        names = database.list_collection_names()
        return b"\n".join(repr(record).encode() for name in names for record in database[name].find())


async def tables(fleet: Fleet) -> AsyncIterator[tuple[str, bytes]]:
    """Every column of every row of every table, of whatever schema."""
    admin = await asyncpg.connect(fleet.backends.database_url)
    names = await admin.fetch(
        """SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"""
    )
    assert len(names) > 30
    for (name,) in names:
        rows = await admin.fetch(f"SELECT * FROM {name}")
        yield name, b"\n".join(plain(row) for row in rows)
    await admin.close()


def plain(row: asyncpg.Record) -> bytes:
    """The values of a row: bytes as they are, whatever else as text."""
    return b"\0".join(value if isinstance(value, bytes) else str(value).encode() for value in row.values())
