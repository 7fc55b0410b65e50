"""What versions ask of their starts: compiled once, kept by version, for versions are immutable."""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.concurrency import load_concurrency
from headrace.workflow.document import Concurrency
from headrace.workflow.schemas import SchemaValidator, compile_schema
from headrace.workflow.sensitive import Marks

_sql = load("headrace_control.runs")


@dataclass(frozen=True, slots=True)
class StartRule:
    """The rule of one version; without a schema any object fits, without `concurrency` any number of runs goes on.

    `unusable` says why a schema that was good enough when it was published is no longer.
    """

    validator: SchemaValidator | None = None
    unusable: Sequence[Problem] = ()
    concurrency: Concurrency | None = None

    @property
    def marks(self) -> Marks | None:
        """What of an input is sealed, if anything."""
        return self.validator.marks if self.validator else None

    def problems(self, value: Json) -> Sequence[Problem]:
        """What does not fit, with paths under `input`."""
        return self.validator.validate(value, "input") if self.validator else self.unusable


class Parameters:
    """The rules of the versions that were started last."""

    def __init__(self, size: int = 500) -> None:
        self._size = size
        self._rules: OrderedDict[UUID, StartRule] = OrderedDict()

    async def of(self, db: Db, tenant_id: UUID, version_ids: Collection[UUID]) -> Mapping[UUID, StartRule]:
        """The rule of each version, which is of this tenant and published."""
        missing = [i for i in version_ids if i not in self._rules]
        if missing:
            for row in await db.fetch(_sql.start_rules, tenant_id, missing):
                self._rules[row["id"]] = replace(
                    _rule(row["parameters"]), concurrency=load_concurrency(row["concurrency"])
                )
        found = {i: self._rules[i] for i in version_ids}
        for i in found:
            self._rules.move_to_end(i)
        while len(self._rules) > self._size:
            self._rules.popitem(last=False)
        return found


def _rule(schema: Json) -> StartRule:
    if schema is None:
        return StartRule()
    try:
        return StartRule(compile_schema(schema))
    except InvalidInput as error:
        mend = "Publish the workflow again with a schema that can be used."
        return StartRule(
            unusable=[replace(p, path=f"parameters.{p.path}", mend=mend) for p in error.problems]
        )
