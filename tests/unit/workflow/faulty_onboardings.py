"""The document of everything that lasts with a fault in it, and what is said of that."""

from collections.abc import Callable
from typing import Any

from headrace.errors import Problem
from headrace.workflow.actions import parse_action
from headrace.workflow.definition import ActionDefinition, PinnedChild
from headrace.workflow.parse import parse_document
from headrace.workflow.validate import Catalog, validate_document

from tests.unit.workflow.documents import onboarding

Change = Callable[[Any], None]
LINE = {"type": "object", "properties": {"line": {}}, "additionalProperties": False}
# The places of steps in the document.
RESERVE, SIGNED, PAUSE, START, AGREE, _LOOK, PAID, _CALLED, SHIP, BILL, DONE, REFUSED = range(12)


def action(name: str, method: str = "GET", **more: Any) -> ActionDefinition:
    return parse_action({"name": name, "method": method, "endpointTemplate": f"/{name}", **more}, "shop")


def catalog() -> Catalog:
    amount = {"type": "object", "properties": {"number": {"type": "integer"}}, "additionalProperties": False}
    actions = [
        action("reserve", "POST"),
        action("release", "DELETE"),
        action("find-reservation", querySchema=amount),
        action("get-contract"),
        action("search", "POST"),
    ]
    versions = {
        "ship-order": {3: PinnedChild("v3", 3, LINE), 4: PinnedChild("v4", 4, LINE)},
        "bill-order": {
            1: PinnedChild("v1", 1),
            2: PinnedChild("v2", 2, {"type": "object", "required": ["of"]}),
        },
    }
    return Catalog(
        actions={one.ref: one for one in actions},
        connections={"shop-main": "shop", "shop-read": "shop", "mail": "mail"},
        secrets=frozenset({"token"}),
        workflows=versions,
        roles=frozenset({"APPROVER", "ADMIN"}),
    )


def problems(*changes: Change) -> list[Problem]:
    data: Any = onboarding()
    for change in changes:
        change(data)
    return validate_document(parse_document(data), catalog())


def two(one: Any, other: Any, *edges: Any) -> list[Problem]:
    data = {"workflow": "w", "steps": [{"key": "a", **one}, {"key": "b", **other}], "edges": [*edges]}
    if not edges:
        del data["edges"]
    return validate_document(parse_document(data), catalog())


def step(index: int, **changes: Any) -> Change:
    def change(data: Any) -> None:
        data["steps"][index].update(changes)

    return change


def part(index: int, name: str, **changes: Any) -> Change:
    def change(data: Any) -> None:
        data["steps"][index][name].update(changes)

    return change


def drop(index: int, name: str) -> Change:
    def change(data: Any) -> None:
        del data["steps"][index][name]

    return change


def both(*changes: Change) -> Change:
    def change(data: Any) -> None:
        for one in changes:
            one(data)

    return change


def whole(**changes: Any) -> Change:
    return lambda data: data.update(changes)


def when(value: Any, index: int = 2) -> Change:
    def change(data: Any) -> None:
        data["edges"][index]["when"] = value

    return change


def edge(**more: Any) -> Change:
    return lambda data: data["edges"].append(more)


def secret(data: Any) -> None:
    data["env"] = {"TOKEN": {"secret": "token"}}
