"""A deployment whose tenant's targets are hostile: each call comes to what its case says, and the runner stays well."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from designer import Designer, step
from fleet import Fleet

from tests.security.hostile_server import RESPONSES, load, running

# What a target answers is the runner's matter alone: which bus carries what it tells makes no difference.
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("module_fleet", ["embedded"], indirect=True, scope="module"),
]

CHOSEN = (
    "gzip-bomb",
    "brotli-bomb",
    "gzip-of-ten-thousand-empty-members",
    "endless-body",
    "endless-chunk-extension",
    "endless-100-continue",
    "endless-headers",
    "endless-empty-lines-before-the-status",
    "length-above-what-comes",
    "length-and-chunks",
    "transfer-encoding-gzip",
    "http-0-9",
    "tls-where-http-is-expected",
    "switching-protocols",
    "charset-punycode",
    "json-of-lists-a-hundred-thousand-deep",
    "json-1e999999",
    "json-lone-surrogates",
    "json-number-of-many-digits-and-a-fraction",
    "nul-only",
    "location-of-a-metadata-service",
    "location-file",
    "location-to-itself",
)
CASES = {case["name"]: case for case in load(RESPONSES)}
FORBIDDEN = (
    "http://10.0.0.1",
    "http://2852039166/latest",
    "http://0.0.0.0:{port}",
    "http://[64:ff9b:1::7f00:1]:{port}",
    "http://[::ffff:169.254.169.254]/latest",
)
MOST_CPU = 1.0  # seconds of the runner, for one run
MOST_MEMORY = 50.0  # megabytes


@dataclass(frozen=True)
class World:
    fleet: Fleet
    designer: Designer
    runner: int
    port: int


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(module_fleet: Fleet) -> AsyncIterator[World]:
    async with running() as port:
        await module_fleet.start_all()
        designer = Designer(module_fleet)
        await designer.app("hostile", f"http://127.0.0.1:{port}")
        # The target closes behind most of its answers without having said so: a request that meets the end of a kept
        # connection is lost, and made again.
        again = {"strategy": "FIXED", "maxAttempts": 3, "initialDelayMs": 100}
        limits = {"retry": again, "timeoutMs": 20_000}
        await designer.action("hostile", "case", "GET", "/case/{name}", **limits)
        await designer.action("hostile", "normal", "GET", "/normal", **limits)
        pages = {"items": "$.body", "nextLink": "header"}
        await designer.action("hostile", "pages", "GET", "/case/{name}", pagination=pages, **limits)
        for name, path in (("case", {"name": "{{ input.name }}"}), ("pages", {"name": "{{ input.name }}"})):
            call = {"key": "call", "action": f"hostile/{name}", "path": path}
            await designer.publish({"workflow": name, "steps": [call]})
        await designer.publish({"workflow": "normal", "steps": [{"key": "call", "action": "hostile/normal"}]})
        (runner,) = [service for service in module_fleet.services if service.name == "headrace_runner"]
        yield World(module_fleet, designer, runner.process.pid, port)


async def test_hostile_answers_end_their_runs_and_nothing_else(world: World) -> None:
    before, in_use = spent(world.runner), memory(world.runner)
    ids = [await world.designer.start("case", name=name) for name in CHOSEN]
    ended = await asyncio.gather(*(world.designer.ended(run_id) for run_id in ids))
    assert dict(zip(CHOSEN, map(told, ended), strict=True)) == {
        name: CASES[name]["expect"].get("code") for name in CHOSEN
    }
    assert spent(world.runner) - before < MOST_CPU * len(CHOSEN)
    assert memory(world.runner) - in_use < MOST_MEMORY
    normal = await world.designer.ended(await world.designer.start("normal"))
    assert step(normal, "call")["output"]["body"] == {"ok": True}


async def test_forbidden_base_urls_and_links_lead_nowhere(world: World) -> None:
    ids = []
    for number, base_url in enumerate(FORBIDDEN):
        app = f"forbidden-{number}"
        await world.designer.app(app, base_url.replace("{port}", str(world.port)))
        await world.designer.action(app, "read", "GET", "/x", retry={"strategy": "NONE"})
        await world.designer.publish({"workflow": app, "steps": [{"key": "call", "action": f"{app}/read"}]})
        ids.append(await world.designer.start(app))
    ids.append(await world.designer.start("pages", name="link-to-a-metadata-service"))
    ended = await asyncio.gather(*(world.designer.ended(run_id) for run_id in ids))
    assert [told(run) for run in ended] == ["EGRESS_DENIED"] * len(FORBIDDEN) + ["PAGINATION_OTHER_HOST"]
    dialled = [attempt["address"] for run in ended for attempt in step(run, "call")["attempts"]]
    assert dialled == [None] * len(FORBIDDEN) + ["127.0.0.1"]


def told(run: Any) -> str | None:
    error = step(run, "call")["error"]
    return error["code"] if error else None


def spent(process: int) -> float:
    """Seconds of CPU so far; 0 where the system does not tell."""
    stat = Path(f"/proc/{process}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> float:
    """Megabytes at most so far; 0 where the system does not tell."""
    status = Path(f"/proc/{process}/status")
    lines = status.read_text().splitlines() if status.exists() else ()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)
