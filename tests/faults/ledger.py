"""What became of runs, told from outside: by the target's journal and by the tables of Postgres."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from target import Call

TALLIES_TITLE = ("scenario", "profile", "attempted", "ok", "lost", "duplicated", "recovered", "seconds")
ENDED = frozenset({"SUCCESS", "FAILED", "CANCELED"})


@dataclass(frozen=True)
class Tally:
    """A scenario's runs. `recovered`: they were under way when the fault happened, and are ok."""

    scenario: str
    profile: str
    attempted: int
    ok: int
    lost: int
    duplicated: int
    recovered: int
    seconds: float


@dataclass(frozen=True)
class Wanted:
    """Where a run has to arrive: a status, and in a wait its reason. `calls` are how often its steps are called,
    exactly, of those steps whose number of calls does not depend on chance."""

    status: str = "SUCCESS"
    reason: str | None = None
    calls: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Account:
    """All that Postgres and the journal know of one run."""

    run: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]  # as applied, in their order; the marks of take-overs are not kept
    steps: Mapping[str, Mapping[str, Any]]
    dispatches: int
    calls: Mapping[str, Sequence[str | None]]  # step to the idempotency keys of its calls

    @property
    def arrived(self) -> bool:
        """In a terminal state, or in a wait that nobody but a person ends."""
        return self.run["status"] in ENDED or (self.run["status"] == "WAITING" and not self.dispatches)

    def is_ok(self, wanted: Wanted) -> bool:
        return (self.run["status"], self.run["wait_reason"]) == (wanted.status, wanted.reason)

    def done_twice(self, wanted: Wanted) -> list[str]:
        """Why something of this run was done twice; nothing when all is well."""
        problems: list[str] = []
        begun: Counter[str] = Counter()
        done: set[str] = set()
        for event in self.events:
            step = event["step"]
            if event["kind"] == "started":
                begun[step] += 1
                if step in done:
                    problems.append(f"{step} began again after its completion was reported")
            if event["kind"] == "completed":
                if step in done:
                    problems.append(f"{step} was completed twice")
                done.add(step)
        for step, keys in self.calls.items():
            # Whoever calls has said so before, and had it confirmed. A call that no applied `started` stands for
            # was made by a runner that had lost its run.
            if len(keys) > begun[step]:
                problems.append(f"{step} was called {len(keys)} times and begun {begun[step]} times")
            for key in set(keys) - {None, f"{self.run['id']}-{step}"}:
                problems.append(f"{step} was called with the key {key}")
        for step, count in (wanted.calls or {}).items():
            if (made := len(self.calls.get(step, ()))) != count:
                problems.append(f"{step} was called {made} times, not {count}")
        ends = [e for e in self.events if e["kind"] in ("finished", "canceled")]
        if len(ends) > 1 or (ends and ends[0] is not self.events[-1]):
            problems.append("events were applied after the run's end")
        return problems

    def unsound(self) -> list[str]:
        """What an ended run has left behind that it should not."""
        run, problems = self.run, []
        if run["status"] not in ENDED:
            return []
        if self.dispatches or run["claimed_by"] is not None:
            problems.append("a dispatch or a claim is left of an ended run")
        if run["finished_at"] is None:
            problems.append("an ended run has no time of its end")
        last = self.events[-1] if self.events else None
        if last and (run["fence_epoch"], run["fence_seq"]) < (last["epoch"], last["seq"]):
            problems.append("an event above the fence was applied")
        if run["status"] == "SUCCESS":
            problems += [f"{k} is {s['status']}" for k, s in self.steps.items() if s["status"] != "SUCCESS"]
        return problems


async def all_arrived(database_url: str, run_ids: Iterable[str]) -> bool:
    """Whether every run has `arrived`; asked often, so of two tables alone."""
    connection = await asyncpg.connect(database_url)
    try:
        return not await connection.fetchval(
            """SELECT count(*) FROM runs r WHERE id = ANY($1) AND status <> ALL($2) AND NOT (status = 'WAITING'
               AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.run_id = r.id))""",
            [UUID(run_id) for run_id in run_ids],
            list(ENDED),
        )
    finally:
        await connection.close()


async def read(database_url: str, run_ids: Iterable[str], journal: Sequence[Call]) -> dict[str, Account]:
    """The accounts of runs, all tables in one snapshot. A call names its run in its body, `run`."""
    ids = [UUID(run_id) for run_id in run_ids]
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            runs = await connection.fetch("SELECT * FROM runs WHERE id = ANY($1)", ids)
            events = await connection.fetch(
                "SELECT run_id, epoch, seq, kind, step FROM events WHERE run_id = ANY($1)"
                " ORDER BY run_id, epoch, seq",
                ids,
            )
            steps = await connection.fetch("SELECT * FROM step_runs WHERE run_id = ANY($1)", ids)
            dispatches = await connection.fetch("SELECT run_id FROM dispatches WHERE run_id = ANY($1)", ids)
    finally:
        await connection.close()
    calls: dict[str, dict[str, list[str | None]]] = defaultdict(lambda: defaultdict(list))
    for call in journal:
        if b'"run"' in call.body:
            calls[orjson.loads(call.body)["run"]][call.path[1:]].append(call.key)
    by_run: dict[Any, list[Any]] = defaultdict(list)
    for event in events:
        by_run[event["run_id"]].append(event)
    steps_of: dict[Any, dict[str, Any]] = defaultdict(dict)
    for step in steps:
        steps_of[step["run_id"]][step["key"]] = step
    waiting = Counter(row["run_id"] for row in dispatches)
    return {
        str(run["id"]): Account(
            dict(run), by_run[run["id"]], steps_of[run["id"]], waiting[run["id"]], calls[str(run["id"])]
        )
        for run in runs
    }


def printed(tallies: Sequence[Tally]) -> list[str]:
    """The lines of the table that the suite ends with."""
    total = Tally(
        f"{len(tallies)} scenarios",
        profile="",
        attempted=sum(t.attempted for t in tallies),
        ok=sum(t.ok for t in tallies),
        lost=sum(t.lost for t in tallies),
        duplicated=sum(t.duplicated for t in tallies),
        recovered=sum(t.recovered for t in tallies),
        seconds=sum(t.seconds for t in tallies),
    )
    width = max(len(t.scenario) for t in [*tallies, total])
    lines = []
    for row in [TALLIES_TITLE, *([getattr(t, n) for n in TALLIES_TITLE] for t in [*tallies, total])]:
        name, profile, *numbers, seconds = row
        seconds = seconds if isinstance(seconds, str) else f"{seconds:.1f}"
        lines.append(f"{name:<{width}}  {profile:<10}" + "".join(f"{n!s:>12}" for n in (*numbers, seconds)))
    return lines
