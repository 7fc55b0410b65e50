"""The restore drill: a backup is made while runs go on, everything is lost, and what was kept goes on elsewhere."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from backups import Kept, archived, dumped
from click.testing import Result
from designer import Designer
from fixtures_rabbitmq import delete_queues
from fleet import Backends, Fleet
from headrace.bus.names import Names
from headrace_cli.main import app
from pymongo import MongoClient
from target import Target
from typer.testing import CliRunner

PARTITIONS = 2
SETTINGS = {"HEADRACE_PARTITIONS": str(PARTITIONS), "HEADRACE_LEASE_SECONDS": "2"}
_SETTLE = """mutation ($run: ID!) { settleStep(runId: $run, step: "unsafe", outcome: SUCCEEDED, output: {}) {
  ok: __typename ...Failed } }"""


def call(key: str) -> dict[str, Any]:
    return {"key": key, "action": f"shop/{key}", "connection": "shop-main", "input": {"run": "{{ run.id }}"}}


WORKFLOWS: dict[str, Sequence[dict[str, Any]]] = {
    "quick": [call("one"), call("two")],
    "in-a-step": [call("one"), call("held"), call("two")],
    "in-doubt": [call("one"), call("unsafe"), call("two")],
    "asleep": [call("one"), {"key": "nap", "type": "wait", "wait": {"forMs": 10_000}}, call("two")],
    "asks": [call("one"), {"key": "asked", "type": "approval", "approval": {"title": "go on?"}}, call("two")],
}


@pytest.fixture(params=["dump", "point in time"])
async def kept(
    request: pytest.FixtureRequest, backends: Backends, postgres: str, tmp_path: Path
) -> AsyncIterator[Kept]:
    if request.param == "dump":
        async with dumped(backends.database_url, postgres, tmp_path) as kept:
            yield kept
    else:
        async with archived(tmp_path) as kept:
            yield kept


@pytest.mark.parametrize("backends", ["production"], indirect=True)
async def test_everything_is_lost_and_all_runs_go_on(
    backends: Backends, kept: Kept, target: Target, tmp_path: Path
) -> None:
    backends = replace(backends, database_url=kept.database_url)
    async with Fleet(backends, tmp_path, SETTINGS) as fleet:
        await fleet.start_all()
        designer = Designer(fleet)
        await design(designer, target)
        target.hold("/held")
        target.hold("/unsafe")
        done = await designer.start("quick")
        await designer.ended(done)
        runs = {name: await designer.start(name) for name in WORKFLOWS if name != "quick"}
        await asyncio.gather(target.called("/held"), target.called("/unsafe"))
        await until(
            backends.database_url,
            "SELECT count(*) = 2 FROM runs WHERE status = 'WAITING' AND claimed_by IS NULL",
            "SELECT count(*) = 2 FROM step_runs WHERE key IN ('held', 'unsafe') AND status = 'RUNNING'",
        )
        await kept.take()
        before = {(call.path, call.key) for call in target.calls}
        # What happens from now on will be forgotten.
        forgotten = await designer.start("quick")
        await designer.ended(forgotten)
        target.release("/held")
        await designer.ended(runs["in-a-step"])
        for service in fleet.services:
            await service.kill()
        # Of what was done behind the backup's back, these are done again, under the same keys.
        later = {(call.path, call.key) for call in target.calls} - before
        again = {call for call in later if call[1] and call[1].startswith(tuple(runs.values()))}
        again |= {("/held", f"{runs['in-a-step']}-held")}
        assert ("/two", f"{runs['in-a-step']}-two") in again
        target.release("/unsafe")
        await kept.lose()
        await lose_the_rest(backends)

        restored = await kept.bring_back()
        early = await command(restored)
        if await kept.end_recovery():
            assert early.exit_code == 2, early.output
            assert "still being recovered" in early.output
        said = await command(restored)
        done_anew = {"runs": len(runs), "deletedAgain": 0, "toBeDeleted": []}
        assert said.exit_code == 0, said.output
        assert json.loads(said.stdout) == done_anew
        fleet.move(replace(backends, database_url=restored))
        await fleet.start_all()
        await until(restored, "SELECT count(*) = 1 FROM runs WHERE wait_reason = 'IN_DOUBT'")
        await designer.mutate(_SETTLE, run=runs["in-doubt"])
        await designer.decide(runs["asks"], "asked", "APPROVE")
        for name, run_id in runs.items():
            run = await designer.ended(run_id)
            assert run["status"] == "SUCCESS", (name, run, fleet.last_words())
            await designer.verified(run_id)
        assert (await designer.run(done))["status"] == "SUCCESS"
        await until(restored, f"SELECT NOT EXISTS (SELECT FROM runs WHERE id = '{forgotten}')")
        well = await asyncio.to_thread(
            CliRunner().invoke, app, ["doctor", "--deployment", "--json"], env=dict(fleet.environment)
        )
        assert well.exit_code == 0, well.output
        assert {call.headers["x-api-key"] for call in target.calls} == {"shop-secret"}
    calls = Counter((call.path, call.key) for call in target.calls)
    # What had ended when the backup was made is not done again.
    assert {key: count for key, count in calls.items() if count > 1} == dict.fromkeys(again, 2)
    assert len(before) == 8


async def design(designer: Designer, target: Target) -> None:
    await designer.app("shop", target.url, {"kind": "API_KEY", "in": "header", "name": "x-api-key"})
    for key in ("one", "two", "held", "unsafe"):
        mode = "NONE" if key == "unsafe" else "KEY"
        await designer.action("shop", key, "POST", f"/{key}", idempotency={"mode": mode})
    await designer.connection("shop", "shop-main", {"apiKey": "shop-secret"})
    for name, steps in WORKFLOWS.items():
        await designer.publish({"workflow": name, "steps": steps})


async def command(database_url: str) -> Result:
    settings = {"HEADRACE_DATABASE_URL": database_url}
    return await asyncio.to_thread(CliRunner().invoke, app, ["restored", "--json"], env=settings)


async def until(database_url: str, *questions: str) -> None:
    """Wait until the database answers all of them with true."""
    db = await asyncpg.connect(database_url)
    try:
        async with asyncio.timeout(30):
            for question in questions:
                while not await db.fetchval(question):
                    await asyncio.sleep(0.05)  # asked from outside: nothing tells
    finally:
        await db.close()


async def lose_the_rest(backends: Backends) -> None:
    """The broker's queues, the log store."""
    await delete_queues(backends.bus_url, Names(PARTITIONS, backends.namespace))
    with MongoClient[dict[str, object]](backends.log_store_url) as client:
        client.drop_database(urlsplit(backends.log_store_url).path[1:])
