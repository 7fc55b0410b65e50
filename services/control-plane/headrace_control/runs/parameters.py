"""What the inputs of versions have to be like: compiled once, kept by version, for versions are immutable."""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.schemas import SchemaValidator, compile_schema

_sql = load("headrace_control.runs")


@dataclass(frozen=True, slots=True)
class InputRule:
    """The rule of one version; without a schema any object fits.

    `unusable` says why a schema that was good enough when it was published is no longer.
    """

    validator: SchemaValidator | None = None
    unusable: Sequence[Problem] = ()

    def problems(self, value: Json) -> Sequence[Problem]:
        """What does not fit, with paths under `input`."""
        return self.validator.validate(value, "input") if self.validator else self.unusable


class Parameters:
    """The rules of the versions that were started last."""

    def __init__(self, size: int = 500) -> None:
        self._size = size
        self._rules: OrderedDict[UUID, InputRule] = OrderedDict()

    async def of(self, db: Db, tenant_id: UUID, version_ids: Collection[UUID]) -> Mapping[UUID, InputRule]:
        """The rule of each version, which is of this tenant and published."""
        missing = [i for i in version_ids if i not in self._rules]
        if missing:
            for row in await db.fetch(_sql.parameters, tenant_id, missing):
                self._rules[row["id"]] = _rule(row["parameters"])
        found = {i: self._rules[i] for i in version_ids}
        for i in found:
            self._rules.move_to_end(i)
        while len(self._rules) > self._size:
            self._rules.popitem(last=False)
        return found


def _rule(schema: Json) -> InputRule:
    if schema is None:
        return InputRule()
    try:
        return InputRule(compile_schema(schema))
    except InvalidInput as error:
        mend = "Publish the workflow again with a schema that can be used."
        return InputRule(
            unusable=[replace(p, path=f"parameters.{p.path}", mend=mend) for p in error.problems]
        )
