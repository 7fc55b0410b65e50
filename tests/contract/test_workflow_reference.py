"""docs/reference/workflow-document.md says what the code does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from headrace.outbound.failures import CallCode
from headrace.workflow import grammar
from headrace.workflow.expressions.filters import FILTERS
from headrace.workflow.expressions.tests import TESTS
from headrace.workflow.grammar import BUILT_IN_TYPES
from headrace.workflow.operators import OPERATORS
from headrace.workflow.parse import parse_document
from headrace.workflow.text import read_document_text
from headrace.workflow.validate import Catalog, validate_document

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "workflow-document.md").read_text(encoding="utf-8")
CALLS = (ROOT / "docs" / "reference" / "calls.md").read_text(encoding="utf-8")
# What decides and what executes; a dry run's own codes are in the guide to dry runs.
WHERE_STEPS_FAIL = (ROOT / "libs/common/headrace/workflow", ROOT / "services/runner/headrace_runner")


def table(heading: str) -> str:
    """The rows of the table whose first column is headed so."""
    return PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]


def first_column(heading: str) -> set[str]:
    cells = [row.split("|")[1] for row in table(heading).splitlines()[2:]]
    return {re.split(r"[(]", name)[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def codes_of_failures() -> Iterator[str]:
    """The codes that stand as texts where the code makes a `Failure`."""
    for file in (file for folder in WHERE_STEPS_FAIL for file in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="Failure"), args=[ast.Constant(value=str(code)), *_]):
                    yield code


def test_every_code_of_a_failure_is_told() -> None:
    of_calls = set(re.findall(r"`([A-Z_]+)`", CALLS.split("\n## Failures\n\n", 1)[1].split("\n\n", 1)[0]))
    assert of_calls >= set(CallCode)
    told = first_column("code of a failure") | first_column("code of a run")
    beside = set(re.findall(r"`([A-Z_]+)`", PAGE.split("\nA step in doubt ", 1)[1].split("\n\n", 1)[0]))
    assert set(codes_of_failures()) <= told | beside | of_calls
    assert not told & of_calls


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
