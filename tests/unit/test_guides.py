"""The workflow documents in the guides can be read, and are fit to be published where they call nothing."""

import re
from pathlib import Path

import pytest
from headrace.workflow.checks.subject import Catalog
from headrace.workflow.parse import parse_document
from headrace.workflow.text import read_document_text
from headrace.workflow.validate import validate_document

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
_BLOCK = re.compile(r"^```yaml\n(workflow:.*?)^```$", re.MULTILINE | re.DOTALL)
# What a guide's document refers to is for its reader to have.
FOR_THE_READER = frozenset(
    f"UNKNOWN_{what}" for what in ("ACTION", "CONNECTION", "SECRET", "WORKFLOW", "STEP_TYPE")
)
DOCUMENTS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in sorted(GUIDES.glob("*.md"))
    for number, block in enumerate(_BLOCK.findall(page.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize("text", DOCUMENTS)
def test_a_guides_document_can_be_published(text: str) -> None:
    problems = validate_document(parse_document(read_document_text(text)), Catalog())
    assert [problem for problem in problems if problem.code not in FOR_THE_READER] == []
