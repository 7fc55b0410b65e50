"""docs/reference/workflow-document.md says what the code does."""

import re
from pathlib import Path

import yaml
from headrace.workflow import grammar
from headrace.workflow.expressions.filters import FILTERS
from headrace.workflow.expressions.tests import TESTS
from headrace.workflow.grammar import BUILT_IN_TYPES
from headrace.workflow.operators import OPERATORS
from headrace.workflow.parse import parse_document
from headrace.workflow.text import read_document_text
from headrace.workflow.validate import Catalog, validate_document

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "workflow-document.md").read_text()


def table(heading: str) -> str:
    """The rows of the table whose first column is headed so."""
    return PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]


def first_column(heading: str) -> set[str]:
    cells = [row.split("|")[1] for row in table(heading).splitlines()[2:]]
    return {re.split(r"[(]", name)[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_filter_test_and_operator_is_there() -> None:
    assert first_column("filter") == set(FILTERS)
    assert first_column("operator") == set(OPERATORS)
    assert set(re.findall(r"`is ([a-z]+)`", PAGE.split("| tests |", 1)[1].split("\n", 1)[0])) == set(TESTS)


def test_the_arguments_of_filters_are_those_they_take() -> None:
    for name, written in re.findall(r"`([a-z0-9]+)\(([^)`]*)\)`", table("filter")):
        assert tuple(re.split(r"=|, ", part)[0] for part in written.split(", ")) == FILTERS[name].parameters


def test_every_key_is_there() -> None:
    assert first_column("key") == set(grammar.DOCUMENT_KEYS)
    assert first_column("key of a step") == set(grammar.STEP_KEYS)


def test_the_example_is_a_document_that_can_be_published() -> None:
    text = PAGE.split("```yaml\n", 1)[1].split("```", 1)[0]
    document = parse_document(read_document_text(text))
    codes = {problem.code for problem in validate_document(document, Catalog(step_types=BUILT_IN_TYPES))}
    assert codes <= {"UNKNOWN_ACTION", "UNKNOWN_CONNECTION", "UNKNOWN_SECRET"}
    assert yaml.safe_load(text)["workflow"] == document.workflow
