"""Jobs of dry runs as the control plane hands them out, and their reports."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

from headrace.json_types import Json, JsonObject
from headrace.workflow.actions import parse_action
from headrace.workflow.definition import PinnedAction, PinnedChild, Version
from headrace.workflow.document import Document
from headrace.workflow.expressions.render import Templates
from headrace.workflow.parse import parse_document
from headrace.workflow.schemas import Schemas
from headrace.workflow.text import read_document_text
from headrace.workflow.uses import actions_used, children_used, connections_used
from headrace.workflow.version import digest, dump_version
from headrace_runner.dry.taking import walked
from headrace_runner.dry.walk import WalkServices
from headrace_runner.pace import Pace

RUN = UUID("01900000-0000-7000-8000-000000000001")
_ACTIONS: dict[str, dict[str, Any]] = {
    "shop/get": {"name": "get", "method": "GET", "endpointTemplate": "/orders/{id}"},
    "shop/pay": {
        "name": "pay",
        "method": "POST",
        "endpointTemplate": "/payments",
        "idempotency": {"mode": "KEY", "header": "Idempotency-Key"},
    },
    "shop/refund": {"name": "refund", "method": "POST", "endpointTemplate": "/refunds"},
}


def resolved(
    text: str | Document, children: Mapping[str, Version] | None = None, revision: int = 1
) -> Version:
    """The document in `text`, published; `children` are by the names of their workflows."""
    document = parse_document(read_document_text(text)) if isinstance(text, str) else text
    found = children or {}
    version = Version(
        id=str(uuid5(RUN, f"{revision}{text}{[one.id for one in found.values()]}")),
        digest="",
        document=document,
        actions={
            ref: PinnedAction(
                str(uuid5(RUN, f"{ref}{revision}")),
                revision,
                "https://shop.example",
                parse_action(_ACTIONS[ref], "shop"),
            )
            for ref in actions_used(document)
        },
        connections={name: str(uuid5(RUN, name)) for name in connections_used(document)},
        children={
            key: PinnedChild(found[child.workflow].id, 1) for key, child in children_used(document).items()
        },
    )
    return replace(version, digest=digest(dump_version(version)))


def job(candidate: Version, given: Json, *others: Version, **more: Any) -> dict[str, Any]:
    versions = {one.id: dump_version(one) for one in (candidate, *others)}
    held = {ref: {"class": "A"} for ref in _ACTIONS}
    return {
        "id": str(RUN),
        "token": "t",
        "tenant_id": str(RUN),
        "run_id": str(RUN),
        "started_at": "2026-01-01T00:00:00+00:00",
        "candidate": {"version_id": candidate.id, "input": given},
        "base": None,
        "versions": versions,
        "responses": {},
        "recorded": None,
        "output_keys": {},
        "base_urls": {},
        "policy": dict.fromkeys(versions, held),
        "loop_items": None,
        **more,
    }


def recorded(version: Version, rows: Mapping[str, Json], **children: Any) -> dict[str, Any]:
    """A run that ended each of these rows well, with this output."""
    return {
        "version_id": version.id,
        "rows": {
            key: {"status": "SUCCESS", "output": output, "error": None, "run_id": str(RUN)}
            for key, output in rows.items()
        },
        "children": children,
    }


def report_on(given: dict[str, Any]) -> JsonObject:
    async def main() -> JsonObject:
        async with asyncio.timeout(30):
            return await walked(given, WalkServices(Templates(), Schemas(), Pace()))

    return asyncio.run(main())


def steps(report: JsonObject) -> dict[str, Any]:
    listed: Any = report["steps"]
    return {one["path"]: one for one in listed}


def statuses(report: JsonObject) -> dict[str, str]:
    return {path: one["status"] for path, one in steps(report).items()}


def changes(report: JsonObject) -> list[tuple[str, str]]:
    listed: Any = report["changes"]
    return [(one["path"], one["change"]) for one in listed]
