"""The runbook has a section for each scenario of the fault suite, and names none that is not there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
_SECTION = re.compile(r"^### (?P<title>.+)\n(?P<body>(?:(?!^#{1,3} ).*\n?)*)", re.MULTILINE)
SECTIONS = {found["title"]: found["body"] for found in _SECTION.finditer(RUNBOOK)}
WITH_SCENARIOS = {title: body for title, body in SECTIONS.items() if "\nScenarios: " in body}


def _scenarios() -> Iterator[str]:
    for file in sorted((ROOT / "tests" / "faults").glob("test_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield node.name


SCENARIOS = list(_scenarios())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_has_its_section(scenario: str) -> None:
    sections = [title for title, body in WITH_SCENARIOS.items() if f"`{scenario}`" in body]
    assert len(sections) == 1, "docs/runbook.md names it under `Scenarios:` of one section"


@pytest.mark.parametrize("title", WITH_SCENARIOS)
def test_a_section_says_what_is_seen_and_done_and_not_done(title: str) -> None:
    body = WITH_SCENARIOS[title]
    assert all(f"- **{part}**: " in body for part in ("Seen", "Do", "Do not"))
    named = re.findall(r"`(test_\w+)`", body.partition("\nScenarios: ")[2])
    assert sorted(set(named) - set(SCENARIOS)) == []


_EVENT = re.compile(r"`((?!headrace )[a-z][a-z ,]+ [a-z, ]+)`")
EVENTS = sorted({event for body in WITH_SCENARIOS.values() for event in _EVENT.findall(body)})


@pytest.fixture(scope="module")
def sources() -> str:
    files = [file for folder in ("libs", "services") for file in (ROOT / folder).rglob("*.py")]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize("event", EVENTS)
def test_a_log_line_is_one_that_a_service_writes(event: str, sources: str) -> None:
    assert f'"{event}"' in sources
