"""What services refuse is told to the audit: to whom it concerns, bounded, and nothing of what was sent."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from fixtures_claims import ENROLMENT, World
from headrace.bus.port import LOGS, MAX_MESSAGE_BYTES, Delivery, Reject, events_queue
from headrace.ids import new_id
from headrace.messages import Event, EventBatch
from headrace.refusals import tally
from headrace.refusals.audit import Refusal
from headrace.workflow.state import EventKind
from headrace_reporter.consumer import EventConsumer, LogConsumer
from headrace_reporter.dead_letters import MOST_BYTES

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
async def platform(world: World) -> UUID:
    """The platform's tenant, whose chain has what nobody knows the tenant of."""
    tenant = new_id()
    await world.admin.execute("INSERT INTO tenants (id, name, platform) VALUES ($1, 'p', true)", tenant)
    return tenant


async def recorded(world: World) -> list[tuple[Any, ...]]:
    """Tenant, action, target, code and times of each."""
    await world.refusals.write()
    rows = await world.admin.fetch("SELECT * FROM audit_inbox WHERE outcome = 'REFUSED' ORDER BY id")
    details = [orjson.loads(row["detail"]) for row in rows]
    return [
        (row["tenant_id"], row["action"], row["target"], detail["code"], detail["times"])
        for row, detail in zip(rows, details, strict=True)
    ]


async def claimed(world: World, tenant: UUID) -> UUID:
    job = await world.queued(tenant)
    assert await world.outcome(new_id(), job) == "GRANTED"
    return job[0]


def event(tenant: UUID, run: UUID, seq: int = 1, epoch: int = 1, **data: Any) -> Event:
    return Event(tenant, run, epoch, seq, EventKind.STARTED, NOW, "a", data)


async def test_events_that_nobody_was_granted_are_set_aside_and_told(world: World, platform: UUID) -> None:
    mine, other = await world.tenant("mine"), await world.tenant("other")
    run, beside, nowhere = await claimed(world, mine), await claimed(world, mine), new_id()
    foreign = replace(event(mine, run, input="FORGED"), tenant_id=other)
    early = event(mine, run, seq=9, epoch=7, input="FORGED")
    none = event(mine, nowhere, input="FORGED")
    good = event(mine, beside)
    await world.applier.apply([foreign, early, none, good, replace(foreign, seq=2)])
    kept = await world.admin.fetch("SELECT run_id, data FROM events")
    assert [row["run_id"] for row in kept] == [beside]
    (letter,) = await world.admin.fetch("SELECT * FROM dead_letters")
    assert (letter["tenant_id"], letter["source"], letter["body"].count("FORGED")) == (None, "reporter", 4)
    assert set(await recorded(world)) == {
        (mine, "event.apply", f"run/{run}", "FOREIGN_TENANT", 2),
        (mine, "event.apply", f"run/{run}", "NEVER_GRANTED", 1),
        (platform, "event.apply", f"run/{nowhere}", "NO_SUCH_RUN", 1),
    }


async def test_what_is_delivered_twice_is_no_refusal(world: World, platform: UUID) -> None:
    mine = await world.tenant("mine")
    run = await claimed(world, mine)
    for batch in ([event(mine, run)], [event(mine, run), event(mine, run, seq=2)]):
        await world.applier.apply(batch)
    assert await recorded(world) == []
    assert await world.admin.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_a_flood_of_strangers_is_one_dead_letter_for_a_batch(world: World, platform: UUID) -> None:
    runs = [new_id() for _ in range(500)]
    await world.applier.apply([event(platform, run, input="x" * 1_000) for run in runs])
    (letter,) = await world.admin.fetch("SELECT * FROM dead_letters")
    assert len(letter["body"]) < 2 * MOST_BYTES
    found = await recorded(world)
    assert len(found) == tally.MOST + 1
    assert sum(times for *_, times in found) == 500
    assert (platform, "event.apply", "run", "NO_SUCH_RUN", 500 - tally.MOST) in found


async def test_a_job_in_another_tenants_name_claims_nothing(world: World) -> None:
    mine, other = await world.tenant("mine"), await world.tenant("other")
    run, dispatch = await world.queued(mine)
    runner = new_id()

    async def outcome(call: int, tenant: UUID) -> str:
        job = {"tenant_id": str(tenant), "run_id": str(run), "dispatch_id": str(dispatch)}
        answer = await world.post("claims", runner, call=call, capacity=10, jobs=[job], have=[])
        return str(answer["claims"][0]["outcome"])

    assert await outcome(1, other) == "REFUSED"
    assert await recorded(world) == [(mine, "run.claim", f"run/{run}", "FOREIGN_TENANT", 1)]
    assert await world.admin.fetchval("SELECT epoch FROM runs WHERE id = $1", run) == 0
    assert await outcome(2, mine) == "GRANTED"


async def test_what_can_not_be_read_is_told_by_its_queue(world: World, platform: UUID) -> None:
    events, note = events_queue(3), world.refusals.note
    reader = EventConsumer(world.pool, world.applier, note)
    whole = EventBatch(new_id(), []).encode()
    large = whole[:-1] + b" " * (MAX_MESSAGE_BYTES - len(whole) + 1) + b"}"
    await reader.handle([Delivery(events, b"not JSON"), Delivery(events, large), Delivery(events, whole)])
    with pytest.raises(Reject, match="not a log batch"):
        await LogConsumer(NoStore(), note).handle(Delivery(LOGS, b'{"v": 1}'))  # type: ignore[arg-type]
    code = "MALFORMED_MESSAGE"
    assert set(await recorded(world)) == {
        (platform, "message.take", f"queue/{events}", code, 1),
        (platform, "message.take", "queue/logs", code, 1),
    }
    reasons = await world.admin.fetch("SELECT detail ->> 'reason' AS reason FROM audit_inbox")
    assert {row["reason"] for row in reasons} == {
        "the message is not JSON",
        f"the message is larger than {MAX_MESSAGE_BYTES} bytes",
        "not a log batch: KeyError",
    }
    letters = await world.admin.fetch("SELECT body FROM dead_letters")
    assert {orjson.loads(letter["body"])["bytes"] for letter in letters} == {8, len(large)}


class NoStore:
    """Nothing of these tests comes so far."""


async def test_runners_tell_what_they_could_not_read(world: World, platform: UUID) -> None:
    runner = new_id()
    one = {"queue": "jobs", "reason": "not a job: KeyError", "times": 3}
    await world.post("refused-messages", runner, refused=[one])
    await world.post("refused-messages", runner, refused=[{**one, "times": 4}])
    assert await recorded(world) == [(platform, "message.take", "queue/jobs", "MALFORMED_MESSAGE", 7)]
    row = await world.admin.fetchrow("SELECT actor_id, actor_name FROM audit_inbox")
    assert tuple(row) == (runner, "runner")
    for bad in ({"queue": "jobs/../x"}, {"reason": "a\0b"}, {"reason": ""}, {"times": 0}, {"times": 2**31}):
        assert (await world.ask("refused-messages", runner, refused=[{**one, **bad}])).status_code == 422
    assert (await world.ask("refused-messages", runner, refused=[one] * 501)).status_code == 422


async def test_refused_sessions_are_told(world: World, platform: UUID) -> None:
    runner = new_id()
    await world.session(runner)
    session = {"runner_id": str(new_id()), "session": "hrs_" + "a" * 43}
    for by in ("Bearer guessed", "Bearer guessed", ""):
        headers = {"authorization": by}
        await world.http.post("/internal/sessions", json=session, headers=headers)
        await world.http.post("/internal/heartbeats", json={}, headers=headers)
    # The fleet's own token, for the name of somebody else.
    await world.http.post("/internal/sessions", json={**session, "runner_id": str(runner)}, headers=ENROLMENT)
    await world.admin.execute("UPDATE runner_sessions SET expires_at = now()")
    assert (await world.ask("releases", runner)).status_code == 401
    assert set(await recorded(world)) == {
        (platform, "runner_session.open", "runner_session", "UNAUTHENTICATED", 3),
        (platform, "runner_session.open", "runner_session", "CONFLICT", 1),
        (platform, "runner_session.use", "runner_session", "UNAUTHENTICATED", 3),
    }
    assert await world.admin.fetchval("SELECT bool_and(origin = '127.0.0.1') FROM audit_inbox")


async def test_what_can_not_be_written_is_kept(world: World, platform: UUID) -> None:
    world.refusals.note(Refusal("a.b", "c", "D"))
    await world.admin.execute("REVOKE EXECUTE ON FUNCTION headrace_record_refusals FROM headrace_worker")
    with pytest.raises(Exception, match="permission denied"):
        await world.refusals.write()
    await world.admin.execute("GRANT EXECUTE ON FUNCTION headrace_record_refusals TO headrace_worker")
    assert await recorded(world) == [(platform, "a.b", "c", "D", 1)]
    assert await recorded(world) == [(platform, "a.b", "c", "D", 1)]  # nothing is left


async def test_secrets_that_runs_are_given_are_recorded(world: World) -> None:
    world.credentials.values = {"notify-token": "a secret value", "other": "another value"}
    env = {"TOKEN": {"secret": "notify-token"}, "GONE": {"secret": "gone"}, "REGION": "eu"}
    mine, plain = await world.tenant("mine", document={"env": env}), await world.tenant("plain")
    jobs = [await world.queued(tenant) for tenant in (mine, mine, plain)]
    runner = new_id()
    answer = await world.claim(runner, *jobs)
    given = {claim["run_id"]: claim["secrets"] for claim in answer["claims"]}
    assert given[str(jobs[0][0])] == {"TOKEN": "a secret value"}
    (row,) = await world.admin.fetch("SELECT * FROM audit_inbox")
    assert (row["tenant_id"], row["action"], row["target"], row["outcome"], row["actor_name"]) == (
        mine,
        "secret.use",
        "secret/notify-token",
        "DONE",
        "runner",
    )
    assert set(orjson.loads(row["detail"])["runs"]) == {str(run) for run, _ in jobs[:2]}
    assert "a secret value" not in str(dict(row))
    # A take-over is given them again.
    await world.beat(runner, settled=1)
    again = (await world.claim(runner, jobs[0], call=2))["claims"][0]
    assert await world.passed(runner, jobs[0][0], again["epoch"]) == "PASSED"
    assert await world.admin.fetchval("SELECT count(*) FROM audit_inbox") == 2
