"""Each service of the release before is replaced by this one's while runs go on: none fails, no call is made twice."""

import asyncio
import json
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiohttp import web
from databases import fresh_database
from designer import Designer
from fixtures_fleet import PARTITIONS
from fleet import Backends, Service
from headrace.postgres.migrate import migrate
from headrace.postgres.migrations import Phase, read_migrations
from headrace.postgres.release import SCHEMA
from previous_release import PreviousFleet, unpacked
from target import Call, Target

MIGRATIONS = "headrace_control.migrations"
FIRST = {"key": "one", "action": "shop/one", "input": {"run": "{{ run.id }}"}}
# Runs that may last are published only where each call says how it is undone, or that it need not be.
KEYED = {"idempotency": {"mode": "KEY"}, "reversibility": "REVERSIBLE"}
ONCE_MORE = {"strategy": "FIXED", "maxAttempts": 3, "initialDelayMs": 100, "maxDelayMs": 1000}


def call(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "action": f"shop/{key}", "input": {"run": "{{ run.id }}"}, **more}


# What begins all the while, and how it ends.
WORKFLOWS = {
    "chain": ("SUCCESS", {"steps": [call("one"), call("two"), call("three")]}),
    "sleeper": (
        "SUCCESS",
        {"steps": [call("one"), {"key": "nap", "type": "wait", "wait": {"forMs": 1500}}, call("two")]},
    ),
    "parent": (
        "SUCCESS",
        {"steps": [{"key": "child", "type": "workflow", "workflow": "chain"}, call("one")]},
    ),
    "retried": ("SUCCESS", {"steps": [call("busy", retry=ONCE_MORE), call("one")]}),
    "undone": (
        "FAILED",
        {
            "steps": [
                call("one", compensate={"action": "shop/undo", "input": {"run": "{{ run.id }}"}}),
                call("refused"),
            ]
        },
    ),
}
# What begins before the upgrade, and is brought on when it is over.
PATIENT = {
    "steps": [
        call("one"),
        {"key": "asked", "type": "approval", "approval": {"title": "go on?"}},
        {"key": "told", "type": "signal", "signal": {"name": "ready"}},
        call("two"),
    ]
}
_START = """mutation ($workflow: String!, $key: String) {
    startRun(workflow: $workflow, idempotencyKey: $key) { ... on Run { id } ... on Failure { code message } } }"""
_PUBLISH = "mutation ($document: JSON!) { publishWorkflow(document: $document) { ok: __typename ...Failed } }"


class Load:
    """A client that starts runs all the while, and asks again under the same key until it has an answer."""

    def __init__(self, fleet: PreviousFleet) -> None:
        self._fleet, self._stopping = fleet, asyncio.Event()
        self.wanted: dict[str, str] = {}

    async def run(self, at_once: int) -> None:
        async def client(number: int) -> None:
            names = list(WORKFLOWS)
            turn = number
            while not self._stopping.is_set():
                await self.start(names[turn % len(names)])
                turn += 1
                await asyncio.sleep(0.25)  # a rate that leaves the machine to the services

        await asyncio.gather(*(client(number) for number in range(at_once)))

    def stop(self) -> None:
        self._stopping.set()

    async def start(self, workflow: str) -> str:
        key = uuid.uuid4().hex
        async with asyncio.timeout(60):
            while True:
                try:
                    answer = await self._fleet.http.post(
                        "/graphql",
                        json={"query": _START, "variables": {"workflow": workflow, "key": key}},
                        headers={"authorization": f"Bearer {self._fleet.api_key}"},
                    )
                    run = answer.json()["data"]["startRun"]
                    break
                except (httpx.TransportError, json.JSONDecodeError, KeyError, TypeError):
                    await asyncio.sleep(0.1)
        self.wanted[run["id"]] = WORKFLOWS.get(workflow, ("SUCCESS", None))[0]
        return str(run["id"])


class Upgrade:
    """The services of a deployment, each of this release or of the one before."""

    def __init__(self, fleet: PreviousFleet, load: Load) -> None:
        self._fleet, self._load = fleet, load
        self._old: dict[str, Service] = {}

    async def begin(self) -> None:
        """Everything of the release before."""
        fleet = self._fleet
        self._old["control_plane"] = await fleet.control_plane(**fleet.before)
        self._old["runner"], self._old["reporter"] = await asyncio.gather(
            fleet.runner(**fleet.before), fleet.reporter(**fleet.before)
        )

    async def replace(self, name: str) -> None:
        """Two releases side by side for a while, and then the newer one alone."""
        fleet = self._fleet
        match name:
            case "control_plane":
                await fleet.another_control_plane()
            case "reporter":
                await fleet.reporter()
            case "runner":
                await fleet.runner()
        await self.under_load()
        assert await self._old.pop(name).stop() == 0
        if name == "control_plane":
            await fleet.control_plane()  # clients and runners know its address

    async def under_load(self, runs: int = 10) -> None:
        """Until so many runs that begin from now on have ended."""
        known = set(self._load.wanted)
        db = await asyncpg.connect(self._fleet.backends.database_url)
        try:
            async with asyncio.timeout(60):
                while True:
                    new = [uuid.UUID(i) for i in self._load.wanted if i not in known]
                    ended = "SELECT count(*) FROM runs WHERE id = ANY($1) AND finished_at IS NOT NULL"
                    if await db.fetchval(ended, new) >= runs:
                        return
                    await asyncio.sleep(0.1)  # asked from outside: nothing tells of a run's end
        except TimeoutError:
            raise AssertionError(self._fleet.last_words(4000)) from None
        finally:
            await db.close()


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[str]:
    """One with nothing in it: the schema is the business of the release before."""
    async with fresh_database(postgres) as dsn:
        yield dsn


@pytest.fixture
async def upgrade(
    backends: Backends, tmp_path: Path
) -> AsyncIterator[tuple[PreviousFleet, Load, Upgrade, Target]]:
    before = tmp_path / "before"
    before.mkdir()
    PreviousFleet.before = {"PYTHONPATH": unpacked(before)}
    settings = {"HEADRACE_PARTITIONS": str(PARTITIONS), "HEADRACE_PARK_RETRIES_AFTER_SECONDS": "0.05"}
    async with PreviousFleet(backends, tmp_path, settings) as fleet, Target() as target:
        load = Load(fleet)
        yield fleet, load, Upgrade(fleet, load), target


@pytest.mark.timeout(240)
@pytest.mark.parametrize("backends", [os.environ.get("HEADRACE_TEST_PROFILE", "embedded")], indirect=True)
async def test_each_service_is_replaced_while_runs_go_on(
    upgrade: tuple[PreviousFleet, Load, Upgrade, Target], backends: Backends
) -> None:
    fleet, load, services, target = upgrade
    await services.begin()
    await designed(fleet, target)
    patient = await load.start("patient")
    loading = asyncio.create_task(load.run(at_once=3))
    try:
        await services.under_load(5)
        assert await migrate(fleet.backends.database_url, MIGRATIONS)
        await services.under_load()  # the release before, on the schema of this one
        for name in ("control_plane", "reporter", "runner"):
            await services.replace(name)
        await migrate(fleet.backends.database_url, MIGRATIONS, Phase.CONTRACT)
        await services.under_load(5)
    finally:
        load.stop()
    await loading
    designer = Designer(fleet)
    await designer.ended(patient, wanted={"WAITING"})
    await designer.decide(patient, "asked", "APPROVE")
    await designer.signal(patient, "ready")
    await designer.ended(patient)
    statuses = await all_ended(backends.database_url, load.wanted)
    assert {i: s for i, s in statuses.items() if s != load.wanted[i]} == {}, fleet.last_words()
    twice = {
        key: count
        for key, count in Counter((c.path, c.key) for c in target.calls if c.path != "/busy").items()
        if count > 1
    }
    assert twice == {}, fleet.last_words()


async def all_ended(database_url: str, runs: Iterable[str]) -> dict[str, str]:
    """How each of the runs is, once all of them have ended, or after a minute."""
    ids = [uuid.UUID(run_id) for run_id in runs]
    db = await asyncpg.connect(database_url)
    try:
        for _ in range(600):
            rows = await db.fetch("SELECT id, status, finished_at FROM runs WHERE id = ANY($1)", ids)
            if all(row["finished_at"] for row in rows):
                break
            await asyncio.sleep(0.1)  # asked from outside: nothing tells of the last run's end
        return {str(row["id"]): row["status"] for row in rows}
    finally:
        await db.close()


async def designed(fleet: PreviousFleet, target: Target) -> None:
    seen: set[bytes] = set()

    async def busy(called: Call) -> web.StreamResponse:
        first = called.body not in seen
        seen.add(called.body)
        return web.json_response({}, status=503 if first else 200)

    target.answers["/busy"] = busy
    target.on("/refused", 422)
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    for key in ("one", "two", "three", "busy", "refused", "undo"):
        await designer.action("shop", key, "POST", f"/{key}", **KEYED)
    documents = {"patient": PATIENT, **{name: document for name, (_, document) in WORKFLOWS.items()}}
    for name, document in documents.items():
        await designer.mutate(_PUBLISH, document={"workflow": name, **document})


def test_the_numbers_of_this_release_are_above_those_of_the_one_before(tmp_path: Path) -> None:
    unpacked(tmp_path)
    folder = tmp_path / "services" / "control-plane" / "headrace_control" / "migrations"
    before = {file.name for file in folder.glob("*.sql")}
    ours = {migration.name for migration in read_migrations(MIGRATIONS)}
    assert before <= ours
    assert max(before) < min(ours - before, default=f"{SCHEMA + 1:04}")
