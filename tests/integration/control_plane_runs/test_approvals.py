"""Approvals: who sees them, who may decide them, once, and what the run is told."""

import asyncio
from typing import Any

import pytest
from headrace.postgres.pool import open_pool
from headrace_control.auth.roles import Role

from tests.integration.control_plane import people
from tests.integration.control_plane.people import joined
from tests.integration.control_plane_runs.acting import FAILURE, Client, Fleet, publish, started
from tests.integration.control_plane_runs.approving import DOCUMENT, FORM, asked

_APPROVAL = """run { id } step kind status title details form roles members notStarter openedAt dueAt closedAt
    decision { decision by reason form at } mayDecide"""


async def key(client: Client, role: str, name: str) -> Client:
    made = await client(
        "mutation($r: Role!, $n: String!) { createApiKey(name: $n, role: $r) { ... on IssuedApiKey { key } } }",
        r=role,
        n=name,
    )
    return Client(client.http, made["key"])


async def decide(client: Client, run: str, step: str = "ok", **how: Any) -> Any:
    how.setdefault("decision", "APPROVE")
    return await client(
        """mutation($run: ID!, $step: String!, $decision: Verdict!, $reason: String! = "", $form: JSON) {
             decideApproval(runId: $run, step: $step, decision: $decision, reason: $reason, form: $form) { __typename
               ... on Approval { """
        + _APPROVAL
        + " } "
        + FAILURE
        + "} }",
        run=run,
        step=step,
        **how,
    )


async def approvals(client: Client, **wanted: Any) -> Any:
    return await client(
        """query($status: WaitStatus! = OPEN, $first: Int! = 50, $after: String) {
             approvals(status: $status, first: $first, after: $after) {
               items { """
        + _APPROVAL
        + " } pageInfo { hasNextPage endCursor } } }",
        **wanted,
    )


async def test_a_decision_is_recorded_and_wakes_its_run(acme: Client, fleet: Fleet) -> None:
    run = await asked(acme, fleet, title="Refund?", details={"total": 3}, form=FORM)
    boss = await key(acme, "APPROVER", "boss")
    (open_one,) = (await approvals(boss))["items"]
    assert open_one["run"] == {"id": run}
    assert (open_one["step"], open_one["title"], open_one["details"]) == ("ok", "Refund?", {"total": 3})
    assert (open_one["form"], open_one["status"], open_one["mayDecide"]) == (FORM, "OPEN", True)
    assert open_one["decision"] is None
    answer = await decide(boss, run, reason="fair", form={"amount": 3})
    assert (answer["status"], answer["mayDecide"]) == ("DECIDED", False)
    decision = {"decision": "APPROVED", "by": "boss", "reason": "fair", "form": {"amount": 3}}
    at = answer["decision"].pop("at")
    assert answer["decision"] == decision
    ((seq, kind, step, name, data),) = await fleet.inbox(run)
    assert (seq, kind, step, name) == (1, "DECISION", "ok", None)
    assert data.pop("byId")
    assert data == {**decision, "at": at}
    assert await fleet.dispatches(run) == [(True, False, True)]
    assert (await approvals(boss))["items"] == []
    assert [one["decision"]["by"] for one in (await approvals(boss, status="DECIDED"))["items"]] == ["boss"]


async def test_an_approval_is_decided_once(acme: Client, fleet: Fleet) -> None:
    run = await asked(acme, fleet)
    people = [await key(acme, "APPROVER", f"p{n}") for n in range(6)]
    answers = await asyncio.gather(*(decide(one, run, decision="REJECT") for one in people))
    (first,) = [answer for answer in answers if answer["__typename"] == "Approval"]
    others = [answer for answer in answers if answer["__typename"] != "Approval"]
    by = first["decision"]["by"]
    assert {answer["code"] for answer in others} == {"CONFLICT"}
    assert all(answer["message"].startswith(f"`{by}` has decided this approval at 20") for answer in others)
    assert all(answer["message"].endswith("(REJECTED)") for answer in others)
    assert len(await fleet.inbox(run)) == 1
    await fleet.admin.execute("UPDATE waits SET status = 'CLOSED', closed_at = now()")
    assert (await decide(people[0], run))["message"].startswith(f"`{by}` has decided")


async def test_what_the_step_says_narrows_who_may_decide(acme: Client, fleet: Fleet) -> None:
    boss, other = await key(acme, "APPROVER", "boss"), await key(acme, "APPROVER", "other")
    for says, allowed, words in (
        ({"roles": ["approver"]}, boss, "the role APPROVER"),
        ({"roles": ["ADMIN"], "members": ["boss"]}, boss, "the role ADMIN or `boss`"),
    ):
        run = await asked(acme, fleet, **says)
        refused_one = acme if "approver" in says["roles"] else other
        shown = {c.key: (await approvals(c))["items"][0]["mayDecide"] for c in (allowed, refused_one)}
        assert shown == {allowed.key: True, refused_one.key: False}
        refused = await decide(refused_one, run)
        assert (refused["code"], refused["message"]) == ("FORBIDDEN", f"this approval is for {words}")
        assert (await decide(allowed, run))["__typename"] == "Approval"


async def test_who_started_the_run_may_be_kept_from_it(acme: Client, fleet: Fleet) -> None:
    run = await asked(acme, fleet, notStarter=True)
    refused = await decide(acme, run)
    assert (refused["code"], refused["message"]) == (
        "FORBIDDEN",
        "who started the run may not decide this approval",
    )
    assert (await decide(await key(acme, "ADMIN", "second"), run))["__typename"] == "Approval"


async def test_a_person_is_one_with_all_keys_of_theirs(acme: Client, fleet: Fleet, database: str) -> None:
    """Under the rule of two persons, and where the starter is kept out: whichever of them started, and published."""
    async with await open_pool(database) as owner:
        of = people.Client(acme.http, acme.key)
        lee, kim = [
            Client(acme.http, (await joined(owner, of, f"{name}@example.com", Role.ADMIN))[1].key)
            for name in ("lee", "kim")
        ]
    lees = await key(lee, "ADMIN", "lee's")
    lees_second = await key(lees, "ADMIN", "lee's second")
    for starter in (lee, lees, lees_second):
        for rule, words in (("notStarter", "who started"), ("twoPerson", "this approval takes two persons")):
            run = await asked(starter, fleet, **{rule: True})
            for again in (lee, lees, lees_second):
                refused = await decide(again, run)
                assert (refused["code"], refused["message"][: len(words)]) == ("FORBIDDEN", words)
                assert not [
                    o for o in (await approvals(again))["items"] if o["run"]["id"] == run and o["mayDecide"]
                ]
            assert (await decide(kim, run))["__typename"] == "Approval"
    # Who published is kept out, too, by whichever key; who has no part in it is not, be it a key of nobody's.
    await publish(lees_second, {**DOCUMENT, "workflow": "published-by-lee"})
    run = await started(kim, workflow="published-by-lee", input={})
    await fleet.claim(run)
    await fleet.open_wait(run, "ok", "APPROVAL", None, twoPerson=True)
    await fleet.park(run, "APPROVAL")
    for one in (lee, lees, kim, await key(kim, "APPROVER", "kim's")):
        assert (await decide(one, run))["code"] == "FORBIDDEN"
    assert (await decide(acme, run))["__typename"] == "Approval"


async def test_only_approvers_and_admins_decide(acme: Client, stranger: Client, fleet: Fleet) -> None:
    run = await asked(acme, fleet, roles=["operator"])
    for role in ("OPERATOR", "DESIGNER", "VIEWER"):
        client = await key(acme, role, role)
        assert (await decide(client, run))["code"] == "FORBIDDEN"
        assert [one["mayDecide"] for one in (await approvals(client))["items"]] == [False]
    assert (await decide(stranger, run))["code"] == "NOT_FOUND"
    assert (await approvals(stranger))["items"] == []
    assert (await decide(acme, run, step="other"))["message"] == "approval not found"


async def test_a_form_is_checked_with_its_places(acme: Client, fleet: Fleet) -> None:
    run = await asked(acme, fleet, form=FORM)
    for form, path in (
        ({"amount": "3"}, "form.amount"),
        ({"x": "y" * 70_000}, "form"),
        (None, "form.amount"),
    ):
        refused = await decide(acme, run, form=form)
        assert (refused["code"], refused["problems"][0]["path"]) == ("INVALID_INPUT", path)
    refused = await decide(acme, run, form={"amount": 1}, reason="x" * 3000)
    assert refused["problems"][0]["path"] == "reason"
    assert await fleet.inbox(run) == []
    assert (await decide(acme, run, decision="REJECT"))["status"] == "DECIDED"
    plain = await asked(acme, fleet)
    assert (await decide(acme, plain, form={}))["problems"][0]["message"] == "this approval has no form"


async def test_what_is_over_is_not_decided(acme: Client, fleet: Fleet) -> None:
    late = await asked(acme, fleet, due_in=-1)
    assert (await decide(acme, late))["message"].startswith("the approval's deadline has passed at 20")
    assert [one["mayDecide"] for one in (await approvals(acme))["items"]] == [False]
    closed = await asked(acme, fleet)
    await fleet.admin.execute("UPDATE waits SET status = 'CLOSED', closed_at = now() WHERE due_at IS NULL")
    refused = await decide(acme, closed)
    assert (refused["code"], refused["message"]) == (
        "CONFLICT",
        "the approval is over: its run has gone on or ended without a decision",
    )


@pytest.mark.parametrize(
    "event", [("compensating", None, {"outcome": "FAILED", "error": None}), ("canceled", None, {})]
)
async def test_an_approval_ends_with_its_run(acme: Client, fleet: Fleet, event: Any) -> None:
    run = await asked(acme, fleet)
    await fleet.claim(run)
    await fleet.apply(run, event)
    assert (await approvals(acme))["items"] == []
    assert (await decide(acme, run))["message"].startswith("the approval is over")


async def test_a_paused_run_keeps_its_decision(acme: Client, fleet: Fleet) -> None:
    run = await asked(acme, fleet)
    await acme("mutation($id: ID!) { pauseRun(id: $id) { __typename } }", id=run)
    assert (await decide(acme, run))["status"] == "DECIDED"
    assert (len(await fleet.inbox(run)), await fleet.dispatches(run)) == (1, [])


async def test_approvals_come_in_pages_newest_first(acme: Client, fleet: Fleet) -> None:
    runs = [await asked(acme, fleet) for _ in range(5)]
    await fleet.open_wait(runs[0], "late", "APPROVAL")
    await fleet.open_wait(runs[0], "sig", "SIGNAL", name="sig")
    expected = [(runs[0], "late"), *((run, "ok") for run in reversed(runs))]
    seen, after = [], None
    while True:
        page = await approvals(acme, first=2, after=after)
        seen += [(one["run"]["id"], one["step"]) for one in page["items"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == expected
    query = "{ approvals(after: %s) { items { step } } }"
    for bad in ('"x"', '"WyJhcHByb3ZhbHMiLCJ4IiwieSIsInoiXQ"'):
        assert (await acme.error(query % bad))["extensions"]["code"] == "INVALID_INPUT"


async def test_a_run_shows_its_waits(acme: Client, fleet: Fleet) -> None:
    run = await asked(acme, fleet, title="Refund?")
    await fleet.open_wait(run, "paid", "SIGNAL", name="paid", schema=FORM)
    query = """query($id: ID!, $after: String) { run(id: $id) { waits(first: 1, after: $after) {
        items { step kind status title name schema mayDecide } pageInfo { hasNextPage endCursor } } } }"""
    page = (await acme(query, id=run))["waits"]
    assert page["items"] == [
        {
            "step": "ok",
            "kind": "APPROVAL",
            "status": "OPEN",
            "title": "Refund?",
            "name": None,
            "schema": None,
            "mayDecide": True,
        }
    ]
    page = (await acme(query, id=run, after=page["pageInfo"]["endCursor"]))["waits"]
    assert [(w["step"], w["kind"], w["name"], w["schema"], w["mayDecide"]) for w in page["items"]] == [
        ("paid", "SIGNAL", "paid", FORM, False)
    ]
    assert page["pageInfo"]["hasNextPage"] is False


async def test_a_member_is_named_by_address_and_no_key_passes_for_one(
    acme: Client, fleet: Fleet, database: str
) -> None:
    run = await asked(acme, fleet, members=["Kim@example.com", "robot"])
    for name in ("kim@example.com", "Kim@example.com"):
        impostor = await key(acme, "ADMIN", name)
        assert (await decide(impostor, run))["code"] == "FORBIDDEN"
        assert [one["mayDecide"] for one in (await approvals(impostor))["items"]] == [False]
    async with await open_pool(database) as owner:
        _, lee = await joined(owner, people.Client(acme.http, acme.key), "lee@example.com", Role.ADMIN)
        _, kim = await joined(owner, people.Client(acme.http, acme.key), "kim@example.com", Role.APPROVER)
        refused = await Client(acme.http, lee.key)("query { approvals { items { mayDecide } } }")
        assert refused["items"] == [{"mayDecide": False}]
        decided = await decide(Client(acme.http, kim.key), run)
    assert decided["decision"]["by"] == "kim@example.com"


async def test_who_is_named_and_not_there_is_noticed(acme: Client, database: str) -> None:
    await key(acme, "APPROVER", "robot")
    approval = {"key": "ok", "type": "approval", "approval": {}}
    approval["approval"] = {"members": ["kim@example.com", "lee@example.com", "robot", "nobody"]}
    document = {"workflow": "asks", "steps": [approval]}
    async with await open_pool(database) as owner:
        await joined(owner, people.Client(acme.http, acme.key), "kim@example.com", Role.APPROVER)
    said = await acme(
        """query($document: JSON!) { validateWorkflow(document: $document) {
             problems { path } notices { path message code } } }""",
        document=document,
    )
    assert said["problems"] == []
    assert [(one["path"], one["code"]) for one in said["notices"]] == [
        ("steps[0].approval.members[1]", "UNKNOWN_MEMBER"),
        ("steps[0].approval.members[3]", "UNKNOWN_MEMBER"),
    ]
    assert "invite them" in said["notices"][0]["message"]
