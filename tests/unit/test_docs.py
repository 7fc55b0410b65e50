"""The documentation against the code: links lead somewhere, names exist, generated pages are up to date."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import pytest
from headrace.telemetry.settings import TelemetrySettings
from headrace.workflow.state import MOVES_OF_RUN, MOVES_OF_STEP
from headrace.workflow.state_picture import run_picture, states_page, step_picture
from headrace_control.settings import ControlPlaneSettings
from headrace_reporter.settings import ReporterSettings
from headrace_runner.settings import RunnerSettings
from pydantic_settings import BaseSettings

from tests.model.rules import RULES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "deploy/**/*.md", "tests/**/*.md")
    for page in ROOT.glob(pattern)
    if not {"node_modules", ".venv"} & set(page.parts)
)
_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def _links(page: Path) -> Iterator[tuple[Path, str]]:
    """Each relative link of `page`: the file that it means, and the anchor in it."""
    for found in _LINK.finditer(_prose(page)):
        target = found[1] or found[2]
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            file, _, anchor = target.partition("#")
            yield (page.parent / unquote(file)).resolve() if file else page, anchor


def _anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make, as GitHub makes them."""
    anchors: set[str] = set()
    for heading in _HEADING.findall(_prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        numbered = (slug if n == 0 else f"{slug}-{n}" for n in range(len(anchors) + 1))
        anchors.add(next(name for name in numbered if name not in anchors))
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for file, anchor in _links(page):
        assert file.exists(), f"{file} is not there"
        assert file.is_relative_to(ROOT), f"{file} is outside of the project"
        if anchor:
            assert anchor in _anchors(file), f"{file.name} has no heading for #{anchor}"


def test_every_page_is_reached_from_the_map() -> None:
    reached, waiting = set(), [DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting.extend(file for file, _ in _links(page) if file.suffix == ".md" and file.exists())
    assert sorted({page for page in PAGES if page.is_relative_to(DOCS)} - reached) == []


def test_the_states_page_is_drawn_from_the_table() -> None:
    assert (DOCS / "reference" / "states.md").read_text(encoding="utf-8") == states_page()


@pytest.mark.parametrize(
    ("picture", "moves"), [(run_picture(), MOVES_OF_RUN), (step_picture(), MOVES_OF_STEP)]
)
def test_a_picture_has_the_moves_of_its_table_and_no_others(
    picture: str, moves: Mapping[str, frozenset[str]]
) -> None:
    drawn = {tuple(line.split(" --> ")) for line in map(str.strip, picture.splitlines()) if "-->" in line}
    assert {arrow for arrow in drawn if "[*]" not in arrow} == {(a, b) for a in moves for b in moves[a]}


# -- the run protocol ----------------------------------------------------------------------------------------

_ROW = re.compile(
    r"^\| `(?P<rule>\w+)` \|(?P<says>[^|]+)\|(?P<places>[^|]+)\|(?P<tests>[^|]+)\|$", re.MULTILINE
)
_PLACE = re.compile(r"\[[^\]]+\]\((?P<file>[^)]+)\)(?P<names>(?:[ ,]*`\w+`)+)")


def _rows() -> dict[str, dict[str, str]]:
    page = (DOCS / "reference" / "protocol.md").read_text(encoding="utf-8")
    return {found["rule"]: found.groupdict() for found in _ROW.finditer(page)}


def _places(cell: str) -> Iterator[tuple[str, str]]:
    """Each (source text, name) that a cell of the table points at."""
    for found in _PLACE.finditer(cell):
        source = (DOCS / "reference" / found["file"]).resolve().read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", found["names"]):
            yield source, name


@pytest.mark.parametrize("rule", RULES)
def test_a_rules_row_points_at_lines_that_exist(rule: str) -> None:
    row = _rows()[rule]
    places = list(_places(row["places"]))
    assert any(rule in source for source, _ in places), "no linked file names the rule"
    for source, name in places:
        assert re.search(rf"(def|-- name:) {name}\b", source), f"no {name} in the linked file"
    tests = list(_places(row["tests"]))
    assert tests or row["tests"].strip() == "model"
    for source, name in tests:
        assert f"def {name}(" in source, f"no test {name}"


# -- operations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [ControlPlaneSettings, RunnerSettings, ReporterSettings, TelemetrySettings]
)
def test_operations_lists_every_setting_with_its_default(settings: type[BaseSettings]) -> None:
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^### `{settings.__name__}`$(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    prefix = settings.model_config["env_prefix"]
    rows = dict(re.findall(rf"^\| `{prefix}(\w+)` \| ([^|]+) \|", section, re.MULTILINE))
    expected = {
        name.upper(): "required" if field.is_required() else _shown(field.default)
        for name, field in settings.model_fields.items()
    }
    assert rows == expected


def _shown(default: object) -> str:
    return "none" if default is None or default == "" else f"`{default}`"
