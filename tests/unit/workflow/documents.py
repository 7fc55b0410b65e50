"""Documents and actions that several tests start from."""

from copy import deepcopy

from headrace.json_types import JsonObject


def refund() -> JsonObject:
    """A document that uses every key of actions and transforms that are done once."""
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


def onboarding() -> JsonObject:
    """A document that uses every key of loops, waits, children, endings and undoing."""
    return deepcopy(_ONBOARDING)


_ONBOARDING: JsonObject = {
    "workflow": "onboarding",
    "parameters": {
        "type": "object",
        "properties": {
            "customer": {"type": "string"},
            "lines": {"type": "array"},
            "startsAt": {"type": "string"},
        },
    },
    "compensateOn": ["cancel", "rejection"],
    "concurrency": {"limit": 5, "onLimit": "cancelPrevious", "key": "$.customer"},
    "retries": {"action": {"strategy": "FIXED", "maxAttempts": 4, "initialDelayMs": 10, "maxDelayMs": 20}},
    "retryBudget": 40,
    "steps": [
        {
            "key": "reserve",
            "action": "shop/reserve",
            "connection": "shop-main",
            "input": {"line": "{{ item }}", "number": "{{ index }}"},
            "forEach": {"items": "{{ input.lines }}", "maxConcurrency": 4, "onItemError": "continue"},
            "probe": {
                "action": "shop/find-reservation",
                "connection": "shop-read",
                "input": {"number": "{{ index }}"},
                "done": {
                    "all": [{"field": "output.body.id", "operator": "exists"}, "{{ status == 'SUCCESS' }}"]
                },
                "output": {"id": "$.body.id"},
                "retry": {
                    "strategy": "FIXED",
                    "maxAttempts": 2,
                    "initialDelayMs": 1,
                    "maxDelayMs": 2,
                    "on": ["TIMEOUT"],
                },
            },
            "compensate": {
                "action": "shop/release",
                "connection": "shop-main",
                "input": {"line": "{{ item }}"},
                "retry": {"strategy": "NONE", "maxAttempts": 1, "initialDelayMs": 1, "maxDelayMs": 2},
                "timeoutMs": 900,
            },
        },
        {
            "key": "signed",
            "action": "shop/get-contract",
            "input": {"returnTo": "{{ callbacks.paid }}"},
            "repeat": {
                "until": {
                    "any": [{"field": "output.body.state", "operator": "in", "value": ["SIGNED", "VOID"]}]
                },
                "everyMs": 60000,
                "max": 50,
            },
        },
        {"key": "pause", "type": "wait", "wait": {"forMs": 86400000}, "onError": "continue"},
        {"key": "start", "type": "wait", "wait": {"until": "{{ input.startsAt }}"}, "join": "any"},
        {
            "key": "agree",
            "type": "approval",
            "approval": {
                "title": "Take on {{ input.customer }}?",
                "details": {"lines": "{{ input.lines }}"},
                "roles": ["APPROVER"],
                "members": ["ann", "bo"],
                "notStarter": True,
                "form": {"type": "object", "properties": {"limit": {"type": "integer"}}},
                "deadlineMs": 172800000,
                "default": "approve",
                "remindEveryMs": 3600000,
            },
        },
        {"key": "look", "type": "approval"},
        {
            "key": "paid",
            "type": "signal",
            "signal": {
                "name": "payment-received",
                "schema": {"type": "object"},
                "deadlineMs": 1000,
                "default": "continue",
            },
        },
        {"key": "called", "type": "signal"},
        {
            "key": "ship",
            "type": "workflow",
            "workflow": {"name": "ship-order", "version": 3},
            "input": {"line": "{{ item }}"},
            "forEach": {"items": [1, 2]},
        },
        {
            "key": "bill",
            "type": "workflow",
            "workflow": "bill-order",
            "input": {"of": "{{ input.customer }}"},
        },
        {"key": "done", "type": "succeed", "input": {"bill": "{{ steps.bill.output }}"}},
        {
            "key": "refused",
            "type": "fail",
            "input": {"code": "NOT_TAKEN_ON", "message": "{{ steps.agree.error }}"},
        },
    ],
    "edges": [
        {"from": "reserve", "to": "signed"},
        {
            "from": "signed",
            "to": "pause",
            "when": {"not": {"field": "output.body.state", "operator": "eq", "value": None}},
        },
        {"from": "signed", "to": "start", "when": "{{ output.body.state == 'VOID' }}"},
        {"from": "pause", "to": "start"},
        {"from": "start", "to": "agree"},
        {"from": "agree", "to": "look"},
        {"from": "look", "to": "paid"},
        {"from": "paid", "to": "called"},
        {"from": "called", "to": "ship"},
        {"from": "ship", "to": "bill"},
        {"from": "bill", "to": "done"},
        {"from": "agree", "to": "refused", "on": "error"},
    ],
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
