"""Webhooks through the HTTP edge: who has the secret starts a run by each message, once; nobody else starts any."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import aiohttp
import asyncpg
import httpx
import orjson
import pytest
from headrace.logstore.port import LogStore
from headrace.postgres.listen import DISPATCH_CHANNEL
from headrace.postgres.pool import API, WORKER, open_pool
from headrace.signed_messages import ID, SIGNATURE, TIMESTAMP
from headrace_control.expiry.expire import Kept, expire
from headrace_control.webhooks import intake
from headrace_control.webhooks.addresses import read_address
from headrace_control.webhooks.refused import MOST_OF_WEBHOOK, RefusedMessage, RefusedMessages

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish
from tests.integration.control_plane_runs.audit_examples import mutate
from tests.integration.control_plane_runs.conftest import serving
from tests.integration.control_plane_runs.quotas import allow
from tests.integration.control_plane_runs.webhooks import Sender, made

_DELIVERIES = """query { webhookDeliveries(webhook: "paid") {
  items { messageId run { id } error { code message } times } } }"""
_RUNS = "query { runs { items { id input trigger { kind name firingAt backfillId messageId } } } }"


@pytest.fixture
async def sender(acme: Client, http: httpx.AsyncClient) -> Sender:
    await publish(acme, orders())
    return await made(acme, http)


@pytest.fixture
async def second(
    sender: Sender, database: str, log_store: LogStore, master_key: bytes
) -> AsyncIterator[Sender]:
    """The same system, at another control plane."""
    async with serving(database, log_store, master_key) as http:
        yield Sender(http, sender.path, sender.secrets)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["extensions"]["code"]


async def runs(client: Client) -> list[dict[str, Any]]:
    return list((await client(_RUNS))["items"])


async def test_a_signed_message_starts_a_run_and_is_told_its_id(
    sender: Sender, acme: Client, admin: asyncpg.Connection
) -> None:
    answer = await sender.send({"order": "17"}, "msg_1")
    assert answer.status_code == 202
    (run,) = await runs(acme)
    assert answer.json() == {"runId": run["id"]}
    assert run["input"] == {"order": "17"}
    trigger = {"kind": "WEBHOOK", "name": "paid", "firingAt": None, "backfillId": None, "messageId": "msg_1"}
    assert run["trigger"] == trigger
    (delivery,) = (await acme(_DELIVERIES))["items"]
    assert delivery == {"messageId": "msg_1", "run": {"id": run["id"]}, "error": None, "times": 1}
    record = await admin.fetchrow("SELECT * FROM audit_inbox WHERE action = 'run.start'")
    assert (record["actor_kind"], record["actor_name"]) == ("WEBHOOK", "paid")
    assert record["target"] == f"run/{run['id']}"


async def test_an_input_is_made_of_the_message(acme: Client, http: httpx.AsyncClient) -> None:
    await publish(acme, orders())
    sender = await made(acme, http, schema=None, input={"order": "{{ input.body.items[0] }}-{{ input.id }}"})
    assert (await sender.send({"items": ["7"]}, "m1")).status_code == 202
    assert (await runs(acme))[0]["input"] == {"order": "7-m1"}
    # What an expression asks for and the body has not.
    missing = await sender.send({})
    assert code(missing) == (422, "INVALID_INPUT")
    assert len(await runs(acme)) == 1
    wrong = {
        "name": "wrong",
        "workflow": "orders",
        "input": {"order": "{{ input.headers }} {{ steps.a.output }}"},
    }
    refused = await mutate(acme, "createWebhook", {"input": wrong})
    assert {problem["path"] for problem in refused["problems"]} == {"input.order"}


async def test_whoever_can_not_sign_starts_nothing(sender: Sender, acme: Client, database: str) -> None:
    body = {"order": "17"}
    stolen = Sender(sender.http, sender.path, ["whsec_" + "A" * 44])
    for answer in (
        await stolen.send(body),
        await sender.send(body, ago=310),
        await sender.send(body, ago=-310),
        await sender.send(body, "a.b"),
        await sender.send(body, **{SIGNATURE: ""}),
        await sender.send(body, **{TIMESTAMP: "now"}),
        await sender.send(body, **{ID: "another"}),
        await sender.http.post(sender.path, json=body),
        # Before its kind, its JSON and its schema are looked at.
        await stolen.send(b"{", **{"content-type": "text/plain"}),
        await stolen.send({}),
    ):
        assert code(answer) == (401, "UNAUTHENTICATED")
    assert await runs(acme) == []
    # The edges of the tolerance, half a minute inside.
    assert [(await sender.send(body, ago=ago)).status_code for ago in (270, -270)] == [202, 202]


async def test_what_is_no_address_is_answered_alike(
    sender: Sender, acme: Client, stranger: Client, http: httpx.AsyncClient
) -> None:
    await publish(stranger, orders())
    theirs = await made(stranger, http)
    mine, other = (path.rsplit("/", 1)[1] for path in (sender.path, theirs.path))
    paused = await made(acme, http, name="other")
    await acme('mutation { pauseWebhook(name: "other") { __typename } }')
    tried = ["x", mine[:-1], mine + "A", mine[:21] + other[21:], other[:21] + mine[21:], paused.path[10:]]
    answers = []
    for text in tried:
        answer = await Sender(http, f"/webhooks/{text}", paused.secrets).send({"order": "1"})
        told = answer.json()
        del told["errors"][0]["extensions"]["correlationId"]
        answers.append((answer.status_code, told, sorted(answer.headers)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == 404
    assert await runs(acme) == await runs(stranger) == []
    assert (await http.get(sender.path)).status_code == 405
    await acme('mutation { resumeWebhook(name: "other") { __typename } }')
    assert (await paused.send({"order": "1"})).status_code == 202


async def test_a_message_that_does_not_fit_may_be_sent_again(sender: Sender, acme: Client) -> None:
    for body, place in (
        (b'{"order": 3}', "order"),
        (b"{", ""),
        (b"", ""),
        (b'{"order": "\\u0000"}', "order"),
    ):
        refused = await sender.send(body, "msg_1")
        assert code(refused) == (422, "INVALID_INPUT")
        assert refused.json()["errors"][0]["extensions"]["problems"][0]["path"] == place
    assert code(await sender.send(b'{"order":"1"}', "msg_1", **{"content-type": "text/plain"})) == (
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )
    large = b'{"order": "' + b" " * intake.MAX_MESSAGE_BYTES + b'"}'
    assert code(await sender.send(large, "msg_1")) == (413, "LIMIT_EXCEEDED")
    assert await runs(acme) == []
    taken = await sender.send(
        {"order": "1"}, "msg_1", **{"content-type": "application/cloudevents+json; charset=utf-8"}
    )
    assert taken.status_code == 202


async def test_an_id_starts_one_run_however_often_and_wherever_it_is_sent(
    sender: Sender, second: Sender, acme: Client
) -> None:
    answers = await asyncio.gather(
        *(each.send({"order": "1"}, "msg_1") for each in (sender, second) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [202, *[409] * 9]
    (run,) = await runs(acme)
    # Whoever lost the answer learns the run; a message that only has the id does not.
    again = await second.send({"order": "1"}, "msg_1")
    assert code(again) == (409, "REPLAYED")
    assert run["id"] in again.json()["errors"][0]["message"]
    other = await sender.send({"order": "2"}, "msg_1")
    assert code(other) == (409, "REPLAYED")
    assert run["id"] not in other.text
    assert len(await runs(acme)) == 1


@pytest.mark.parametrize("by", ["quota", "limit"])
async def test_the_same_message_sent_at_once_is_not_in_its_own_way(
    sender: Sender, second: Sender, acme: Client, platform: Client, by: str
) -> None:
    if by == "quota":
        await allow(platform, unfinishedRuns=1)
    else:
        await publish(acme, orders(concurrency={"limit": 1, "onLimit": "skip"}))
    answers = await asyncio.gather(
        *(each.send({"order": "1"}, "msg_1") for each in (sender, second) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [202, *[409] * 9]
    assert {code(answer)[1] for answer in answers if answer.status_code == 409} == {"REPLAYED"}
    other = code(await sender.send({"order": "1"}, "msg_2"))
    assert other == ((429, "QUOTA_EXCEEDED") if by == "quota" else (409, "CONCURRENCY_LIMIT"))


async def test_a_plane_that_is_lost_half_way_has_started_nothing(
    sender: Sender, second: Sender, acme: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(intake, "record", AsyncMock(side_effect=ConnectionResetError))
        assert (await sender.send({"order": "1"}, "msg_1")).status_code == 503
    assert await runs(acme) == []
    assert (await second.send({"order": "1"}, "msg_1")).status_code == 202
    assert len(await runs(acme)) == 1


async def test_five_hundred_at_once_start_five_hundred_runs(
    sender: Sender, second: Sender, acme: Client, admin: asyncpg.Connection
) -> None:
    # httpx's pool looks at every connection for every request: the client alone would take most of the time.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def send(n: int) -> tuple[int, str]:
            body, to = orjson.dumps({"order": str(n)}), (sender, second)[n % 2]
            url = str(to.http.base_url).rstrip("/") + to.path
            async with session.post(url, data=body, headers=to.headers(body, f"msg_{n}")) as answer:
                return answer.status, (await answer.json())["runId"]

        answers = await asyncio.gather(*(send(n) for n in range(500)))
    assert {status for status, _ in answers} == {202}
    ids = {UUID(run_id) for _, run_id in answers}
    found = await admin.fetch("SELECT id, input ->> 'order' AS n FROM runs")
    assert {row["id"] for row in found} == ids
    assert sorted(int(row["n"]) for row in found) == list(range(500))
    assert await admin.fetchval("SELECT count(*) FROM dispatches") == 500


async def test_a_secret_is_rotated_with_an_overlap(
    sender: Sender, acme: Client, admin: asyncpg.Connection, http: httpx.AsyncClient
) -> None:
    async def rotate(seconds: int) -> str:
        given = {"name": "paid", "overlapSeconds": seconds}
        issued = await mutate(acme, "rotateWebhookSecret", given, "... on IssuedWebhook { secret }")
        return str(issued["secret"])

    async def statuses(*secrets: str) -> list[int]:
        return [(await Sender(http, sender.path, [one]).send({"order": "1"})).status_code for one in secrets]

    first, second = sender.secrets[0], await rotate(3600)
    assert await statuses(first, second) == [202, 202]
    both = Sender(http, sender.path, ["whsec_" + "A" * 44, second])
    assert (await both.send({"order": "1"})).status_code == 202
    third = await rotate(3600)
    assert await statuses(first, second, third) == [401, 202, 202]
    await admin.execute("UPDATE signing_secrets SET expires_at = now() WHERE expires_at IS NOT NULL")
    assert await statuses(second, third) == [401, 202]
    # Sealed anew under another data key, it is the same secret.
    rotated = await mutate(acme, "rotateDataKey", {}, "... on KeyRotation { remaining }")
    assert rotated["remaining"] == 0
    fourth = await rotate(0)
    assert await statuses(third, fourth) == [401, 202]
    assert not await admin.fetchval("SELECT true FROM signing_secrets WHERE sealed LIKE '%whsec%'::bytea")


async def test_the_result_is_waited_for_where_the_webhook_says_so(
    acme: Client, fleet: Fleet, http: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    sender = await made(acme, http, answer="RESULT", resultSeconds=30)
    begun: asyncio.Queue[None] = asyncio.Queue()
    await admin.add_listener(DISPATCH_CHANNEL, lambda *_: begun.put_nowait(None))
    error = {"code": "TIMED_OUT", "message": "too late"}
    for data, told in (
        ({"status": "SUCCESS", "result": {"paid": 3}}, {"result": {"paid": 3}, "error": None}),
        ({"status": "FAILED", "error": error}, {"result": None, "error": error}),
    ):
        answer = asyncio.create_task(sender.send({"order": "1"}))
        while not (found := await admin.fetch("SELECT id FROM runs WHERE finished_at IS NULL")):
            await asyncio.wait_for(begun.get(), 20)
        (run,) = found
        await fleet.claim(str(run["id"]))
        await fleet.apply(str(run["id"]), ("finished", None, data))
        ended = await answer
        assert ended.status_code == 200
        assert ended.json() == {"runId": str(run["id"]), "status": data["status"], **told}
    await mutate(acme, "updateWebhook", {"name": "paid", "input": {"resultSeconds": 1}})
    late = await sender.send({"order": "1"})
    assert (late.status_code, set(late.json())) == (202, {"runId"})


async def test_what_stands_in_a_starts_way(
    sender: Sender, acme: Client, platform: Client, admin: asyncpg.Connection
) -> None:
    await allow(platform, unfinishedRuns=1)
    assert (await sender.send({"order": "1"})).status_code == 202
    assert code(await sender.send({"order": "1"}, "msg_1")) == (429, "QUOTA_EXCEEDED")
    await admin.execute("UPDATE workflow_versions SET status = 'DEPRECATED'")
    refused = await sender.send({"order": "1"}, "msg_1")
    assert code(refused) == (503, "UNAVAILABLE")
    assert len(await runs(acme)) == 1


async def test_refused_messages_are_counted_and_all_are_forgotten_in_time(
    sender: Sender, acme: Client, database: str, admin: asyncpg.Connection
) -> None:
    address = read_address(sender.path.rsplit("/", 1)[1])
    assert address is not None
    async with await open_pool(database, API) as pool:
        counted = RefusedMessages(pool)
        for _ in range(500):
            counted.note(RefusedMessage(address, "UNAUTHENTICATED", "no"))
        for n in range(300):
            counted.note(RefusedMessage(address, "INVALID_INPUT", f"{n}"))
        await counted.write()
    items = (await acme(_DELIVERIES.replace('"paid"', '"paid", first: 200')))["items"]
    assert len(items) == MOST_OF_WEBHOOK
    unsigned = {"code": "UNAUTHENTICATED", "message": "no"}
    assert {"messageId": None, "run": None, "error": unsigned, "times": 500} in items
    await sender.send({"order": "1"})
    await admin.execute("UPDATE webhook_deliveries SET created_at = now() - interval '31 days'")
    await sender.send({"order": "2"})
    async with await open_pool(database, WORKER) as pool:
        await expire(pool, Kept(timedelta(days=30), timedelta(days=90)))
    (left,) = (await acme(_DELIVERIES))["items"]
    assert left["run"] is not None


async def test_what_is_wrong_with_a_webhook_is_said_when_it_is_made(sender: Sender, acme: Client) -> None:
    for terms, failure in (
        ({"workflow": "nobody"}, "NOT_FOUND"),
        ({"name": "No name"}, "INVALID_INPUT"),
        ({"schema": {"$ref": "http://127.0.0.1/"}}, "INVALID_INPUT"),
        ({"schema": {"properties": {"pin": {"x-sensitive": True}}}}, "INVALID_INPUT"),
        ({"toleranceSeconds": 3601}, "INVALID_INPUT"),
        ({"resultSeconds": 0}, "INVALID_INPUT"),
        ({"name": "paid"}, "CONFLICT"),
        ({"input": [1]}, "INVALID_INPUT"),
    ):
        given = {"name": "made", "workflow": "orders", **terms}
        assert (await mutate(acme, "createWebhook", {"input": given}))["code"] == failure, terms
    taken = {"name": "paid", "workflow": "orders"}
    refused = await mutate(acme, "createWebhook", {"input": taken})
    assert refused["message"] == "a webhook of this name is already there"
    changed = {"name": "paid", "input": {"version": 7}}
    assert (await mutate(acme, "updateWebhook", changed))["code"] == "NOT_FOUND"
    assert (await mutate(acme, "deleteWebhook", {"name": "paid"}))["__typename"] == "Deleted"
    assert (await sender.send({"order": "1"})).status_code == 404
    assert (await mutate(acme, "pauseWebhook", {"name": "paid"}))["code"] == "NOT_FOUND"
