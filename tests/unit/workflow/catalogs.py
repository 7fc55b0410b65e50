"""What the documents of these tests may refer to."""

from typing import Any

from headrace.workflow.actions import parse_action
from headrace.workflow.definition import ActionDefinition
from headrace.workflow.validate import Catalog

from tests.unit.workflow.documents import get_order


def action(app: str, name: str, method: str = "POST", **more: Any) -> ActionDefinition:
    return parse_action({"name": name, "method": method, "endpointTemplate": f"/{name}", **more}, app)


def catalog() -> Catalog:
    amount = {
        "type": "object",
        "properties": {
            "amount": {"type": "number", "minimum": 0},
            "note": {"$ref": "#/$defs/note"},
            "lines": {"type": "array", "items": {"type": "object", "required": ["sku"]}},
        },
        "required": ["amount"],
        "additionalProperties": False,
        "$defs": {"note": {"type": "string", "maxLength": 10}},
    }
    actions = [
        parse_action(get_order(), "shop"),
        action("payments", "create-refund", bodySchema=amount),
        action("payments", "cancel-refund", endpointTemplate="/refunds/{id}"),
    ]
    return Catalog(
        actions={one.ref: one for one in actions},
        connections={"shop-main": "shop", "payments": "payments"},
        secrets=frozenset({"notify-token"}),
    )
