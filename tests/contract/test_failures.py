"""A mutation's payload is a result or a failure, and the interface `Failure` alone tells which.

The command line asks each payload for `failureType`, an alias that only members of the interface answer. A failure that
is not one of them, or a document that does not ask, would pass for a result.
"""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import headrace_cli
import orjson
import pytest
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLUnionType,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    parse,
    validate,
    visit,
)
from headrace.errors import HeadraceError, InvalidInput, LimitExceeded
from headrace_cli.client import FAILURES, read_answer

ROOT = Path(__file__).parents[2]
SCHEMA = build_schema((ROOT / "contracts" / "schema.graphql").read_text(encoding="utf-8"))
UNIONS = [kind for kind in SCHEMA.type_map.values() if isinstance(kind, GraphQLUnionType)]
FAILURE = SCHEMA.type_map["Failure"]
COMMANDS = Path(headrace_cli.__file__).parent


@pytest.mark.parametrize("union", UNIONS, ids=str)
def test_a_payload_is_one_result_or_a_failure(union: GraphQLUnionType) -> None:
    assert isinstance(FAILURE, GraphQLInterfaceType)
    results = [kind.name for kind in union.types if not SCHEMA.is_sub_type(FAILURE, kind)]
    assert len(results) == 1, f"of these all but the result have to implement Failure: {results}"


def test_no_type_has_a_field_of_the_alias_s_name() -> None:
    with_fields = [kind for kind in SCHEMA.type_map.values() if hasattr(kind, "fields")]
    assert not [kind.name for kind in with_fields if "failureType" in kind.fields]


def documents() -> Iterator[tuple[str, str]]:
    """Each document of the command line that changes something, and its module."""
    for file in sorted(COMMANDS.rglob("*.py")):
        if not re.search(r"\bmutation\b *[\w(]", file.read_text(encoding="utf-8")):
            continue
        name = ".".join(("headrace_cli", *file.relative_to(COMMANDS).with_suffix("").parts))
        for text in vars(importlib.import_module(name)).values():
            if isinstance(text, str) and re.search(r"^\s*mutation\b *[\w(]", text, re.MULTILINE):
                yield name, text if FAILURES in text else text + FAILURES


class Unasked(Visitor):
    """The fields that answer a payload and are not asked for failures."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self.types = types
        self.found: list[str] = []

    def enter_field(self, node: FieldNode, *_: object) -> None:
        kind = self.types.get_type()
        if kind is None or not isinstance(get_named_type(kind), GraphQLUnionType):
            return
        asked = node.selection_set.selections if node.selection_set else ()
        if not any(isinstance(one, FragmentSpreadNode) and one.name.value == "Failures" for one in asked):
            self.found.append(node.name.value)


def test_each_document_of_the_commands_fits_the_schema_and_asks_for_failures() -> None:
    found = list(documents())
    assert len(found) > 50
    for module, text in found:
        document = parse(text)
        assert not validate(SCHEMA, document), module
        types = TypeInfo(SCHEMA)
        unasked = Unasked(types)
        visit(document, TypeInfoVisitor(types, unasked))
        assert not unasked.found, module


def answer(**done: object) -> bytes:
    return orjson.dumps({"data": {"done": done}})


def test_the_client_raises_a_failure_of_whatever_type() -> None:
    problems = [{"path": "name", "message": "is taken", "mend": "take another"}]
    told = {"code": InvalidInput.code, "message": "name: is taken", "problems": problems}
    with pytest.raises(InvalidInput) as raised:
        read_answer(200, answer(failureType="InvalidInput", **told))
    assert raised.value.problems[0].mend == "take another"
    with pytest.raises(LimitExceeded, match="as many"):
        read_answer(200, answer(failureType="QuotaExceeded", code="QUOTA_EXCEEDED", message="as many"))
    with pytest.raises(HeadraceError, match="not today"):
        read_answer(200, answer(failureType="OfTomorrow", code="OF_TOMORROW", message="not today"))


def test_a_result_may_hold_what_failures_hold() -> None:
    result = {"id": "1", "code": "CONFLICT", "message": "hello", "failure": {"code": "NOT_FOUND"}}
    assert read_answer(200, answer(**result)) == {"done": result}
    assert read_answer(200, answer()) == {"done": {}}
