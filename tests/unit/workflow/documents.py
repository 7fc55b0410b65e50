"""Documents and actions that several tests start from."""

from copy import deepcopy

from headrace.json_types import JsonObject


def refund() -> JsonObject:
    """A document that uses every key."""
    return deepcopy(_REFUND)


_REFUND: JsonObject = {
    "workflow": "refund-order",
    "parameters": {
        "type": "object",
        "required": ["orderId"],
        "properties": {"orderId": {"type": "string"}},
    },
    "env": {"REGION": "eu", "NOTIFY_TOKEN": {"secret": "notify-token"}},
    "steps": [
        {
            "key": "fetch_order",
            "action": "shop/get-order",
            "connection": "shop-main",
            "input": {"orderId": "{{ input.orderId }}"},
            "output": {"total": "$.body.total", "email": "$.body.customer.email"},
        },
        {
            "key": "label",
            "type": "transform",
            "input": {"text": "{{ env.REGION }}-{{ steps.fetch_order.output.total }}"},
            "onError": "continue",
        },
        {
            "key": "refund",
            "action": "payments/create-refund",
            "connection": "payments",
            "input": {"amount": "{{ steps.fetch_order.output.total }}"},
            "headers": {"X-Token": "{{ env.NOTIFY_TOKEN }}"},
            "retry": {
                "strategy": "EXPONENTIAL",
                "maxAttempts": 5,
                "initialDelayMs": 200,
                "maxDelayMs": 10000,
            },
            "timeoutMs": 5000,
            "onOutputMismatch": "FAIL",
            "compensate": {
                "action": "payments/cancel-refund",
                "input": {"id": "{{ steps.refund.output.body.id }}"},
            },
        },
    ],
    "edges": [
        {"from": "fetch_order", "to": "label"},
        {
            "from": "fetch_order",
            "to": "refund",
            "when": {"field": "output.total", "operator": "gt", "value": 0},
        },
    ],
    "result": {"refundId": "{{ steps.refund.output.body.id }}"},
    "timeoutMs": 3600000,
}


def get_order() -> JsonObject:
    """The data of an action that uses every key."""
    return deepcopy(_GET_ORDER)


_GET_ORDER: JsonObject = {
    "name": "get-order",
    "method": "GET",
    "endpointTemplate": "/orders/{orderId}",
    "pathSchema": {"type": "object", "properties": {"orderId": {"type": "string"}}, "required": ["orderId"]},
    "querySchema": {"type": "object", "properties": {"expand": {"type": "boolean"}}},
    "headersSchema": {"type": "object", "properties": {"X-Trace": {"type": "string"}}},
    "bodySchema": None,
    "outputSchema": {"type": "object"},
    "headersTemplate": {"Accept": "application/json"},
    "bodyType": "NONE",
    "retry": {"strategy": "FIXED", "maxAttempts": 2, "initialDelayMs": 100, "maxDelayMs": 1000},
    "timeoutMs": 10000,
    "idempotency": {"mode": "KEY", "header": "Idempotency-Key"},
    "onOutputMismatch": "FAIL",
    "approvalClass": "A",
    "reversibility": "REVERSIBLE",
    "sensitivity": "INTERNAL",
}
_GET_ORDER.pop("bodySchema")
