"""A step type from another package: the example of docs/guides/add-a-step-type.md, installed and run."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from headrace.json_types import Json
from headrace.workflow.parse import parse_document
from headrace.workflow.validate import Catalog, validate_document
from headrace_control.workflows.step_types import installed_step_types
from headrace_runner.steps.protocol import StepServices
from headrace_runner.steps.registry import load_handlers

from tests.unit.runner.engines import Told, advanced, step_services

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "add-a-step-type.md"


def block(language: str) -> str:
    """The guide's one code block of a language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(text)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The guide's package as an installer leaves it; the type that it adds."""
    project = tomllib.loads(block("toml"))["project"]
    ((name, target),) = project["entry-points"]["headrace.steps"].items()
    module, _, _ = target.partition(":")
    source = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
    source.parent.mkdir(parents=True)
    source.write_text(block("python"))
    metadata = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (metadata / "entry_points.txt").write_text(f"[headrace.steps]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] == module.split(".")[0]]:
        del sys.modules[loaded]


async def events_of(services: StepServices, given: Json) -> list[Told]:
    """Run the guide's workflow to its end; its events."""
    document = parse_document(yaml.safe_load(block("yaml")))
    async with advanced(services, load_handlers(services), document, given) as run:
        return await run.to_its_end()


def test_publishing_knows_it_without_loading_it(installed: str) -> None:
    document = parse_document(yaml.safe_load(block("yaml")))
    catalog = Catalog(step_types=installed_step_types())
    assert validate_document(document, catalog) == []
    assert [p.code for p in validate_document(document, Catalog())] == ["UNKNOWN_STEP_TYPE"]
    assert "acme_steps" not in sys.modules


async def test_its_failure_is_a_value_with_a_place(installed: str) -> None:
    async with step_services() as services:
        events = await events_of(services, {"orderId": "o-1"})
    kind, step, data = events[0]
    assert (kind, step) == ("completed", "sign")
    assert isinstance(data, dict)
    assert data["status"] == "FAILED"
    error = data["error"]
    assert isinstance(error, dict)
    assert error["code"] == "EXPRESSION_FAILED"
    assert "steps[0].input.total" in str(error["message"])


async def test_a_runner_without_it_fails_the_step_alone() -> None:
    async with step_services() as services:
        events = await events_of(services, {"orderId": "o-1", "total": 12})
    assert [(kind, step) for kind, step, _ in events] == [("completed", "sign"), ("finished", None)]
    assert "UNKNOWN_STEP_TYPE" in str(events[0][2])


async def test_an_entry_point_that_can_not_be_loaded_stops_the_runner(installed: str, tmp_path: Path) -> None:
    (entry_points,) = tmp_path.glob("*.dist-info/entry_points.txt")
    entry_points.write_text("[headrace.steps]\nacme.digest = acme_steps.nowhere:DigestStep\n")
    async with step_services() as services:
        with pytest.raises(ModuleNotFoundError):
            load_handlers(services)
