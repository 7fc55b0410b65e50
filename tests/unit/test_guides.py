"""The documents in the guides can be read, and published with what their page and the demo declare."""

import re
from pathlib import Path

import pytest
import yaml
from headrace.workflow.actions import parse_action
from headrace.workflow.checks.subject import Catalog
from headrace.workflow.classify import classify
from headrace.workflow.definition import PinnedAction, Version
from headrace.workflow.parse import parse_document
from headrace.workflow.text import read_document_text
from headrace.workflow.validate import validate_document

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
APPLY_THE_DEMO = "headrace apply -f apps --yes"
# What a guide's document refers to besides is for its reader to have.
FOR_THE_READER = frozenset({"UNKNOWN_WORKFLOW", "UNKNOWN_STEP_TYPE"})
PAGES = {
    page.stem: (page.read_text(encoding="utf-8"), _BLOCK.findall(page.read_text(encoding="utf-8")))
    for page in sorted((DOCS / "guides").glob("*.md"))
}
DOCUMENTS = [
    pytest.param(page, block, id=f"{page}-{number}")
    for page, (_, blocks) in PAGES.items()
    for number, block in enumerate(blocks)
    if block.startswith("workflow:")
]


def catalog(page: str) -> Catalog:
    """What there is after the page was followed: its own declarations, and the demo's if it says to apply them."""
    text, blocks = PAGES[page]
    files = [block for block in blocks if block.startswith("kind:")]
    if APPLY_THE_DEMO in text:
        files += [file.read_text(encoding="utf-8") for file in (DOCS / "demo" / "apps").glob("*.yaml")]
    declared = [document for file in files for document in yaml.safe_load_all(file)]
    actions = [
        parse_action({name: value for name, value in one.items() if name not in ("kind", "app")}, one["app"])
        for one in declared
        if one["kind"] == "Action"
    ]
    return Catalog(
        actions={action.ref: action for action in actions},
        connections={one["name"]: one["app"] for one in declared if one["kind"] == "Connection"},
    )


@pytest.mark.parametrize(("page", "text"), DOCUMENTS)
def test_a_guides_document_can_be_published(page: str, text: str) -> None:
    known, document = catalog(page), parse_document(read_document_text(text))
    problems = validate_document(document, known)
    assert [problem for problem in problems if problem.code not in FOR_THE_READER] == []
    pinned = {ref: PinnedAction("r", 1, "http://x", action) for ref, action in known.actions.items()}
    assert classify(Version("v", "", document, pinned, {}), {}).hindrances == ()
