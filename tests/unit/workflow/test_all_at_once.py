"""A document that is wrong in its shape and in its content hears of both at once, each place but once."""

from headrace.workflow.parse import read_document
from headrace.workflow.validate import Catalog, beside, validate_document

WRONG = {
    "workflow": "w",
    "steps": [
        {"key": "a", "action": "shop/nope", "inputs": {}},
        7,
        {"key": "b", "type": "transform", "input": {"x": "{{ steps.zzz.output }}"}, "onError": "maybe"},
    ],
    "edges": [{"from": "a", "to": "nope"}, {"from": "a", "to": "b", "when": {"field": "output.x"}}],
    "result": "{{ steps.b.outputt }}",
}


def test_shape_and_content_in_one_answer() -> None:
    document, shape = read_document(WRONG)
    assert document is not None
    catalog = Catalog({}, {}, frozenset(), frozenset({"action", "transform"}))
    content = beside(validate_document(document, catalog), shape)
    assert {p.path for p in shape} == {
        "steps[0].inputs",
        "steps[1]",
        "steps[2].onError",
        "edges[1].when.operator",
    }
    assert {"steps[0].action", "steps[2].input.x", "edges[0].to", "result"} <= {p.path for p in content}
    assert all(p.mend for p in (*shape, *content))
    assert not any(p.path.startswith(("steps[1]", "edges[1].when")) for p in content)
