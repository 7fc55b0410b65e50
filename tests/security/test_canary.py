"""P6: secret values that are used for real turn up nowhere: no table, log record, message, process log, error."""

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import aio_pika
import asyncpg
from aiohttp import web
from designer import Designer
from fleet import Fleet
from headrace.bus.names import Names
from pymongo import MongoClient
from target import Call, Target

CANARIES = {
    "api key": "canary/Key+4f9c2b7e one",
    "password": "canary:Pass&word=77aa%41",
    "header": "canary-Header-3d1e8b",
    "env": "canary Env=s3cret/ü-91c0",
}


def spellings(secret: str) -> Iterator[bytes]:
    """The ways in which a value is sent or written."""
    plain = secret.encode()
    yield plain
    yield quote(secret, safe="").encode()
    yield quote(secret).encode()
    yield json.dumps(secret)[1:-1].encode()
    yield plain.hex().encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + plain)
        start, end = (shift * 8 + 5) // 6, len(encoded) - 4
        yield encoded[start:end]


def leaks(where: str, haystack: bytes) -> list[str]:
    return [
        f"{name} in {where}"
        for name, secret in CANARIES.items()
        if any(spelling in haystack for spelling in spellings(secret))
    ]


async def echo(call: Call) -> web.StreamResponse:
    """A target that gives everything away again, in several encodings."""
    said = {**call.headers, "path": call.path, "body": call.body.decode("latin-1")}
    twice = {
        name: base64.b64encode(value.encode("latin-1", "replace")).decode() for name, value in said.items()
    }
    status = 500 if call.path == "/fail" else 200
    headers = {"X-Echo": quote(call.headers.get("x-canary", "none"))}
    return web.json_response({"said": said, "encoded": twice}, status=status, headers=headers)


async def test_a_canary_is_found_nowhere(fleet: Fleet, target: Target) -> None:
    for path in ("/ok", "/fail", "/env"):
        target.answers[path] = echo
    await fleet.control_plane()
    await fleet.runner()
    designer = Designer(fleet)
    run_ids = await use_every_canary(designer, target)
    await target.called("/fail", times=2)
    await target.called("/env", times=1)
    # No reporter yet: the messages are still there to be looked at.
    messages = await messages_of(fleet)
    assert messages, "nothing was published"
    found = [leak for n, body in enumerate(messages) for leak in leaks(f"message {n}", body)]
    await fleet.reporter()
    answers = [json.dumps(await designer.ended(run_id)).encode() for run_id in run_ids]
    answers.append(json.dumps(await everything_shown(designer)).encode())
    found += [leak for n, answer in enumerate(answers) for leak in leaks(f"answer {n}", answer)]
    async with asyncio.timeout(20):
        while not (rows := await log_records(fleet)):
            await asyncio.sleep(0.1)
    found += leaks("the log store", b"\n".join(rows))
    async for table, text in tables(fleet):
        found += leaks(f"table {table}", text)
    found += leaks("a process's log", fleet.process_logs().encode())
    assert found == []
    # The target did get them: this test could not pass by not using them.
    sent = json.dumps([call.headers for call in target.calls]) + repr([c.body for c in target.calls])
    assert CANARIES["header"] in sent
    assert b"s3cret" in b"".join(call.body for call in target.of("/env"))


async def use_every_canary(designer: Designer, target: Target) -> list[str]:
    kinds = {
        "key": ({"kind": "API_KEY", "in": "query", "name": "api_key"}, {"apiKey": CANARIES["api key"]}, None),
        "basic": ({"kind": "BASIC"}, {"password": CANARIES["password"]}, {"username": "someone"}),
        "header": (
            {"kind": "CUSTOM_HEADER", "headers": ["X-Canary"]},
            {"X-Canary": CANARIES["header"]},
            None,
        ),
    }
    await designer.secret("env-canary", CANARIES["env"])
    for name, (auth, secrets, config) in kinds.items():
        await designer.app(name, target.url, auth)
        await designer.connection(name, f"{name}-main", secrets, config)
        await designer.action(name, "ok", "GET", "/ok")
        await designer.action(
            name, "fail", "GET", "/fail", retry={"strategy": "FIXED", "maxAttempts": 2, "initialDelayMs": 1}
        )
        await designer.action(name, "env", "POST", "/env", idempotency={"mode": "KEY"})
    env = {"TOKEN": {"secret": "env-canary"}}
    steps: list[dict[str, Any]] = [
        {"key": f"{name}_ok", "action": f"{name}/ok", "connection": f"{name}-main"} for name in kinds
    ]
    again = [
        {"key": "again", "type": "transform", "input": {"all": "{{ steps.header_ok.output }}"}},
        {
            "key": "env",
            "action": "key/env",
            "connection": "key-main",
            "input": {"token": "{{ env.TOKEN }}", "mixed": "a{{ env.TOKEN }}b"},
        },
    ]
    failing = [{"key": "fail", "action": "header/fail", "connection": "header-main"}]
    documents = [
        {
            "workflow": "good",
            "env": env,
            "steps": [*steps, *again],
            "result": {"k": "{{ steps.key_ok.output }}", "e": "{{ steps.env.output }}"},
        },
        {"workflow": "bad", "env": env, "steps": [*steps, *failing]},
    ]
    for document in documents:
        await designer.publish(document)
    return [await designer.start(str(document["workflow"])) for document in documents]


async def everything_shown(designer: Designer) -> Any:
    """What a tenant can read back of connections, secrets and events."""
    return await designer.do(
        """{ connections { items { name config secretFields } } secrets { items { name } }
             runs { items { id result events(first: 100) { items { kind data } } } }
             logs(filter: {}, first: 100) { items { message context } } }"""
    )


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
        for name in ("events.0", "events.1", "logs"):
            queue = await channel.get_queue(names.outside(name))
            ready = queue.declaration_result.message_count or 0
            async with queue.iterator(timeout=20) as messages:
                for _ in range(ready):
                    bodies.append((await anext(messages)).body)
    return bodies  # nothing was acknowledged: with the connection's end they stand in their places again


async def log_records(fleet: Fleet) -> list[bytes]:
    if fleet.backends.profile == "embedded":
        admin = await asyncpg.connect(fleet.backends.database_url)
        rows = await admin.fetch("SELECT l::text AS line FROM log_records l")
        await admin.close()
        return [row["line"].encode() for row in rows]
    with MongoClient(fleet.backends.log_store_url) as client:
        database = client.get_default_database()
        return [repr(d).encode() for name in database.list_collection_names() for d in database[name].find()]


async def tables(fleet: Fleet) -> Any:
    admin = await asyncpg.connect(fleet.backends.database_url)
    names = await admin.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    for (name,) in names:
        rows = await admin.fetch(f'SELECT t::text AS line FROM "{name}" t')
        yield name, "\n".join(row["line"] for row in rows).encode()
    await admin.close()
