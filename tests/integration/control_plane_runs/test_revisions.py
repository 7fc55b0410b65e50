"""Past states of runs, as people ask for them: at a revision, at a time, and what led from one to the next."""

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.commanding import headrace
from tests.integration.control_plane_runs.past_runs import BAD, REVISIONS, RUN_AT, at, lived, revisions

_RERUN = "mutation($r: ID!) { rerunRun(run: $r) { ... on Run { id } } }"


async def test_a_run_is_shown_as_it_was(acme: Client, fleet: Fleet) -> None:
    run = await lived(acme, fleet)
    moments = await revisions(acme, run, first=3)
    assert [(m["revision"], m["note"]) for m in moments] == [
        ("0.0", "The run was started."),
        ("1.1", "Step fetch began, attempt 1."),
        ("1.2", "Step fetch succeeded."),
        ("1.3", "Step refund began, attempt 1."),
        (
            "1.4",
            "An attempt of step refund failed (HTTP_503: busy); the next one is due at 2030-01-01T00:00:00Z.",
        ),
        (
            "1.5",
            (
                "The run waits: a step's next attempt is due later. "
                "It is looked at again at 2030-01-01T00:00:00Z at the latest."
            ),
        ),
        ("2.1", "Step refund failed (HTTP_503: busy)."),
        ("2.2", "The run ended: FAILED (X: no)."),
    ]
    start = await at(acme, run, revision="0.0")
    assert (start["status"], start["revision"]["kind"]) == ("QUEUED", None)
    assert [(s["key"], s["status"]) for s in start["steps"]["items"]] == [
        ("fetch", "QUEUED"),
        ("refund", "QUEUED"),
    ]
    waiting = await at(acme, run, revision="1.5")
    assert (waiting["status"], waiting["waitReason"], waiting["error"]) == ("WAITING", "RETRY", None)
    fetch, refund = waiting["steps"]["items"]
    # What is sealed stays hidden, as it is in the present.
    assert (fetch["input"], fetch["output"]) == ({"order": "17"}, {"id": 7, "token": "[***]"})
    assert (refund["status"], refund["attemptCount"], refund["wait"]) == (
        "WAITING",
        1,
        {"kind": "RETRY", "until": "2030-01-01T00:00:00Z"},
    )
    now = await at(acme, run)
    assert (now["status"], now["error"], now["revision"]["revision"]) == ("FAILED", {"code": "X"}, "2.2")
    first = (await acme(RUN_AT, id=run, first=1))["steps"]
    rest = (await acme(RUN_AT, id=run, first=9, after=first["pageInfo"]["endCursor"]))["steps"]
    assert [s["key"] for page in (first, rest) for s in page["items"]] == ["fetch", "refund"]


async def test_a_time_is_the_newest_revision_up_to_then(acme: Client, fleet: Fleet) -> None:
    run = await lived(acme, fleet)
    third = (await revisions(acme, run))[2]
    assert (await at(acme, run, time=third["at"]))["revision"] == third
    before = datetime.fromisoformat(third["at"]) - timedelta(microseconds=1)
    assert (await at(acme, run, time=before.isoformat()))["revision"]["revision"] == "1.1"
    assert (await at(acme, run, time="2999-01-01T00:00:00Z"))["revision"]["revision"] == "2.2"
    for moment, problem in (
        ({"time": "2001-01-01T00:00:00Z"}, "at.time: the run did not exist then"),
        ({"revision": "one"}, "at.revision: not a revision"),
        ({"revision": "1.1", "time": third["at"]}, "at: both a revision and a time"),
    ):
        refused = await acme.error(RUN_AT, id=run, at=moment)
        assert refused["extensions"]["code"] == "INVALID_INPUT"
        assert refused["message"] == problem
    for gone in ("1.9", "3.1"):
        assert (await acme.error(RUN_AT, id=run, at={"revision": gone}))["extensions"]["code"] == "NOT_FOUND"


async def test_messages_are_shown_from_their_coming_to_their_use(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(run, ("started", "fetch", {}))
    await admin.execute(
        """INSERT INTO inbox (tenant_id, run_id, seq, kind, step, name, data)
           SELECT tenant_id, id, 1, 'SIGNAL', 'refund', 'paid', '{"payload": "a secret"}' FROM runs WHERE id = $1""",
        UUID(run),
    )
    await fleet.apply(run, ("completed", "fetch", {"status": "SUCCESS"}))
    await fleet.apply(run, ("completed", "refund", {"status": "SUCCESS", "inbox": [1]}))
    seen = [(await at(acme, run, revision=r))["messages"]["items"] for r in ("1.1", "1.2", "1.3")]
    assert seen == [[], [{"seq": 1, "kind": "SIGNAL", "step": "refund", "name": "paid"}], []]


async def test_another_tenant_sees_nothing_of_it(acme: Client, stranger: Client, fleet: Fleet) -> None:
    run = await lived(acme, fleet)
    for query in (RUN_AT, REVISIONS):
        assert (await stranger.error(query, id=run))["extensions"]["code"] == "NOT_FOUND"
    error = await acme.error(REVISIONS, id=run, after="WyJydW5zIiwiMSJd")
    assert error["extensions"]["code"] == "INVALID_INPUT"


async def test_a_rerun_begins_with_what_it_took_over(acme: Client, fleet: Fleet) -> None:
    run = await lived(acme, fleet)
    again = (await acme(_RERUN, r=run))["id"]
    start = await at(acme, again, revision="0.0")
    fetch, refund = start["steps"]["items"]
    assert (fetch["status"], fetch["takenFrom"], fetch["output"]["id"]) == ("SUCCESS", run, 7)
    assert (refund["status"], refund["takenFrom"]) == ("QUEUED", None)


async def test_a_loop_that_a_rerun_goes_on_with_was_open_at_its_beginning(acme: Client, fleet: Fleet) -> None:
    each = {**orders()["steps"][0], "key": "each", "forEach": {"items": [1, 2]}}
    await publish(acme, orders(steps=[each], result=None))
    run = await started(acme)
    await fleet.claim(run)
    no = {"code": "HTTP_500", "message": "no"}
    await fleet.apply(
        run,
        ("started", "each", {"items": 2}),
        ("completed", "each[0]", {"status": "SUCCESS", "output": 1}),
        ("completed", "each[1]", {"status": "FAILED", "error": no, "attempt": BAD}),
        ("completed", "each", {"status": "FAILED", "error": no}),
        ("finished", None, {"status": "FAILED", "error": no}),
    )
    again = (await acme(_RERUN, r=run))["id"]
    before = await at(acme, again)
    await fleet.claim(again)
    await fleet.apply(
        again,
        ("completed", "each[1]", {"status": "SUCCESS", "output": 2}),
        ("completed", "each", {"status": "SUCCESS", "output": [1, 2]}),
        ("finished", None, {"status": "SUCCESS"}),
    )
    start = await at(acme, again, revision="0.0")
    assert start["steps"] == before["steps"]
    assert [(s["key"], s["status"], s["itemCount"], s["output"]) for s in start["steps"]["items"]] == [
        ("each", "RUNNING", 2, None),
        ("each[0]", "SUCCESS", None, 1),
    ]
    assert [(s["key"], s["status"], s["output"]) for s in (await at(acme, again))["steps"]["items"]] == [
        ("each", "SUCCESS", [1, 2]),
        ("each[0]", "SUCCESS", 1),
        ("each[1]", "SUCCESS", 2),
    ]


async def test_a_history_is_told_by_command(acme: Client, fleet: Fleet) -> None:
    run = await lived(acme, fleet)
    told = await headrace(acme, "run", "history", run, "--first", "2")
    assert [m["revision"] for m in told["items"]] == ["0.0", "1.1"]
    more = await headrace(acme, "run", "history", run, "--after", told["pageInfo"]["endCursor"])
    assert more["items"][-1]["note"] == "The run ended: FAILED (X: no)."
    state = await headrace(acme, "run", "show", run, "--at", "1.2")
    assert [(s["key"], s["status"]) for s in state["steps"]["items"]] == [
        ("fetch", "SUCCESS"),
        ("refund", "QUEUED"),
    ]
    timed = await headrace(acme, "run", "show", run, "--at", more["items"][0]["at"])
    assert timed["revision"] == more["items"][0]
    assert (await headrace(acme, "run", "show", run))["status"] == "FAILED"
    refused = await headrace(acme, "run", "show", run, "--at", "soon", code=2)
    assert refused["error"]["problems"][0]["path"] == "--at"


async def test_steps_that_had_not_begun_are_those_of_the_version_it_had(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(run, ("started", "fetch", {}), ("completed", "fetch", {"status": "SUCCESS"}))
    await fleet.apply(run, ("parked", None, {"reason": "TIMER", "resumeAt": "2030-01-01T00:00:00Z"}))
    document = orders()
    document["steps"].append({**document["steps"][1], "key": "thank"})
    published = await publish(acme, document)
    move = """mutation($r: [ID!]!, $v: Int!) { moveRuns(ids: $r, version: $v, note: "n") { __typename } }"""
    assert published["version"]["number"] == 2
    assert (await acme(move, r=[run], v=2))["__typename"] == "MovedRuns"
    before = await at(acme, run, revision="1.3")
    assert [s["key"] for s in before["steps"]["items"]] == ["fetch", "refund"]
    assert [s["key"] for s in (await at(acme, run))["steps"]["items"]] == ["fetch", "refund", "thank"]
