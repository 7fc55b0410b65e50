"""Twenty processes need a token of one connection at once: its provider sees one refresh, whatever it answers."""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio
from databases import fresh_database
from designer import Designer
from fixtures_fleet import backends_of
from fleet import Fleet

from tests.e2e.rotating_provider import Grant, RotatingProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROCESSES = 20
# The provider's pauses are below it, but for the slow one's.
DEADLINE = 1.0
CONNECTIONS = ("well", "slow", "forgiving", "twice", "error", "garbage", "lost", "refused", "crash")


@dataclass
class Asker:
    """A process that holds a run of its own, and asks one of the control planes."""

    process: asyncio.subprocess.Process
    port: int
    session: str
    run: dict[str, Any] = field(default_factory=dict)

    async def ask(self, path: str, body: Any) -> tuple[int, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        wanted = {"port": self.port, "path": path, "session": self.session, "body": body}
        self.process.stdin.write(json.dumps(wanted).encode() + b"\n")
        await self.process.stdin.drain()
        status, answer = json.loads(await self.process.stdout.readline())
        return status, answer


@dataclass
class Crowd:
    askers: Sequence[Asker]
    designer: Designer
    provider: RotatingProvider
    db: asyncpg.Connection
    fleet: Fleet
    ids: dict[str, str]

    async def ask(self, name: str, seen: int = 0, askers: Sequence[Asker] = ()) -> list[tuple[int, Any]]:
        """All at once ask for a newer token of the connection."""
        body = {"connection_id": self.ids[name], "seen_version": seen}
        askers = askers or self.askers
        return await asyncio.gather(*(a.ask("/internal/tokens", {**a.run, **body}) for a in askers))

    async def tokens(self, name: str, seen: int = 0) -> set[str]:
        answers = await self.ask(name, seen)
        assert {status for status, _ in answers} == {200}, answers
        return {answer.get("fields", {}).get("access_token", answer.get("error")) for _, answer in answers}

    async def later(self, name: str) -> None:
        """The time in which the endpoint is left alone goes by."""
        query = "UPDATE connections SET token_retry_at = now() WHERE id = $1"
        await self.db.execute(query, UUID(self.ids[name]))

    async def state(self, name: str) -> tuple[str, str | None, str | None]:
        query = "query ($n: String!) { connection(name: $n) { status tokenTrouble tokenError } }"
        shown = (await self.designer.do(query, n=name))["connection"]
        return shown["status"], shown["tokenTrouble"], shown["tokenError"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(
    request: pytest.FixtureRequest, postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Crowd]:
    """Twenty processes with a run each, before two control planes that share a database and nothing else."""
    settings = {"HEADRACE_TOKEN_ENDPOINT_SECONDS": str(DEADLINE), "HEADRACE_LEASE_SECONDS": "600"}
    async with (
        fresh_database(postgres, template) as database,
        backends_of(request, "embedded", database) as backends,
        Fleet(backends, tmp_path_factory.mktemp("fleet"), settings) as fleet,
        RotatingProvider() as provider,
    ):
        await fleet.control_plane()
        other = httpx.URL(await fleet.another_control_plane()).port
        designer, db = Designer(fleet), await asyncpg.connect(database)
        await _design(designer, provider)
        runs = [await designer.start("all") for _ in range(PROCESSES)]
        spawned = [
            asyncio.create_subprocess_exec(
                sys.executable,
                "-IS",
                str(Path(__file__).parent / "token_asker.py"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            for _ in runs
        ]
        askers = [
            Asker(process, (fleet.internal_port, other or 0)[n % 2], f"hrs_{secrets.token_urlsafe(32)}")
            for n, process in enumerate(await asyncio.gather(*spawned))
        ]
        enrolment = fleet._environment["HEADRACE_RUNNER_TOKEN"]
        for asker, run_id in zip(askers, runs, strict=True):
            await _enrol(asker, enrolment)
            dispatch = await db.fetchval("SELECT dispatch_id FROM runs WHERE id = $1", UUID(run_id))
            jobs = [{"run_id": run_id, "dispatch_id": str(dispatch)}]
            status, answer = await asker.ask("/internal/claims", {"call": 1, "capacity": 1, "jobs": jobs})
            claim = answer["claims"][0]
            assert (status, claim["outcome"]) == (200, "GRANTED"), answer
            asker.run = {"run_id": run_id, "epoch": claim["epoch"], "run_token": claim["run_token"]}
        ids = {row["name"]: str(row["id"]) for row in await db.fetch("SELECT name, id FROM connections")}
        yield Crowd(askers, designer, provider, db, fleet, ids)
        for asker in askers:
            asker.process.kill()
            await asker.process.wait()
        await db.close()


async def _design(designer: Designer, provider: RotatingProvider) -> None:
    auth = {"kind": "OAUTH2", "tokenUrl": provider.url, "grant": "REFRESH_TOKEN", "clientAuth": "POST"}
    await designer.app("ledger", "http://127.0.0.1:9", auth)
    await designer.action("ledger", "entries", "GET", "/entries")
    for name in CONNECTIONS:
        given = {"clientSecret": "s3cret", "refreshToken": f"refresh-{name}-0"}
        await designer.connection("ledger", name, given, {"clientId": name})
    steps = [{"key": name, "action": "ledger/entries", "connection": name} for name in CONNECTIONS]
    await designer.publish({"workflow": "all", "steps": steps})


async def _enrol(asker: Asker, enrolment: str) -> None:
    session, asker.session = asker.session, enrolment
    status, answer = await asker.ask("/internal/sessions", {"runner_id": str(uuid4()), "session": session})
    assert status == 200, answer
    asker.session = session


def _spent(grant: Grant) -> list[str]:
    return [token for token, _ in grant.asked]


async def test_one_refresh_for_all(crowd: Crowd) -> None:
    grant = crowd.provider.grant("well")
    for turn in (1, 2, 3):
        assert await crowd.tokens("well", turn - 1) == {f"access-well-{turn}"}
        assert grant.asked == [(f"refresh-well-{n}", True) for n in range(turn)]
    assert await crowd.state("well") == ("READY", None, None)


async def test_an_answer_beyond_the_deadline_is_marked(crowd: Crowd) -> None:
    """The provider has rotated and the new token is lost: the next answer ends the grant, and then nobody asks."""
    grant = crowd.provider.grant("slow", pause=DEADLINE * 1.5)
    assert {status for status, _ in await crowd.ask("slow")} == {503}
    assert _spent(grant) == ["refresh-slow-0"]
    assert await crowd.state("slow") == ("FAILING", "TIMEOUT", None)
    assert {status for status, _ in await crowd.ask("slow")} == {503}
    assert _spent(grant) == ["refresh-slow-0"], "it is left alone for a while"
    await crowd.later("slow")
    grant.pause = 0.2
    for _ in range(2):
        (error,) = await crowd.tokens("slow")
        assert "rotate the connection's secret" in error
    assert _spent(grant) == ["refresh-slow-0"] * 2
    assert await crowd.state("slow") == ("NEEDS_AUTHORIZATION", "TIMEOUT", "invalid_grant")


async def test_a_provider_that_forgives_a_lost_answer_is_used_on(crowd: Crowd) -> None:
    grant = crowd.provider.grant("forgiving", fault="hang up", forgiving=True)
    assert {status for status, _ in await crowd.ask("forgiving")} == {503}
    assert await crowd.state("forgiving") == ("FAILING", "CONNECTION_LOST", None)
    await crowd.later("forgiving")
    grant.fault = ""
    assert await crowd.tokens("forgiving") == {"access-forgiving-1"}
    assert _spent(grant) == ["refresh-forgiving-0"] * 2
    assert await crowd.tokens("forgiving", 1) == {"access-forgiving-2"}
    assert await crowd.state("forgiving") == ("READY", None, None)


async def test_a_second_answer_is_nobodys(crowd: Crowd) -> None:
    """What comes after an answer is not taken for that of the next request on the connection."""
    grant = crowd.provider.grant("twice", fault="twice")
    for turn in (1, 2, 3):
        assert await crowd.tokens("twice", turn - 1) == {f"access-twice-{turn}"}
    assert [good for _, good in grant.asked] == [True] * 3


@pytest.mark.parametrize(
    ("name", "fault", "code"),
    [("error", "500", "HTTP_500"), ("garbage", "garbage", "BAD_RESPONSE")],
)
async def test_an_error_is_met_once(crowd: Crowd, name: str, fault: str, code: str) -> None:
    grant = crowd.provider.grant(name, fault=fault, forgiving=True)
    assert {status for status, _ in await crowd.ask(name)} == {503}
    assert len(grant.asked) == 1
    assert await crowd.state(name) == ("FAILING", code, None)
    await crowd.later(name)
    grant.fault = ""
    assert await crowd.tokens(name) == {f"access-{name}-1"}
    assert len(grant.asked) == 2
    assert await crowd.state(name) == ("READY", None, None)


async def test_a_grant_that_has_ended_is_met_once(crowd: Crowd) -> None:
    grant = crowd.provider.grant("refused", fault="invalid_grant")
    for _ in range(2):
        (error,) = await crowd.tokens("refused")
        assert "canary" not in error
    assert len(grant.asked) == 1
    assert await crowd.state("refused") == ("NEEDS_AUTHORIZATION", None, "invalid_grant")


async def test_a_control_plane_that_dies_while_it_asks_leaves_a_marked_connection(crowd: Crowd) -> None:
    """The last test: one control plane is gone afterwards."""
    grant = crowd.provider.grant("crash", pause=0.8)
    dying = [asker for asker in crowd.askers if asker.port != crowd.fleet.internal_port]
    living = [asker for asker in crowd.askers if asker.port == crowd.fleet.internal_port]
    lost = asyncio.create_task(crowd.ask("crash", askers=dying))
    await asyncio.wait_for(grant.came.wait(), 20)
    waiting = asyncio.create_task(crowd.ask("crash", askers=living))
    await crowd.fleet.services[1].kill()
    assert {status for status, _ in await lost} == {0}
    answers = await waiting
    assert {status for status, _ in answers} == {200}
    assert all("rotate the connection's secret" in answer["error"] for _, answer in answers)
    assert _spent(grant) == ["refresh-crash-0"] * 2
    assert await crowd.state("crash") == ("NEEDS_AUTHORIZATION", None, "invalid_grant")
