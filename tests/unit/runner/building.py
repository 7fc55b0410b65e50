"""Calls that are built, and those that are refused."""

from collections.abc import Mapping

from headrace.json_types import Json, JsonObject
from headrace.outbound.call import OutboundCall
from headrace.workflow.assign import RequestParts
from headrace.workflow.definition import ActionDefinition
from headrace.workflow.state import Failure
from headrace_runner.requests import build_request

ACTION = ActionDefinition("shop", "act", "POST", "/items")
BASE = "https://api.example.com/v1"


def build(
    action: ActionDefinition = ACTION,
    base_url: str = BASE,
    *,
    path: JsonObject | None = None,
    query: JsonObject | None = None,
    headers: JsonObject | None = None,
    body: Json = None,
    template: Mapping[str, Json] | None = None,
    key: str = "",
) -> OutboundCall:
    parts = RequestParts(path or {}, query or {}, headers or {}, body)
    call = build_request(action, base_url, parts, template_headers=template, idempotency_key=key)
    assert isinstance(call, OutboundCall), call
    return call


def refused(
    action: ActionDefinition = ACTION,
    base_url: str = BASE,
    *,
    path: JsonObject | None = None,
    query: JsonObject | None = None,
    headers: JsonObject | None = None,
    body: Json = None,
    template: Mapping[str, Json] | None = None,
) -> str:
    """The place that is named."""
    parts = RequestParts(path or {}, query or {}, headers or {}, body)
    failure = build_request(action, base_url, parts, template_headers=template)
    assert isinstance(failure, Failure), failure
    assert failure.code == "INVALID_REQUEST"
    assert "canary" not in failure.message
    return failure.message.partition(":")[0]
