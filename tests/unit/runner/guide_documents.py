"""The guides' documents, and what they come to."""

import re
from pathlib import Path

from headrace.json_types import Json
from headrace.workflow.parse import parse_document
from headrace.workflow.text import read_document_text

_BLOCK = re.compile(r"^```yaml\n(workflow:.*?)^```$", re.MULTILINE | re.DOTALL)
GUIDES = Path(__file__).parents[3] / "docs" / "guides"
DOCUMENTS = {
    document.workflow: document
    for page in ("branching", "loops", "child-workflows", "waits", "compensation")
    for text in _BLOCK.findall((GUIDES / f"{page}.md").read_text(encoding="utf-8"))
    for document in [parse_document(read_document_text(text))]
}
BY_HAND = {"packed": {"reviewed": True}, "review": {"by": "hand", "because": "its size or country"}}
RESULTS: list[tuple[str, Json, Json]] = [
    ("route-order", {"total": 50, "country": "DE"}, {"packed": {"reviewed": False}, "review": None}),
    ("route-order", {"total": 5000, "country": "DE"}, BY_HAND),
    ("route-order", {"total": 50, "country": "US"}, BY_HAND),
    (
        "route-order",
        {"total": 50, "country": "DE", "note": "soon"},
        {"packed": {"reviewed": True}, "review": {"by": "hand", "because": "a note"}},
    ),
    ("first-offer", {"prices": {"north": 3}}, {"north": 3, "south": None}),
    ("price-with-a-fallback", {"sku": "a", "prices": {"a": 3}}, {"sku": "a", "price": 3}),
    ("price-with-a-fallback", {"sku": "b", "prices": {"a": 3}}, {"sku": "b", "price": 10}),
    ("greet", {"name": "bo", "loud": True}, {"words": "Hello, BO"}),
    ("greet", {"name": "bo"}, {"words": "Hello, bo"}),
]
