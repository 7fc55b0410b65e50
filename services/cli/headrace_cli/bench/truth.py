"""Independent counts of what was done, from the target, Postgres and the log store."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import aiohttp
import asyncpg
from headrace.ids import lowest_id
from pymongo import AsyncMongoClient

from headrace_cli.bench.report import Check
from headrace_cli.bench.servers import ProfileName, Servers
from headrace_cli.bench.target import JOURNAL
from headrace_cli.bench.work import Work

_RUNS = "SELECT status, count(*) FROM runs WHERE id >= $1 GROUP BY status"
_STEPS = "SELECT status, count(*) FROM step_runs WHERE run_id >= $1 GROUP BY status"
_ATTEMPTS = "SELECT count(*) FROM attempts WHERE run_id >= $1"
_LETTERS = "SELECT count(*) FROM dead_letters"
# Log records are written beside the runs: those that there are are all when they can be, and no more came for a while.
_QUIET_SECONDS, _GIVE_UP_SECONDS = 2.0, 30.0
_ASK_SECONDS, _PAUSE_BY_COUNT = 0.1, 10


class Truth:
    """Remembers what was started since `since`, and holds it against what was counted elsewhere."""

    def __init__(self, servers: Servers, db: asyncpg.Connection, target: str, since: datetime) -> None:
        self._servers = servers
        self._db = db
        self._target = target
        self._since = lowest_id(since)
        self._done: Counter[str] = Counter()
        self._works: dict[str, Work] = {}
        self._records: dict[str, int] = {}
        self._more_records = 0

    def ran(self, work: Work, runs: int) -> None:
        """So many more runs of `work` have to be found."""
        self._works[work.name] = work
        self._done[work.name] += runs

    def wrote(self, records: int) -> None:
        """So many more log records have to be found, of no run."""
        self._more_records += records

    async def learn_records(self, work: Work, runs: int, before: int) -> Check:
        """How many log records a run of `work` writes, from the first few of them; the same number by each."""
        alike = await self._settled(lambda now: now > before and (now - before) % runs == 0, _QUIET_SECONDS)
        found = alike - before
        self._records[work.name] = found // runs
        return Check(
            name=f"log records of {runs} runs of {work.name} not alike", expected=0, found=found % runs
        )

    async def checks(self) -> list[Check]:
        """All that has to agree, each with what was expected and what was found."""
        runs = sum(self._done.values())
        steps: Counter[str] = Counter()
        calls = attempts = 0
        for name, work in self._works.items():
            calls += work.calls * self._done[name]
            attempts += (work.calls if work.attempts is None else work.attempts) * self._done[name]
            for status, rows in work.steps.items():
                steps[status] += rows * self._done[name]
        found_runs = {row[0]: row[1] for row in await self._db.fetch(_RUNS, self._since)}
        found_steps = {row[0]: row[1] for row in await self._db.fetch(_STEPS, self._since)}
        journal = await self.journal()
        return [
            Check(name="runs", expected=runs, found=sum(found_runs.values())),
            Check(name="runs in SUCCESS", expected=runs, found=found_runs.get("SUCCESS", 0)),
            *(
                Check(name=f"steps in {status}", expected=steps[status], found=found_steps.get(status, 0))
                for status in sorted(steps.keys() | found_steps.keys())
            ),
            Check(name="attempts", expected=attempts, found=await self._db.fetchval(_ATTEMPTS, self._since)),
            Check(name="calls at the target", expected=calls, found=sum(journal["calls"].values())),
            Check(name="idempotency keys at the target", expected=calls, found=journal["keys"]),
            Check(name="calls made again", expected=0, found=journal["repeated"]),
            Check(name="dead letters", expected=0, found=await self._db.fetchval(_LETTERS)),
            Check(name="log records", expected=self._written, found=await self.stored()),
        ]

    async def journal(self) -> Any:
        """What the target has counted."""
        async with aiohttp.ClientSession() as http, http.get(self._target + JOURNAL) as answer:
            return await answer.json()

    async def stored(self) -> int:
        """Log records in the store, once all have come, or no more come."""
        return await self._settled(lambda now: now == self._written, 0.0)

    @property
    def _written(self) -> int:
        """How many log records there have to be."""
        return self._more_records + sum(
            self._records.get(name, 0) * runs for name, runs in self._done.items()
        )

    async def records(self) -> int:
        """Log records in the store."""
        if self._servers.profile is ProfileName.EMBEDDED:
            return int(await self._db.fetchval("SELECT count(*) FROM log_records"))
        async with AsyncMongoClient[dict[str, object]](self._servers.log_store_url) as client:
            # Kept by the store: no reading of all records, which some servers of the protocol would do.
            return await client.get_default_database()["log_records"].estimated_document_count()

    async def _settled(self, is_all: Callable[[int], bool], after: float) -> int:
        """The number of log records: once `is_all` and it has not changed for `after` seconds, or for very long."""
        clock = asyncio.get_running_loop().time
        found, since = await self.records(), clock()
        while clock() - since < (after if is_all(found) else _GIVE_UP_SECONDS):
            asked = clock()
            now = await self.records()
            if now != found:
                found, since = now, clock()
            # Counting many records takes a while, and takes it from what is measured.
            await asyncio.sleep(max(_ASK_SECONDS, (clock() - asked) * _PAUSE_BY_COUNT))
        return found
