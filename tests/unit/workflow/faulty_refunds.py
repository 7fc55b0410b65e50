"""The document of refunds with a fault in it, and what is said of that."""

from collections.abc import Callable
from typing import Any

from headrace.errors import Problem
from headrace.workflow.parse import parse_document
from headrace.workflow.validate import Catalog, validate_document

from tests.unit.workflow.catalogs import catalog
from tests.unit.workflow.documents import refund

Change = Callable[[Any], None]


def problems(change: Change | None = None, known: Catalog | None = None) -> list[Problem]:
    data = refund()
    if change:
        change(data)
    return validate_document(parse_document(data), known or catalog())


def step(index: int, **changes: Any) -> Change:
    def change(data: Any) -> None:
        data["steps"][index].update(changes)

    return change


def edges(*pairs: tuple[str, str]) -> Change:
    def change(data: Any) -> None:
        data["edges"] = [{"from": one, "to": other} for one, other in pairs]

    return change


def set_result(value: Any) -> Change:
    def change(data: Any) -> None:
        data["result"] = value

    return change


def set_parameters(value: Any) -> Change:
    def change(data: Any) -> None:
        data["parameters"] = value

    return change


def set_env(name: str, value: Any) -> Change:
    def change(data: Any) -> None:
        data["env"][name] = value

    return change


def set_when(**when: Any) -> Change:
    def change(data: Any) -> None:
        data["edges"][1]["when"] = when

    return change
