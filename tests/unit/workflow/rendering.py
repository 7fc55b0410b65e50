"""Expressions, rendered in one scope."""

import pytest
from headrace.json_types import Json
from headrace.workflow.expressions import ExpressionError, Scope, Templates

SCOPE = Scope(
    input={
        "n": 5,
        "f": 2.5,
        "text": "Grüße",
        "nothing": None,
        "yes": True,
        "items": [{"id": 1, "tags": ["b"]}, {"id": 2, "tags": []}],
        "map": {"keys": "k", "a b": 1, "0": "zero"},
        "names": ["bo", "al", "bo"],
    },
    env={"REGION": "eu"},
    steps={
        "ok": {"output": {"body": {"id": 7}}, "status": "SUCCESS", "error": None},
        "skipped": {"output": None, "status": "SKIPPED", "error": None},
        "bad": {"output": None, "status": "FAILED", "error": {"code": "TIMEOUT", "message": "m"}},
    },
    run={"id": "r-1"},
)


def render(value: Json, scope: Scope = SCOPE) -> Json:
    return Templates().render(value, scope, "at")


def fails(value: Json, scope: Scope = SCOPE) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        render(value, scope)
    return caught.value
