"""The tests that may follow `is`. The evaluator itself answers `defined` and `undefined`."""

from collections.abc import Mapping

from headrace.json_types import Json
from headrace.workflow.expressions.limits import Budget
from headrace.workflow.expressions.signature import Signature
from headrace.workflow.values import kind_of


def _is_kind(*kinds: str) -> Signature:
    def test(_budget: Budget, value: Json) -> Json:
        return kind_of(value) in kinds

    return Signature(test)


def _integer(_budget: Budget, value: Json) -> Json:
    return isinstance(value, int) and not isinstance(value, bool)


def _defined(_budget: Budget, _value: Json) -> Json:
    return True


def _undefined(_budget: Budget, _value: Json) -> Json:
    return False


TESTS: Mapping[str, Signature] = {
    "defined": Signature(_defined),
    "undefined": Signature(_undefined),
    "none": _is_kind("null"),
    "boolean": _is_kind("boolean"),
    "number": _is_kind("number"),
    "integer": Signature(_integer),
    "string": _is_kind("text"),
    "sequence": _is_kind("list"),
    "mapping": _is_kind("object"),
    "true": Signature(lambda _budget, value: value is True),
    "false": Signature(lambda _budget, value: value is False),
}
