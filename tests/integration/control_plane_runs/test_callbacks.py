"""Callback addresses: given out with claims, and taken from whoever has one, once."""

import asyncio
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import httpx
import pytest
from headrace.errors import Conflict, Expired, NotFound
from headrace.refusals.audit import Refusals
from headrace_control.auth.caller import Origin
from headrace_control.callbacks.service import CallbackService
from headrace_control.callbacks.tokens import Token, read_token, write_token
from headrace_control.internal_api.callbacks import CallbackRun
from headrace_control.waits.model import SignalStep

from tests.integration.control_plane_runs.acting import Client, Fleet
from tests.integration.control_plane_runs.calling_back import waiting
from tests.integration.control_plane_runs.signaling import PAID, signal


def refusal(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errors"][0]["extensions"]["code"]


async def test_an_address_sends_its_signal_once(
    acme: Client, fleet: Fleet, http: httpx.AsyncClient, callbacks: CallbackService
) -> None:
    run = await waiting(acme, fleet, callbacks)
    assert run.urls["paid"].startswith("https://headrace.example.com/callbacks/")
    answers = await asyncio.gather(*(http.post(run.path(), json={"amount": 3}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409]
    (taken,) = [answer.json() for answer in answers if answer.status_code == 202]
    assert set(taken) == {"receivedAt"}
    assert await fleet.inbox(run.run) == [(1, "SIGNAL", "paid", "paid", {"payload": {"amount": 3}})]
    assert await fleet.dispatches(run.run) == [(True, False, True)]
    again = await http.post(run.path(), json={"amount": 4})
    assert again.json()["errors"][0]["message"] == f"the callback was used at {taken['receivedAt']}"
    # Its sibling is another address.
    assert (await http.post(run.path("wait_for_delivery"))).status_code == 202
    assert (await fleet.inbox(run.run))[1][2:] == ("wait_for_delivery", "delivered", {"payload": None})
    assert (await signal(acme, run.run, "delivered"))["seq"] == 3


async def test_a_body_that_does_not_fit_leaves_the_address_unused(
    acme: Client, fleet: Fleet, http: httpx.AsyncClient, callbacks: CallbackService
) -> None:
    run = await waiting(acme, fleet, callbacks)
    for body, place in ((b'{"amount": "3"}', "amount"), (b"{", ""), (b"", ""), (b'{"amount": 1e400}', "")):
        refused = await http.post(run.path(), content=body)
        assert refusal(refused) == (422, "INVALID_INPUT")
        assert refused.json()["errors"][0]["extensions"]["problems"][0]["path"] == place
    large = await http.post(run.path(), content=b'{"amount": 3, "x": "' + b"y" * 70_000 + b'"}')
    assert refusal(large) == (413, "LIMIT_EXCEEDED")
    assert (await http.post(run.path(), content=b'{"amount": 3}')).status_code == 202


async def test_whatever_is_no_address_is_answered_alike(
    acme: Client, stranger: Client, fleet: Fleet, http: httpx.AsyncClient, callbacks: CallbackService
) -> None:
    run, other = await waiting(acme, fleet, callbacks), await waiting(stranger, fleet, callbacks)
    ended = await waiting(acme, fleet, callbacks)
    await fleet.claim(ended.run)
    await fleet.finish(ended.run)
    token = run.path().rsplit("/", 1)[1]
    presented = read_token(token)
    assert presented is not None
    genuine = presented.token
    forged = [
        write_token(b"guessed" * 4, genuine),
        write_token(b"guessed" * 4, Token(UUID(int=7), genuine.run_id, "paid", genuine.expires)),
        # Another tenant's run, with the values of this one's signature.
        token[:30] + other.path().rsplit("/", 1)[1][30:],
        token[:-1],
        "x",
        ended.path().rsplit("/", 1)[1],
    ]
    answers = [await http.post(f"/callbacks/{one}", json={"amount": 3}) for one in forged]
    assert {said(a) for a in answers} == {said(answers[0])}
    assert refusal(answers[0]) == (404, "NOT_FOUND")
    assert await fleet.inbox(run.run) == await fleet.inbox(ended.run) == []


def said(answer: httpx.Response) -> tuple[int, str, tuple[str, ...]]:
    """All that an answer tells, but for the id that each has of its own."""
    told = answer.json()
    assert told["errors"][0]["extensions"].pop("correlationId")
    return answer.status_code, str(told), tuple(sorted(answer.headers))


async def test_an_address_expires(
    acme: Client, fleet: Fleet, http: httpx.AsyncClient, callbacks: CallbackService, database: str
) -> None:
    run = await waiting(acme, fleet, callbacks)
    now = datetime.now(UTC)
    days = {}
    for step in run.urls:
        presented = read_token(run.path(step).rsplit("/", 1)[1])
        assert presented is not None
        days[step] = round((presented.token.expires_at - now) / timedelta(days=1))
    # A wait with a deadline may begin late, and is not cut short.
    assert days == {"paid": 30, "wait_for_delivery": 35}
    row = await fleet.admin.fetchrow("SELECT created_at - interval '40 days' AS created_at FROM runs")
    old = CallbackRun(UUID(run.run), row["created_at"], [SignalStep("paid", "paid", PAID, None)])
    (urls,) = (await callbacks.urls(run.tenant, [old])).values()
    refused = await http.post(urlsplit(urls["paid"]).path, json={"amount": 3})
    assert refusal(refused) == (410, "EXPIRED")
    assert await fleet.inbox(run.run) == []


@pytest.mark.parametrize("ended_by", ["its deadline", "another signal"])
async def test_an_address_whose_wait_is_over_is_good_no_more(
    acme: Client, fleet: Fleet, http: httpx.AsyncClient, callbacks: CallbackService, ended_by: str
) -> None:
    """Nobody would use what comes by it, and its sender would take it for heard."""
    run = await waiting(acme, fleet, callbacks)
    late = ended_by == "its deadline"
    until = datetime.now(UTC) + timedelta(seconds=-1 if late else 60)
    wait = {"kind": "SIGNAL", "name": "paid", "until": until.isoformat()}
    await fleet.apply(run.run, ("waiting", "paid", {"wait": wait}))
    if not late:
        assert (await http.post(run.path(), json={"amount": "no number"})).status_code == 422
        await fleet.apply(run.run, ("completed", "paid", {"status": "SUCCESS"}))
    assert refusal(await http.post(run.path(), json={"amount": 3})) == (410, "EXPIRED")
    assert await fleet.inbox(run.run) == []


async def test_addresses_outlive_the_rotation_of_the_data_key(
    acme: Client, fleet: Fleet, http: httpx.AsyncClient, callbacks: CallbackService, admin: asyncpg.Connection
) -> None:
    run = await waiting(acme, fleet, callbacks)
    before = await admin.fetchval("SELECT key_id FROM callback_keys WHERE tenant_id = $1", run.tenant)
    rotated = await acme(
        "mutation { rotateDataKey { ... on KeyRotation { remaining } ... on Failure { message } } }"
    )
    assert rotated == {"remaining": 0}
    assert await admin.fetchval("SELECT key_id FROM callback_keys WHERE tenant_id = $1", run.tenant) != before
    assert (await http.post(run.path(), json={"amount": 3})).status_code == 202


async def test_a_key_that_does_not_open_gives_out_no_address(
    acme: Client, fleet: Fleet, http: httpx.AsyncClient, callbacks: CallbackService, admin: asyncpg.Connection
) -> None:
    run = await waiting(acme, fleet, callbacks)
    await admin.execute("UPDATE callback_keys SET sealed = '\\x00'")
    row = await admin.fetchrow("SELECT created_at FROM runs")
    wanted = [CallbackRun(UUID(run.run), row["created_at"], [SignalStep("paid", "paid", PAID, None)])]
    assert await callbacks.urls(run.tenant, wanted) == {}
    assert refusal(await http.post(run.path(), json={"amount": 3})) == (404, "NOT_FOUND")


async def test_what_is_refused_is_told_to_the_tenant_of_a_genuine_address_else_to_the_platform(
    acme: Client, fleet: Fleet, callbacks: CallbackService, refusals: Refusals
) -> None:
    run = await waiting(acme, fleet, callbacks)
    used = run.path().rsplit("/", 1)[1]
    presented = read_token(used)
    assert presented is not None
    begun = datetime.now(UTC) - timedelta(days=40)
    old = CallbackRun(UUID(run.run), begun, [SignalStep("paid", "paid", PAID, None)])
    (urls,) = (await callbacks.urls(run.tenant, [old])).values()
    expired = urls["paid"].rsplit("/", 1)[1]
    forged = write_token(b"guessed" * 4, presented.token)
    ended = run.path("wait_for_delivery").rsplit("/", 1)[1]
    origin = Origin("192.0.2.7")
    await callbacks.take(used, b'{"amount": 3}', origin)
    await fleet.claim(run.run)
    await fleet.finish(run.run)
    for token in (used, used, expired, forged, "x", ended):
        with pytest.raises((Conflict, NotFound, Expired)):
            await callbacks.take(token, b'{"amount": 3}', origin)
    await refusals.write()
    rows = await fleet.admin.fetch(
        """SELECT t.name AS tenant, a.target, a.actor_kind, a.actor_name, a.origin, a.detail ->> 'code' AS code,
           (a.detail ->> 'times')::int AS times FROM audit_inbox a JOIN tenants t ON t.id = a.tenant_id
           WHERE a.action = 'callback.take' AND a.outcome = 'REFUSED'"""
    )
    mine = ("acme", f"run/{run.run}", "CALLBACK")
    assert {tuple(row) for row in rows} == {
        (*mine, "paid", "192.0.2.7", "CONFLICT", 2),
        (*mine, "paid", "192.0.2.7", "EXPIRED", 1),
        (*mine, "wait_for_delivery", "192.0.2.7", "NOT_FOUND", 1),
        ("platform", "callback", "CALLBACK", "unknown", "192.0.2.7", "NOT_FOUND", 2),
    }
