"""The guides to the graph, waits and compensation: documents fit the demo's apps, and their tables the code."""

import re
from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from headrace.workflow.actions import parse_action
from headrace.workflow.conditions import holds
from headrace.workflow.definition import PinnedChild
from headrace.workflow.document import Condition
from headrace.workflow.document_schema import workflow_schema
from headrace.workflow.operators import OPERATORS
from headrace.workflow.parse import parse_document
from headrace.workflow.text import read_document_text
from headrace.workflow.validate import Catalog, validate_document

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("branching", "loops", "child-workflows", "waits", "compensation")
_BLOCK = re.compile(r"^```yaml\n(workflow:.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[str]:
    return _BLOCK.findall((DOCS / "guides" / f"{page}.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """What a tenant has after `headrace demo`, and what the guides publish."""
    declared = [
        document
        for file in (DOCS / "demo" / "apps").glob("*.yaml")
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    ]
    actions = [
        parse_action({name: value for name, value in one.items() if name not in ("kind", "app")}, one["app"])
        for one in declared
        if one["kind"] == "Action"
    ]
    workflows = [parse_document(read_document_text(text)) for page in PAGES for text in blocks(page)]
    return Catalog(
        actions={action.ref: action for action in actions},
        connections={one["name"]: one["app"] for one in declared if one["kind"] == "Connection"},
        workflows={one.workflow: {1: PinnedChild(one.workflow, 1, one.parameters)} for one in workflows},
    )


@pytest.mark.parametrize("page", PAGES)
def test_the_documents_can_be_published(page: str, catalog: Catalog) -> None:
    schema = jsonschema_rs.Draft202012Validator(workflow_schema())
    assert blocks(page)
    for text in blocks(page):
        data = read_document_text(text)
        assert validate_document(parse_document(data), catalog) == []
        assert schema.is_valid(data)


def test_every_operator_has_a_row_and_an_example_that_is_one() -> None:
    page = (DOCS / "guides" / "branching.md").read_text(encoding="utf-8")
    rows = page.split("| operator |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    named: set[str] = set()
    for row in rows:
        operators, _, example, _ = (cell.strip() for cell in row.strip("|").split("|"))
        names = re.findall(r"`(\w+)`", operators)
        named.update(names)
        condition = yaml.safe_load(example.strip("`"))
        assert condition["operator"] in names
        steps = [{"key": key, "type": "transform", "input": 1} for key in "ab"]
        edge = {"from": "a", "to": "b", "when": condition}
        parse_document({"workflow": "w", "steps": steps, "edges": [edge]})
    assert named == set(OPERATORS)


@pytest.mark.parametrize("operator", OPERATORS)
def test_what_is_not_there_is_as_the_guide_says(operator: str) -> None:
    upstream: dict[str, object] = {"output": {}, "status": "SUCCESS", "error": None}
    value = False if operator == "exists" else None
    expected = operator in ("neq", "notIn", "notContains", "exists")
    assert holds(Condition("output.x", operator, value), upstream) is expected
