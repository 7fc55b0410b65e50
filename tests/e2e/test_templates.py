"""Each template runs to its success and through its rejection, months of it, against the storefront's office."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
import uvicorn
from designer import Designer
from fleet import Fleet
from headrace_cli.templates.catalogue import templates
from movable_clock import Calendar

from tests.e2e.template_cases import CASES, FORMS, LONGEST, NO_FORM, Case

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # What templates say is the same over either bus.
    pytest.mark.parametrize("module_fleet", ["embedded"], indirect=True, scope="module"),
    pytest.mark.timeout(240),
]
DEMO = Path(__file__).parents[2] / "docs" / "demo"
KEY = "the-key-of-the-office"
WEEK, MONTH = timedelta(days=8), timedelta(days=31)

_OPEN = "{ approvals(first: 200) { items { run { id } step } } }"
_UNFINISHED = """{ runs(first: 200, filter: {status: [QUEUED, RUNNING, WAITING, COMPENSATING]}) {
  items { id status waitReason workflow { name } } } }"""
_DECIDE = """mutation ($id: ID!, $step: String!, $decision: Verdict!, $form: JSON) {
  decideApproval(runId: $id, step: $step, decision: $decision, reason: "as agreed", form: $form) {
    ok: __typename ...Failed } }"""
_CLASS = (
    "query ($w: String!) { workflow(name: $w) { published { classification { class lacks { path } } } } }"
)


@dataclass(frozen=True)
class World:
    """All cases, run to their ends; `journal` is what the office saw."""

    designer: Designer
    runs: Mapping[str, Any]
    journal: Sequence[Mapping[str, Any]]

    def of(self, case: Case) -> list[Mapping[str, Any]]:
        return [entry for entry in self.journal if entry["order"] == case.name]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(module_fleet: Fleet) -> AsyncIterator[World]:
    designer = Designer(module_fleet)
    async with office() as url:
        await upkept(module_fleet.backends.database_url)
        await module_fleet.start_all()
        await apply(module_fleet, url)
        runs = {}
        for case in CASES:
            runs[case.name] = run = await designer.start(case.workflow, case=case.name, **case.input)
            for name, payload in case.signals.items():
                await designer.signal(run, name, payload)
        await carried_through(designer, module_fleet.backends.database_url, runs)
        async with httpx.AsyncClient(trust_env=False) as http:
            journal = (await http.get(f"{url}/journal")).json()["entries"]
        yield World(designer, {name: await designer.run(run) for name, run in runs.items()}, journal)


@contextlib.asynccontextmanager
async def office() -> AsyncIterator[str]:
    """The storefront, in this process."""
    sys.path.insert(0, str(DEMO))
    try:
        from storefront.app import create_app
        from storefront.credentials import Credentials
    finally:
        sys.path.remove(str(DEMO))
    credentials = Credentials(**dict.fromkeys(Credentials.__slots__, KEY))
    server = uvicorn.Server(uvicorn.Config(create_app(credentials), port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)  # nothing tells that it serves
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


async def apply(fleet: Fleet, url: str) -> None:
    """As a designer does who starts from all of them."""
    folder = fleet.folder / "templates"
    for template in templates():
        for path, text in template.files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    environment = {
        "PATH": os.environ["PATH"],
        "HEADRACE_URL": fleet.url,
        "HEADRACE_API_KEY": fleet.api_key,
        "OFFICE_URL": f"{url}/office",
        "OFFICE_KEY": KEY,
    }
    command = [sys.executable, "-m", "headrace_cli.main", "apply", "-f", str(folder), "--yes"]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def upkept(url: str) -> None:
    """Partitions for all months that will pass, which upkeep makes each hour in the course of them."""
    db = await asyncpg.connect(url)
    await db.execute("SELECT headrace_ensure_partitions(12)")
    await db.close()


async def nothing_due(url: str) -> bool:
    """Whether no run is about to be gone on with: none is held, and none is due by the database's clock."""
    db = await asyncpg.connect(url)
    try:
        return not await db.fetchval(
            """SELECT EXISTS (SELECT FROM dispatches WHERE due_at <= headrace_now())
               OR EXISTS (SELECT FROM runs WHERE claimed_by IS NOT NULL)"""
        )
    finally:
        await db.close()


async def carried_through(designer: Designer, url: str, runs: Mapping[str, str]) -> None:
    """People decide at once; when there is nothing to decide and nobody is at work, time passes."""
    calendar = Calendar(url)
    rejects = {runs[case.name]: case.rejects for case in CASES}
    decided: set[tuple[str, str]] = set()
    async with asyncio.timeout(200):
        while True:
            asked = (await designer.do(_OPEN))["approvals"]["items"]
            for one in asked:
                run, step = one["run"]["id"], one["step"]
                if (run, step) in decided:
                    continue
                decided.add((run, step))
                decision = "REJECT" if rejects.get(run) == step else "APPROVE"
                form = FORMS.get(step, {}) if decision == "APPROVE" else None
                form = None if step in NO_FORM else form
                await designer.mutate(_DECIDE, id=run, step=step, decision=decision, form=form)
            left = (await designer.do(_UNFINISHED))["runs"]["items"]
            if not left:
                return
            idle = all(run["waitReason"] in ("TIMER", "SIGNAL", "CHILD") for run in left)
            if idle and not asked and await nothing_due(url):
                slow = all(run["workflow"]["name"] == LONGEST for run in left)
                await calendar.pass_on(MONTH if slow else WEEK)
            await asyncio.sleep(0.1)  # asked from outside, as a person would


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_template_ends_as_it_says_and_leaves_what_it_should(world: World, case: Case) -> None:
    run = world.runs[case.name]
    ended = (run["status"], (run["error"] or {}).get("code", ""))
    assert ended == (("FAILED", case.code) if case.code else ("SUCCESS", "")), run
    entries = world.of(case)
    keys = Counter(entry["idempotencyKey"] for entry in entries)
    assert set(keys.values()) <= {1}, "each call was made once"
    assert all(entry["status"] < 300 for entry in entries)
    undoing = [entry for entry in entries if entry["idempotencyKey"].endswith(".undo")]
    doing = [entry for entry in entries if entry not in undoing]
    assert sorted(entry["operation"] for entry in doing) == sorted(case.done)
    assert entries == doing + undoing, "nothing new is done once undoing has begun"
    seen = [entry["operation"] for entry in undoing]
    for group in case.undone:
        wanted = [group] if isinstance(group, str) else [*group]
        assert Counter(seen[: len(wanted)]) == Counter(wanted)
        del seen[: len(wanted)]
    assert seen == []
    # Each undo is of a step that was done, and each of these is undone once.
    steps = Counter(step_of(entry) for entry in doing)
    assert Counter(step_of(entry).removesuffix(".undo") for entry in undoing) <= steps
    await world.designer.verified(run["id"])


def step_of(entry: Mapping[str, Any]) -> str:
    """A key is a run's id, and the step's row: what is undone of a child has the id of the run that undoes it."""
    return str(entry["idempotencyKey"])[37:]


async def test_the_long_ones_are_long_lived_and_lack_nothing(world: World) -> None:
    medium = {"lead-qualification", "compliance-scan", "evidence-pack"}
    for template in templates():
        found = await world.designer.do(_CLASS, w=template.name)
        classed = found["workflow"]["published"]["classification"]
        assert classed["class"] == ("MEDIUM_LIVED" if template.name in medium else "LONG_LIVED")
        if template.name not in medium:
            assert classed["lacks"] == []
