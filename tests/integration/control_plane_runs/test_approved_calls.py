"""A decision on a call that the policy holds is for the call that was read."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from headrace_cli.main import app
from headrace_cli.runs import deciding
from typer.testing import CliRunner

from tests.integration.control_plane_runs.acting import FAILURE, Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.approving import asked
from tests.integration.control_plane_runs.commanding import headrace

FIRST, SECOND, THIRD = "aa" * 32, "bb" * 32, "cc" * 32


async def ask(fleet: Fleet, run: str, digest: str) -> None:
    """As the runner does that comes to the call of `refund`, for the first time or with another one."""
    wait = {
        "kind": "GATE",
        "title": "Call shop/refund?",
        "details": {"url": f"https://shop/{digest[:2]}"},
        "action": "shop/refund",
        "approvalClass": "B",
        "digest": digest,
        "roles": [],
        "twoPerson": False,
        "expiresAfterMs": 60_000,
        "until": (datetime.now(UTC) + timedelta(minutes=1)).isoformat(),
    }
    await fleet.claim(run)
    await fleet.apply(run, ("waiting", "refund", {"wait": wait}))
    await fleet.park(run, "APPROVAL")


@pytest.fixture
async def run(acme: Client, fleet: Fleet) -> str:
    """A run that waits for an approval of its first call."""
    await publish(acme, orders(steps=[orders()["steps"][1]], result={}))
    run = await started(acme)
    await ask(fleet, run, FIRST)
    return run


async def decide(client: Client, run: str, step: str = "refund", **how: Any) -> Any:
    return await client(
        """mutation($run: ID!, $step: String!, $decision: Verdict! = APPROVE, $digest: String) {
             decideApproval(runId: $run, step: $step, decision: $decision, digest: $digest) { __typename
               ... on Approval { status gate { digest } } """
        + FAILURE
        + "} }",
        run=run,
        step=step,
        **how,
    )


async def test_a_call_that_nobody_has_read_is_not_decided_on(acme: Client, fleet: Fleet, run: str) -> None:
    approvals = "{ approvals { items { gate { digest } details } } }"
    (read,) = (await acme(approvals))["items"]
    await ask(fleet, run, SECOND)
    for decision in ("APPROVE", "REJECT"):
        refused = await decide(acme, run, decision=decision, digest=read["gate"]["digest"])
        assert refused["code"] == "CONFLICT"
        assert refused["message"] == (
            "the approval is for another call by now: read its details, and decide with the digest of its gate"
        )
    assert await fleet.inbox(run) == []
    (read,) = (await acme(approvals))["items"]
    assert read == {"gate": {"digest": SECOND}, "details": {"url": "https://shop/bb"}}
    assert (await decide(acme, run, digest=SECOND))["status"] == "DECIDED"
    assert [message[4]["digest"] for message in await fleet.inbox(run)] == [SECOND]
    # Who comes second is told of the first, whatever they have read.
    assert "has decided this approval" in (await decide(acme, run, digest=FIRST))["message"]


async def test_a_decision_without_a_digest_is_for_whatever_call_waits(
    acme: Client, fleet: Fleet, run: str
) -> None:
    await ask(fleet, run, SECOND)
    assert (await decide(acme, run))["gate"] == {"digest": SECOND}


async def test_an_approval_that_a_step_asks_for_is_for_no_call(acme: Client, fleet: Fleet) -> None:
    run = await asked(acme, fleet)
    refused = await decide(acme, run, "ok", digest=FIRST)
    assert [problem["path"] for problem in refused["problems"]] == ["digest"]
    assert (await decide(acme, run, "ok"))["status"] == "DECIDED"


async def test_a_script_decides_by_the_digest_that_it_has_listed(
    acme: Client, fleet: Fleet, run: str
) -> None:
    (listed,) = (await headrace(acme, "approvals"))["items"]
    assert listed["gate"] == {
        "action": "shop/refund",
        "approvalClass": "B",
        "digest": FIRST,
        "twoPerson": False,
    }
    await ask(fleet, run, SECOND)
    for verb in ("approve", "reject"):
        refused = await headrace(acme, "run", verb, run, "refund", "--digest", FIRST, code=2)
        assert refused["error"]["code"] == "CONFLICT"
    approved = await headrace(acme, "run", "approve", run, "refund", "--digest", SECOND)
    assert approved["decision"]["decision"] == "APPROVED"


class Person:
    """Somebody at a terminal, who is shown calls and says yes as often as told, and then no."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, client: Client, yes: int) -> None:
        self._client, self._yes = client, yes
        self._loop = asyncio.get_running_loop()
        self.asked: list[str] = []
        self.meanwhile: Callable[[int], Any] | None = None
        monkeypatch.setattr(deciding, "_somebody_is_here", lambda _: True)
        monkeypatch.setattr("rich.prompt.Confirm.ask", self._answer)

    def _answer(self, question: str, **_: Any) -> bool:
        self.asked.append(question)
        if self.meanwhile is not None:
            asyncio.run_coroutine_threadsafe(self.meanwhile(len(self.asked)), self._loop).result(30)
        return len(self.asked) <= self._yes

    async def types(self, *words: str, code: int = 0) -> str:
        """What the command prints."""
        env = {"HEADRACE_URL": str(self._client.http.base_url), "HEADRACE_API_KEY": self._client.key}
        done = await asyncio.to_thread(CliRunner().invoke, app, [*words], env=env)
        assert done.exit_code == code, done.output
        return done.output


async def test_a_person_is_shown_the_call_and_asked_anew_when_it_is_another(
    acme: Client, fleet: Fleet, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(monkeypatch, acme, yes=9)

    async def meanwhile(times: int) -> None:
        if times < 3:
            await ask(fleet, run, (SECOND, THIRD)[times - 1])

    person.meanwhile = meanwhile
    told = await person.types("run", "approve", run, "refund")
    assert person.asked == ["Approve this call?"] * 3
    places = [told.index(f"https://shop/{each}") for each in ("aa", "bb", "cc")]
    assert places == sorted(places)
    assert "refund is APPROVED" in told
    assert [message[4]["digest"] for message in await fleet.inbox(run)] == [THIRD]
    # It is decided: there is no call to show, and the answer is the server's.
    assert "has decided this approval" in await person.types("run", "reject", run, "refund", code=2)
    assert len(person.asked) == 3


async def test_a_person_may_say_no_and_need_not_be_asked(
    acme: Client, fleet: Fleet, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(monkeypatch, acme, yes=0)
    assert "nothing is decided" in await person.types("run", "reject", run, "refund")
    assert (person.asked, await fleet.inbox(run)) == (["Reject this call?"], [])
    plain = await asked(acme, fleet)
    assert "ok is APPROVED" in await person.types("run", "approve", plain, "ok")
    assert "refund is APPROVED" in await person.types("run", "approve", run, "refund", "--yes")
    assert len(person.asked) == 1


async def test_what_was_decided_while_the_person_read_is_told(
    acme: Client, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(monkeypatch, acme, yes=9)

    async def meanwhile(_: int) -> None:
        await decide(acme, run, decision="REJECT")

    person.meanwhile = meanwhile
    assert "has decided this approval" in await person.types("run", "approve", run, "refund", code=2)
    assert len(person.asked) == 1
