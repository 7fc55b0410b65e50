"""An approval's token opens the one call that it was given for, once, in time, for the holder of its run."""

import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
import pytest
import pytest_asyncio
from headrace_control.auth.roles import Role

from tests.fixtures_edge import Edge, Keyed, issue

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIGEST, OTHER = "ab" * 32, "cd" * 32
_DECIDE = """mutation($run: ID!, $step: String!, $verdict: Verdict!) {
  decideApproval(runId: $run, step: $step, decision: $verdict) {
    ... on Approval { status gate { action digest twoPerson } } ... on Failure { code message } } }"""
_RULE = """mutation($class: ApprovalClass!, $why: String!) {
  setPolicyRule(app: "bank", action: "pay", approvalClass: $class, reason: $why) { __typename } }"""


@dataclass(frozen=True)
class Held:
    """A run that the runner of the edge's session holds, whose step `pay` waits for an approval."""

    edge: Edge
    run_id: str
    run_token: str
    epoch: int = 1

    async def asks(self, **more: Any) -> Any:
        """What the runner is answered that wants to call `pay`."""
        response = await self.edge.internal.post(
            "/internal/approvals",
            json={
                "run_id": self.run_id,
                "epoch": self.epoch,
                "run_token": self.run_token,
                "step": "pay",
                "digest": DIGEST,
                **more,
            },
        )
        return response.json() if response.status_code == 200 else response.status_code

    async def code(self, **more: Any) -> Any:
        answer = await self.asks(**more)
        return answer["code"] if isinstance(answer, dict) else answer

    async def approved(self, by: Keyed, step: str = "pay") -> str:
        """The token that came of the approval."""
        decided = (await by(_DECIDE, run=self.run_id, step=step, verdict="APPROVE"))["decideApproval"]
        assert decided["status"] == "DECIDED", decided
        found = await self.edge.owner.fetchval(
            "SELECT data ->> 'token' FROM inbox WHERE run_id = $1 AND step = $2 ORDER BY seq DESC LIMIT 1",
            UUID(self.run_id),
            step,
        )
        return str(found)

    async def refusals(self) -> list[str]:
        rows = await self.edge.owner.fetch(
            """SELECT detail ->> 'code' AS code FROM audit_inbox
               WHERE target LIKE $1 AND outcome = 'REFUSED' ORDER BY id""",
            f"run/{self.run_id}/%",
        )
        return [row["code"] for row in rows]


@dataclass(frozen=True)
class Bank:
    edge: Edge
    starter: Keyed
    approver: Keyed

    async def held(self, **gate: Any) -> Held:
        """A run just started and claimed. `gate` is what its wait says beside the usual."""
        started = await self.starter(
            'mutation { startRun(workflow: "pay") { ... on Run { id } ... on Failure { message } } }'
        )
        held = Held(self.edge, started["startRun"]["id"], secrets.token_urlsafe(16))
        await self.edge.owner.execute(
            """UPDATE runs SET status = 'RUNNING', epoch = 1, started_at = now(), claimed_in_call = 1, claim_token = $2,
                 claimed_by = (SELECT runner_id FROM runner_sessions LIMIT 1) WHERE id = $1""",
            UUID(held.run_id),
            hashlib.sha256(held.run_token.encode()).digest(),
        )
        for step in ("pay", "pay[1]"):
            wait = {"kind": "GATE", "action": "bank/pay", "approvalClass": "B", "digest": DIGEST}
            await self.edge.owner.execute(
                """INSERT INTO waits (tenant_id, run_id, step, kind, data, opened_at)
                   SELECT tenant_id, id, $2, 'APPROVAL', $3, now() FROM runs WHERE id = $1""",
                UUID(held.run_id),
                step,
                orjson.dumps({**wait, "expiresAfterMs": 60_000, **gate}).decode(),
            )
        return held


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bank(edge: Edge) -> AsyncIterator[Bank]:
    admin = edge.admin
    await admin(
        'mutation { createApp(input: {name: "bank", baseUrl: "http://127.0.0.1:9", auth: {kind: "NONE"}}) {'
        " __typename } }"
    )
    await admin(
        'mutation { saveAction(app: "bank", name: "pay", definition: {method: "POST", endpointTemplate: "/pay", '
        'idempotency: {mode: "KEY"}, reversibility: "IRREVERSIBLE"}) { __typename } }'
    )
    document = {"workflow": "pay", "steps": [{"key": "pay", "action": "bank/pay", "input": {"n": 1}}]}
    made = await edge.keys[Role.DESIGNER](
        "mutation($d: JSON!) { publishWorkflow(document: $d) { __typename } }", d=document
    )
    assert made["publishWorkflow"]["__typename"] == "PublishedVersion", made
    yield Bank(edge, await issue(admin, Role.OPERATOR), edge.keys[Role.APPROVER])


async def test_a_token_opens_its_own_call_and_no_other(bank: Bank) -> None:
    held, another = await bank.held(), await bank.held()
    assert await held.code() == "NOT_APPROVED"
    token, elsewhere = await held.approved(bank.approver), await another.approved(bank.approver)
    of_item = await held.approved(bank.approver, "pay[1]")
    forged = token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8)
    flipped = ("A" if token[60] != "A" else "B").join([token[:60], token[61:]])
    for wrong in (elsewhere, of_item, forged, flipped, "", "x" * 300, "\u00e9", f"{token}AAAA"):
        assert await held.code(token=wrong) == "TOKEN_NOT_VALID", wrong
    assert await held.code(token=token, digest=OTHER) == "TOKEN_NOT_VALID"
    assert await held.code(token=token, step="pay[1]") == "TOKEN_NOT_VALID"
    assert await another.code(token=token) == "TOKEN_NOT_VALID"
    assert set(await held.refusals()) == {"TOKEN_NOT_VALID"}
    assert len(await held.refusals()) == 10
    assert await held.asks(token=token) == {"allowed": True, "code": None, "reason": "", "by": "test"}


async def test_a_redeemed_approval_is_answered_alike_for_its_call_alone(bank: Bank) -> None:
    held = await bank.held()
    token = await held.approved(bank.approver)
    first = await held.asks(token=token)
    assert first["allowed"]
    assert first == await held.asks(token=token) == await held.asks() == await held.asks(begun=True)
    assert await held.code(digest=OTHER) == "NOT_APPROVED"
    assert await held.code(digest=OTHER, begun=True) == "NOT_APPROVED"
    assert await held.code(digest=OTHER, token=token) == "TOKEN_NOT_VALID"
    redeemed = await bank.edge.owner.fetch(
        "SELECT redeemed_epoch FROM approval_tokens WHERE run_id = $1 AND redeemed_at IS NOT NULL",
        UUID(held.run_id),
    )
    assert [row["redeemed_epoch"] for row in redeemed] == [1]


async def test_an_approval_that_was_not_used_in_time_opens_nothing(bank: Bank) -> None:
    held = await bank.held()
    token = await held.approved(bank.approver)
    await bank.edge.owner.execute(
        "UPDATE approval_tokens SET expires_at = now() - interval '1 second' WHERE run_id = $1",
        UUID(held.run_id),
    )
    assert await held.code(token=token) == "TOKEN_EXPIRED"
    assert await held.code() == "NOT_APPROVED"
    assert await held.refusals() == ["TOKEN_EXPIRED"]


async def test_nobody_but_the_holder_redeems(bank: Bank) -> None:
    held = await bank.held()
    token = await held.approved(bank.approver)
    assert await replace(held, run_token="another").code(token=token) == 404
    assert await replace(held, epoch=2).code(token=token) == 404
    assert await held.code(token=token, step="never-was") == 404
    await bank.edge.owner.execute(
        "UPDATE runs SET claimed_by = gen_random_uuid() WHERE id = $1", UUID(held.run_id)
    )
    assert await held.code(token=token) == 404


async def test_the_policy_of_the_moment_has_the_last_word(bank: Bank) -> None:
    held = await bank.held()
    token = await held.approved(bank.approver)
    assert (await held.asks(token=token))["allowed"]
    await bank.edge.admin(_RULE, **{"class": "C", "why": ""})
    assert await held.code(token=token) == "POLICY_FORBIDDEN"
    assert await held.code(unattended=True) == "POLICY_FORBIDDEN"
    assert await held.refusals() == ["POLICY_FORBIDDEN"] * 2
    await bank.edge.admin(_RULE, **{"class": "A", "why": "for a moment"})
    assert await held.code(digest=OTHER) is None
    await bank.edge.admin(_RULE, **{"class": "B", "why": ""})
    assert await held.code(digest=OTHER) == "NOT_APPROVED"
    assert await held.code(digest=OTHER, unattended=True) is None


async def test_two_persons_are_neither_the_starter_nor_the_publisher(bank: Bank) -> None:
    admin = bank.edge.admin
    publisher, starter = await issue(admin, Role.ADMIN), await issue(admin, Role.ADMIN)
    document = {"workflow": "pay", "steps": [{"key": "pay", "action": "bank/pay", "input": {"n": 2}}]}
    await publisher("mutation($d: JSON!) { publishWorkflow(document: $d) { __typename } }", d=document)
    held = await replace(bank, starter=starter).held(twoPerson=True)
    for one in (publisher, starter):
        decided = await one(_DECIDE, run=held.run_id, step="pay", verdict="APPROVE")
        assert decided["decideApproval"]["code"] == "FORBIDDEN"
        assert "two persons" in decided["decideApproval"]["message"]
    decided = (await admin(_DECIDE, run=held.run_id, step="pay", verdict="APPROVE"))["decideApproval"]
    assert decided["gate"] == {"action": "bank/pay", "digest": DIGEST, "twoPerson": True}


async def test_a_rejection_mints_no_token(bank: Bank) -> None:
    held = await bank.held()
    await bank.approver(_DECIDE, run=held.run_id, step="pay", verdict="REJECT")
    data = await bank.edge.owner.fetchval("SELECT data FROM inbox WHERE run_id = $1", UUID(held.run_id))
    assert "token" not in orjson.loads(data)
    assert await held.code() == "NOT_APPROVED"
