"""The guides' documents that call nothing, done by a real engine: they come to what the guides say."""

import re
from pathlib import Path

import pytest
from headrace.json_types import Json
from headrace.workflow.parse import parse_document
from headrace.workflow.text import read_document_text
from headrace_runner.steps.registry import load_handlers

from tests.unit.runner.engines import advanced, step_services

_BLOCK = re.compile(r"^```yaml\n(workflow:.*?)^```$", re.MULTILINE | re.DOTALL)
GUIDES = Path(__file__).parents[3] / "docs" / "guides"
DOCUMENTS = {
    document.workflow: document
    for page in ("branching", "loops", "child-workflows")
    for text in _BLOCK.findall((GUIDES / f"{page}.md").read_text(encoding="utf-8"))
    for document in [parse_document(read_document_text(text))]
}
BY_HAND = {"packed": {"reviewed": True}, "review": {"by": "hand", "because": "its size or country"}}
LINES = [
    {"sku": "a", "count": 2, "price": 3},
    {"sku": "b", "count": 1},
    {"sku": "c", "count": 1, "price": 10},
]


async def end(workflow: str, given: Json) -> Json:
    """The data of the event with which a run ends."""
    async with step_services() as services:
        handlers = load_handlers(services)
        async with advanced(services, handlers, DOCUMENTS[workflow], given) as run:
            kind, _, data = (await run.to_its_end())[-1]
    assert kind == "finished"
    return data


@pytest.mark.parametrize(
    ("workflow", "given", "result"),
    [
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
    ],
)
async def test_a_guides_document_comes_to_its_result(workflow: str, given: Json, result: Json) -> None:
    assert await end(workflow, given) == {"status": "SUCCESS", "result": result}


async def test_a_fail_step_ends_the_run_with_its_code() -> None:
    ended = await end("route-order", {"total": 0, "country": "DE"})
    assert isinstance(ended, dict)
    assert isinstance(ended["error"], dict)
    assert (ended["status"], ended["error"]["code"]) == ("FAILED", "NOTHING_ORDERED")


async def test_a_loop_keeps_the_order_and_tells_which_items_failed() -> None:
    ended = await end("price-lines", {"lines": LINES})
    assert isinstance(ended, dict)
    result = ended["result"]
    assert isinstance(result, dict)
    assert result["total"] == 16
    assert isinstance(result["failed"], list)
    assert [(one["index"], one["error"]["code"]) for one in result["failed"]] == [(1, "EXPRESSION_FAILED")]  # type: ignore[index, call-overload]
