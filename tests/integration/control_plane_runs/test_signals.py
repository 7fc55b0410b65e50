"""Signals to runs, and doubts that a person settles."""

from typing import Any

import pytest

from tests.integration.control_plane_runs.acting import (
    FAILURE,
    Client,
    Fleet,
    orders,
    publish,
    started,
    with_role,
)
from tests.integration.control_plane_runs.signaling import DOCUMENT, in_doubt, signal, waiting


async def settle(client: Client, run: str, step: str = "refund", **how: Any) -> Any:
    how.setdefault("outcome", "SUCCEEDED")
    return await client(
        """mutation($run: ID!, $step: String!, $outcome: Settlement!, $output: JSON, $reason: String! = "") {
             settleStep(runId: $run, step: $step, outcome: $outcome, output: $output, reason: $reason) { __typename
               ... on SentMessage { runId seq } """
        + FAILURE
        + "} }",
        run=run,
        step=step,
        **how,
    )


async def test_a_signal_wakes_a_run_that_waits(acme: Client, fleet: Fleet) -> None:
    run = await waiting(acme, fleet)
    sent = await signal(acme, run, payload={"amount": 3})
    assert (sent["runId"], sent["seq"], sent["repeated"]) == (run, 1, False)
    assert await fleet.inbox(run) == [(1, "SIGNAL", None, "paid", {"payload": {"amount": 3}})]
    assert await fleet.dispatches(run) == [(True, False, True)]


async def test_a_timer_is_brought_forward_by_a_signal(acme: Client, fleet: Fleet) -> None:
    run = await waiting(acme, fleet)
    await fleet.park(run, "SIGNAL", seconds=3600)
    await signal(acme, run, payload={"amount": 3})
    assert await fleet.dispatches(run) == [(True, False, True)]


async def test_a_signal_is_kept_for_a_wait_to_come(acme: Client, fleet: Fleet) -> None:
    await publish(acme, DOCUMENT)
    run = await started(acme, input={})
    assert (await signal(acme, run, "delivered"))["seq"] == 1
    await fleet.claim(run)
    assert (await signal(acme, run, "delivered", payload=[1]))["seq"] == 2
    assert [message[4]["payload"] for message in await fleet.inbox(run)] == [None, [1]]


async def test_a_signal_sent_twice_with_one_key_is_taken_once(acme: Client, fleet: Fleet) -> None:
    run = await waiting(acme, fleet)
    first = await signal(acme, run, payload={"amount": 3}, key="k")
    again = await signal(acme, run, payload={"amount": 3}, key="k")
    assert again == {**first, "repeated": True}
    assert (await signal(acme, run, payload={"amount": 4}, key="k"))["code"] == "CONFLICT"
    await fleet.claim(run)
    await fleet.finish(run)
    assert await signal(acme, run, payload={"amount": 3}, key="k") == again
    assert len(await fleet.inbox(run)) == 1


async def test_a_signal_that_nothing_waits_for_is_refused_with_those_known(
    acme: Client, fleet: Fleet
) -> None:
    run = await waiting(acme, fleet)
    (problem,) = (await signal(acme, run, "payed"))["problems"]
    assert (problem["path"], problem["code"]) == ("name", "UNKNOWN_SIGNAL")
    assert problem["mend"] == "Known are: delivered, paid."
    await publish(acme, orders(workflow="silent"))
    silent = await started(acme, "silent")
    (problem,) = (await signal(acme, silent, "paid"))["problems"]
    assert problem["message"] == "the run's version waits for no signal"


async def test_a_payload_is_checked_with_its_places(acme: Client, fleet: Fleet) -> None:
    run = await waiting(acme, fleet)
    for payload, path, code in (
        ({"amount": "3"}, "payload.amount", "SCHEMA_MISMATCH"),
        ({"amount": 3, "x": "y" * 65_536}, "payload", "TOO_LARGE"),
    ):
        (problem,) = (await signal(acme, run, payload=payload))["problems"]
        assert (problem["path"], problem["code"]) == (path, code)
    (problem,) = (await signal(acme, run, "delivered", key=""))["problems"]
    assert problem["path"] == "idempotencyKey"
    assert await fleet.inbox(run) == []


async def test_signals_that_nobody_uses_are_bounded(acme: Client, fleet: Fleet) -> None:
    run = await waiting(acme, fleet)
    await fleet.admin.execute(
        """INSERT INTO inbox (tenant_id, run_id, seq, kind, name, used)
           SELECT tenant_id, id, n, 'SIGNAL', 'paid', n > 200 FROM runs, generate_series(1, 300) AS n"""
    )
    await fleet.admin.execute("UPDATE runs SET inbox_seq = 300")
    assert (await signal(acme, run, "delivered"))["code"] == "LIMIT_EXCEEDED"
    await fleet.admin.execute("UPDATE inbox SET used = true WHERE seq = 1")
    assert (await signal(acme, run, "delivered"))["seq"] == 301


@pytest.mark.parametrize("aside", ["PAUSED", "DEAD_LETTER"])
async def test_a_run_that_is_not_to_go_on_only_keeps_the_signal(
    acme: Client, fleet: Fleet, aside: str
) -> None:
    run = await waiting(acme, fleet)
    if aside == "PAUSED":
        await acme("mutation($id: ID!) { pauseRun(id: $id) { __typename } }", id=run)
    else:
        await fleet.park(run, aside)
    await signal(acme, run, "delivered")
    assert (len(await fleet.inbox(run)), await fleet.dispatches(run)) == (1, [])


async def test_undoing_that_is_parked_is_woken(acme: Client, fleet: Fleet) -> None:
    run = await waiting(acme, fleet)
    await fleet.admin.execute("UPDATE runs SET status = 'COMPENSATING', compensating = '{}'")
    await signal(acme, run, "delivered")
    assert await fleet.dispatches(run) == [(True, False, True)]


async def test_who_may_signal(acme: Client, stranger: Client, fleet: Fleet) -> None:
    run = await waiting(acme, fleet)
    assert (await signal(stranger, run, "delivered"))["code"] == "NOT_FOUND"
    for role in ("VIEWER", "APPROVER"):
        assert (await signal(await with_role(acme, role), run, "delivered"))["code"] == "FORBIDDEN"
    assert (await signal(await with_role(acme, "OPERATOR"), run, "delivered"))["seq"] == 1
    await fleet.claim(run)
    await fleet.finish(run)
    assert (await signal(acme, run, "delivered"))["message"] == "the run has ended (SUCCESS)"


@pytest.mark.parametrize(
    ("outcome", "status"), [("SUCCEEDED", "SUCCESS"), ("FAILED", "FAILED"), ("RETRY", "QUEUED")]
)
async def test_a_doubt_is_settled_by_a_person(acme: Client, fleet: Fleet, outcome: str, status: str) -> None:
    run = await in_doubt(acme, fleet)
    assert await fleet.dispatches(run) == []
    output = {"body": {"id": 7}} if outcome == "SUCCEEDED" else None
    assert (await settle(acme, run, outcome=outcome, output=output, reason="seen"))["seq"] == 1
    ((_, kind, step, _, data),) = await fleet.inbox(run)
    assert (kind, step, data.pop("by")) == ("SETTLE", "refund", "first admin")
    error = data.pop("error")
    assert (error or {}).get("code") == ("SETTLED_AS_FAILED" if outcome == "FAILED" else None)
    assert data == {"status": status, "output": output, "reason": "seen", "doubt": [1, 3]}
    assert await fleet.dispatches(run) == [(True, False, True)]
    again = await settle(acme, run)
    assert (again["code"], again["message"]) == (
        "CONFLICT",
        "`first admin` has settled this step; the run has not taken it yet",
    )


async def test_where_there_is_no_doubt_nothing_is_settled(acme: Client, fleet: Fleet) -> None:
    run = await in_doubt(acme, fleet)
    refused = await settle(acme, run, step="fetch")
    assert refused["message"] == "the step is SUCCESS, not UNKNOWN: there is no doubt to settle"
    assert (await settle(acme, run, step="other"))["message"] == "step not found"
    refused = await settle(acme, run, outcome="RETRY", output=1)
    assert refused["problems"][0]["path"] == "output"
    assert await fleet.inbox(run) == []


async def test_who_may_settle(acme: Client, stranger: Client, fleet: Fleet) -> None:
    run = await in_doubt(acme, fleet)
    assert (await settle(stranger, run))["code"] == "NOT_FOUND"
    for role in ("VIEWER", "APPROVER", "DESIGNER"):
        assert (await settle(await with_role(acme, role), run))["code"] == "FORBIDDEN"
    assert (await settle(await with_role(acme, "OPERATOR"), run))["seq"] == 1
