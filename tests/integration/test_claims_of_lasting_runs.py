"""Claims of runs that are paused, being undone, or have been sent messages."""

from datetime import datetime
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import orjson
from fixtures_claims import PlainCallbacks, World
from headrace.ids import new_id
from headrace.postgres.queries import load
from headrace_control.internal_api.handover import Handover

_sql = load("headrace_control.internal_api")

UNDOING = {"outcome": "FAILED", "error": {"code": "STEP_FAILED", "message": "step a failed"}}


async def set_run(world: World, run: UUID, **columns: Any) -> None:
    for name, value in columns.items():
        await world.admin.execute(f"UPDATE runs SET {name} = $2 WHERE id = $1", run, value)


async def undoing(world: World, run: UUID) -> None:
    await set_run(world, run, status="COMPENSATING", compensating=orjson.dumps(UNDOING).decode())


async def say(
    world: World, tenant: UUID, run: UUID, payload: Any, used: bool = False, step: str | None = None
) -> None:
    seq = await world.admin.fetchval(
        "UPDATE runs SET inbox_seq = inbox_seq + 1 WHERE id = $1 RETURNING inbox_seq", run
    )
    await world.admin.execute(
        """INSERT INTO inbox (tenant_id, run_id, seq, kind, name, data, used, step)
           VALUES ($1, $2, $3, 'SIGNAL', 'paid', $4, $5, $6)""",
        tenant,
        run,
        seq,
        orjson.dumps({"payload": payload}).decode(),
        used,
        step,
    )


def signal(seq: int, payload: Any, step: str | None = None) -> dict[str, Any]:
    said = {"seq": seq, "kind": "SIGNAL", "step": step, "name": "paid", "data": {"payload": payload}}
    return said | {"at": ANY}


async def test_a_claim_hands_over_the_messages_that_are_not_used_up(world: World) -> None:
    tenant = await world.tenant("one")
    job, silent = await world.queued(tenant), await world.queued(tenant)
    await say(world, tenant, job[0], "old", used=True)
    await say(world, tenant, job[0], [1, 2])
    await say(world, tenant, job[0], None, step="b")
    spoken, quiet = (await world.claim(new_id(), job, silent))["claims"]
    assert (spoken["inbox_seq"], spoken["inbox"]) == (3, [signal(2, [1, 2]), signal(3, None, "b")])
    assert datetime.fromisoformat(spoken["inbox"][0]["at"]) == await world.admin.fetchval(
        "SELECT created_at FROM inbox WHERE seq = 2"
    )
    assert (quiet["inbox_seq"], quiet["inbox"]) == (0, [])
    assert (quiet["pause"], quiet["compensating"], quiet["depth"], quiet["undoes"]) == (False, None, 0, None)


async def test_a_message_that_comes_after_the_row_was_read_is_left_to_a_heartbeat(world: World) -> None:
    """rule seen_no_newer_than_rows: told of it here, its holder would not ask for what came between, or park for it."""
    tenant = await world.tenant("one")
    run, _ = await world.queued(tenant)
    await say(world, tenant, run, 1)
    row = await world.pool.fetchrow(_sql.holders, [run])
    await say(world, tenant, run, 2)
    given, _ = await Handover(world.pool, world.credentials, PlainCallbacks()).of([row], [])
    assert given[run]["inbox_seq"] == 1
    assert [message["seq"] for message in given[run]["inbox"]] == [1]


async def test_a_checkpoint_hands_over_all_that_a_claim_does(world: World) -> None:
    tenant = await world.tenant("one")
    job = run, _ = await world.queued(tenant)
    origin, second = new_id(), new_id()
    await world.claim(new_id(), job)
    await world.admin.execute("DELETE FROM runners")
    await say(world, tenant, run, 1)
    await undoing(world, run)
    await set_run(world, run, pause_requested=True, depth=2, undoes_run_id=origin)
    await world.admin.execute(
        """INSERT INTO step_runs (tenant_id, run_id, key, status, wait, round, items, done_epoch, done_seq)
           VALUES ($1, $2, 'a', 'WAITING', '{"kind": "TIMER"}', 4, 7, 1, 9)""",
        tenant,
        run,
    )
    assert await world.outcome(second, job) == "TAKEOVER"
    await set_run(world, run, fence_epoch=2)
    body = {"runs": [{"run_id": str(run), "epoch": 2}], "wait": 0}
    passed = (await world.post("checkpoints", second, **body))["runs"][0]
    assert passed["outcome"] == "PASSED"
    assert passed["compensating"] == UNDOING
    assert (passed["pause"], passed["depth"], passed["undoes"]) == (True, 2, str(origin))
    assert (passed["inbox_seq"], passed["inbox"]) == (1, [signal(1, 1)])
    step = passed["steps"][0]
    assert {name: step[name] for name in ("wait", "round", "items", "done_epoch", "done_seq")} == {
        "wait": {"kind": "TIMER"},
        "round": 4,
        "items": 7,
        "done_epoch": 1,
        "done_seq": 9,
    }


async def test_a_claim_and_a_checkpoint_tell_of_a_cancel(world: World) -> None:
    """rule claim_tells_cancel: who knows of it begins nothing; a heartbeat may come after the first call."""
    job = run, _ = await world.queued(await world.tenant("one"))
    await set_run(world, run, cancel_requested=True)
    (granted,) = (await world.claim(new_id(), job))["claims"]
    assert (granted["outcome"], granted["cancel"]) == ("GRANTED", True)
    second = new_id()
    await world.admin.execute("DELETE FROM runners")
    assert await world.outcome(second, job) == "TAKEOVER"
    await set_run(world, run, fence_epoch=2)
    body = {"runs": [{"run_id": str(run), "epoch": 2}], "wait": 0}
    passed = (await world.post("checkpoints", second, **body))["runs"][0]
    assert (passed["outcome"], passed["cancel"]) == ("PASSED", True)


async def test_a_run_that_is_being_undone_is_claimed_and_stays_so(world: World) -> None:
    tenant = await world.tenant("one")
    parked, held = await world.queued(tenant), await world.queued(tenant)
    await undoing(world, parked[0])
    assert await world.outcome(new_id(), parked) == "GRANTED"
    await world.claim(new_id(), held)
    await undoing(world, held[0])
    await world.admin.execute("UPDATE runners SET lease_until = now()")
    assert await world.sweeper.sweep() == 2
    assert await world.outcome(new_id(), held) == "TAKEOVER"
    statuses = await world.admin.fetch("SELECT status FROM runs")
    assert [row["status"] for row in statuses] == ["COMPENSATING"] * 2


async def test_undoing_that_ends_its_runners_is_set_aside_even_when_it_was_canceled(world: World) -> None:
    job = await world.queued(await world.tenant("one"))
    await undoing(world, job[0])
    await set_run(world, job[0], cancel_requested=True)
    outcomes = []
    for _ in range(7):
        runner = new_id()
        claim = (await world.claim(runner, job, alone=True))["claims"][0]
        outcomes.append(claim["outcome"])
        if claim["outcome"] == "TAKEOVER":
            outcomes[-1] = await world.passed(runner, job[0], claim["epoch"])
        await world.lease_is_over(runner)
    assert outcomes == ["GRANTED", *["PASSED"] * 5, "CLOSED"]
    row = await world.admin.fetchrow("SELECT status, wait_reason FROM runs")
    assert tuple(row) == ("COMPENSATING", "DEAD_LETTER")
    assert await world.outcome(new_id(), job, alone=True) == "REFUSED"


async def test_a_paused_run_is_neither_claimed_nor_swept(world: World) -> None:
    job = await world.queued(await world.tenant("one"))
    await set_run(world, job[0], status="PAUSED", pause_requested=True)
    await world.admin.execute("DELETE FROM dispatches")
    assert await world.outcome(new_id(), job) == "REFUSED"
    assert await world.sweeper.sweep() == 0


async def test_a_heartbeat_tells_the_holder_of_pauses_and_of_new_messages(world: World) -> None:
    tenant = await world.tenant("one")
    paused, spoken, lost = [await world.queued(tenant) for _ in range(3)]
    holder = new_id()
    await world.claim(holder, paused, spoken, lost)
    await set_run(world, paused[0], pause_requested=True)
    for payload in ("a", "b", "c"):
        await say(world, tenant, spoken[0], payload, step="b" if payload == "c" else None)
        await say(world, tenant, lost[0], payload)
    await set_run(world, lost[0], claimed_by=new_id())
    held = [paused[0], spoken[0], lost[0]]
    news = await world.beat(holder, *held, inbox_seen={spoken[0]: 1})
    assert (news["paused"], news["canceled"], news["lost"]) == ([str(paused[0])], [], [str(lost[0])])
    assert news["inbox"] == {str(spoken[0]): [signal(2, "b"), signal(3, "c", "b")]}
    await world.admin.execute("UPDATE inbox SET used = true WHERE seq = 2")
    assert (await world.beat(holder, *held))["inbox"] == {
        str(spoken[0]): [signal(1, "a"), signal(3, "c", "b")]
    }
    assert (await world.beat(holder, *held, inbox_seen={spoken[0]: 3}))["inbox"] == {}


async def test_runs_that_may_be_called_back_get_their_addresses(world: World) -> None:
    steps = [
        {"key": "a", "type": "transform"},
        {"key": "b", "type": "signal"},
        {"key": "c", "type": "signal"},
    ]
    tenant = await world.tenant("one", document={"steps": steps})
    job, plain = await world.queued(tenant), await world.queued(await world.tenant("two"))
    first, second = new_id(), new_id()
    called, other = (await world.claim(first, job, plain))["claims"]
    expected = {key: f"{tenant}/{job[0]}/{key}" for key in ("b", "c")}
    assert called["callbacks"] == expected
    assert "callbacks" not in other
    await world.lease_is_over(first)
    assert await world.outcome(second, job) == "TAKEOVER"
    await set_run(world, job[0], fence_epoch=2)
    body = {"runs": [{"run_id": str(job[0]), "epoch": 2}], "wait": 0}
    passed = (await world.post("checkpoints", second, **body))["runs"][0]
    assert passed["callbacks"] == expected


async def test_a_heartbeat_brings_large_messages_a_few_at_a_time(world: World) -> None:
    """What takes too long to bring would cost the runner its lease, and all its runs."""
    tenant = await world.tenant("one")
    job = run, _ = await world.queued(tenant)
    holder = new_id()
    await world.claim(holder, job)
    for _ in range(5):
        await say(world, tenant, run, "x" * 1024 * 1024)
    came: list[list[int]] = []
    cut_off: list[list[str]] = []
    while len(came) < 3:
        seen = came[-1][-1] if came else 0
        news = await world.beat(holder, run, inbox_seen={run: seen})
        came.append([message["seq"] for message in news["inbox"][str(run)]])
        cut_off.append(news["cut_off"])
    assert came == [[1, 2], [3, 4], [5]]
    assert cut_off == [[str(run)], [str(run)], []]
