"""A real Prometheus scrapes a real fleet at work: each panel's query returns data, each alert's query is executed; and
what the fleet shows is what the docs list."""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import servers
import yaml
from collector import Collector
from designer import Designer
from fleet import Fleet
from target import Target

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
ALERTS = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
PANELS = [
    (panel["title"], target["expr"])
    for file in sorted((FOLDER / "dashboards").glob("*.json"))
    for panel in json.loads(file.read_text())["panels"]
    for target in panel["targets"]
]
# Of these nothing happened: no run was taken over.
CALM = {"Barrier of take-overs"}
RETRY = {"strategy": "FIXED", "maxAttempts": 3, "initialDelayMs": 50}


@pytest.fixture
def prometheus(tmp_path: Path) -> Callable[[dict[str, str]], AbstractContextManager[str]]:
    """Starts a Prometheus with our configuration, our instances in place of its own and a shorter interval."""
    module = servers.local("prometheus")
    if module.program() is None:
        servers.missing("no prometheus: python deploy/local install prometheus")

    def started(instances: dict[str, str]) -> AbstractContextManager[str]:
        configuration = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
        configuration["global"] = {"scrape_interval": "500ms", "evaluation_interval": "1s"}
        configuration["rule_files"] = [str(FOLDER / "alerts.yaml")]
        for job in configuration["scrape_configs"]:
            address = instances[job["job_name"]].removeprefix("http://")
            del job["dns_sd_configs"]
            job["static_configs"] = [{"targets": [address]}]
        file = tmp_path / "prometheus.yaml"
        file.write_text(yaml.safe_dump(configuration))
        running: AbstractContextManager[str] = module.running(file)
        return running

    return started


@pytest.mark.parametrize("backends", ["embedded"], indirect=True)
async def test_every_panel_shows_data_of_a_real_run(fleet: Fleet, target: Target, prometheus: Any) -> None:
    async with Collector() as collector:
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        await fleet.control_plane(**traced)
        runner = await fleet.runner(**traced)
        reporter = await fleet.reporter(**traced)
        instances = {
            "headrace-control-plane": fleet.operators,
            "headrace-runner": runner.health,
            "headrace-reporter": reporter.health,
        }
        with prometheus(instances) as url:
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as asked:
                await _shown(fleet, target, asked)


@pytest.mark.parametrize("backends", ["embedded"], indirect=True)
async def test_the_metrics_that_are_shown_are_those_that_are_listed(fleet: Fleet) -> None:
    async with Collector() as collector:
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        await fleet.control_plane(**traced)
        runner, reporter = await fleet.runner(**traced), await fleet.reporter(**traced)
        listed, shown = _listed(), set[str]()
        with contextlib.suppress(TimeoutError):
            async with httpx.AsyncClient(trust_env=False) as asked, asyncio.timeout(30):
                while not listed <= shown:  # figures that are read every few seconds come last
                    for url in (fleet.operators, runner.health, reporter.health):
                        text = (await asked.get(f"{url}/metrics")).text
                        shown |= set(re.findall(r"^# TYPE (headrace_\w+(?<!_created)) ", text, re.MULTILINE))
                    await asyncio.sleep(0.5)
        assert shown == listed


def _listed() -> set[str]:
    """The metrics of the table in docs/operations.md; `..._x` has the beginning of the one before it."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    page = page.partition("\n## Health and metrics\n")[2].partition("\n## ")[0]
    found = set[str]()
    for row in re.findall(r"^\| (`headrace_[^|]+) \|", page, re.MULTILINE):
        first = ""
        for name in re.findall(r"`([\w.]+)(?:\{[\w,]+\})?`", row):
            first = first or name
            found.add(name.replace("...", first.rpartition("_")[0]))
    return found


async def _shown(fleet: Fleet, target: Target, asked: httpx.AsyncClient) -> None:
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    await designer.action("shop", "ask", "GET", "/ask")
    await designer.action("shop", "slow", "GET", "/slow")
    step = {"key": "ask", "action": "shop/ask", "retry": RETRY}
    await designer.publish({"workflow": "asks", "steps": [step]})
    await designer.publish({"workflow": "slow", "steps": [{"key": "slow", "action": "shop/slow"}]})
    target.hold("/slow")
    held = await designer.start("slow")
    target.on("/ask", 503)
    ended = [await designer.ended(await designer.start("asks"))]
    target.on("/ask")
    # Rates need what they measure to happen between two scrapes, once its series is there.
    while len(ended) < 8:
        ended.append(await designer.ended(await designer.start("asks")))
        if len(ended) == 5:
            target.on("/ask", 503)
        # An address that nobody gave out is refused, and told.
        await fleet.http.post("/callbacks/" + "hrc_" + "x" * 60, json={})
        await asyncio.sleep(0.6)  # spread over several scrapes: a rate needs two
    assert {run["status"] for run in ended} == {"SUCCESS", "FAILED"}
    missing = PANELS
    async with asyncio.timeout(40):
        while missing:
            missing = [(title, query) for title, query in missing if not await _has_data(asked, title, query)]
            if missing:
                await asyncio.sleep(1)  # until the next scrape, which nothing tells of
                await designer.ended(await designer.start("asks"))
                await fleet.http.post("/callbacks/" + "hrc_" + "x" * 60, json={})
    target.release("/slow")
    await designer.ended(held)
    for alert in ALERTS:
        await _result(asked, alert["expr"])
    rules = (await asked.get("/api/v1/rules")).json()["data"]["groups"][0]["rules"]
    assert len(rules) == len(ALERTS)
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}


async def _has_data(asked: httpx.AsyncClient, title: str, query: str) -> bool:
    found = await _result(asked, query.replace("$__rate_interval", "1m"))
    values = [series["value"][1] for series in found]
    return bool(values) and (title in CALM or any(value != "NaN" for value in values))


async def _result(asked: httpx.AsyncClient, query: str) -> Any:
    answer = (await asked.get("/api/v1/query", params={"query": query})).json()
    assert answer["status"] == "success", (query, answer)
    return answer["data"]["result"]
