"""The templates that come with the command: in order, drawn in the guide, and written where one asks."""

import re
from pathlib import Path

import pytest
import yaml
from headrace.workflow.actions import parse_action
from headrace.workflow.checks.subject import Catalog
from headrace.workflow.classification import Classification
from headrace.workflow.classify import classify
from headrace.workflow.definition import PinnedAction, PinnedChild, Version
from headrace.workflow.drawing import draw
from headrace.workflow.validate import validate_document
from headrace_cli.main import app
from headrace_cli.templates.catalogue import Template, template, templates
from typer.testing import CliRunner

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "templates.md"
ALL = templates()
MEDIUM = {"lead-qualification", "compliance-scan", "evidence-pack"}
each = pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)


def test_there_are_six_long_ones_and_three_of_minutes() -> None:
    assert len(ALL) == 9
    assert {one.name for one in ALL} >= MEDIUM
    assert all(len(one.about) > 40 for one in ALL)


@each
def test_a_template_can_be_published_with_the_apps_that_come_with_it(one: Template) -> None:
    declared = [document for text in one.apps.values() for document in yaml.safe_load_all(text)]
    actions = [
        parse_action({key: value for key, value in found.items() if key not in ("kind", "app")}, found["app"])
        for found in declared
        if found["kind"] == "Action"
    ]
    documents = {document.workflow: document for document in one.parsed}
    known = Catalog(
        actions={action.ref: action for action in actions},
        connections={found["name"]: found["app"] for found in declared if found["kind"] == "Connection"},
        workflows={name: {1: PinnedChild(name, 1, found.parameters)} for name, found in documents.items()},
    )
    pinned = {action.ref: PinnedAction("r", 1, "http://x", action) for action in actions}

    def classed(name: str) -> Classification:
        document = documents[name]
        children = {
            step.key: classed(step.child.workflow) for step in document.steps if step.child is not None
        }
        return classify(Version("v", "", document, pinned, {}), children)

    for name, document in documents.items():
        assert validate_document(document, known) == []
        assert classed(name).hindrances == ()
    assert classed(one.name).life == ("MEDIUM_LIVED" if one.name in MEDIUM else "LONG_LIVED")


@each
def test_the_guide_has_the_drawing_that_the_document_gives(one: Template) -> None:
    page = GUIDE.read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {one.name}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    drawn = re.findall(r"^```mermaid\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert drawn == [draw(document) for document in one.parsed]
    assert one.about in section
    assert f"Apps: {', '.join(one.apps)}." in section


def test_a_template_is_written_once_and_never_over_anything(tmp_path: Path) -> None:
    run, folder = CliRunner(), tmp_path / "mine"
    made = run.invoke(app, ["templates", "init", "due-diligence", "--into", str(folder)])
    assert made.exit_code == 0, made.output
    found = template("due-diligence")
    assert {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*.yaml")} == dict(found.files)
    (folder / "apps" / "mail.yaml").write_text("mine")
    again = run.invoke(app, ["templates", "init", "due-diligence", "--into", str(folder)])
    assert again.exit_code == 2
    assert (folder / "apps" / "mail.yaml").read_text() == "mine"
    assert run.invoke(app, ["templates", "init", "due-dilligence"]).exit_code == 2


def test_what_is_shown_is_what_is_drawn(tmp_path: Path) -> None:
    run = CliRunner()
    listed = run.invoke(app, ["templates", "list", "--json"])
    assert [one["name"] for one in yaml.safe_load(listed.stdout)] == [one.name for one in ALL]
    shown = run.invoke(app, ["templates", "show", "signature", "--draw"])
    document = tmp_path / "signature.yaml"
    document.write_text(template("signature").documents["signature.yaml"])
    drawn = run.invoke(app, ["workflows", "draw", str(document)])
    assert shown.stdout.strip() == drawn.stdout.strip() == draw(template("signature").parsed[0]).strip()
