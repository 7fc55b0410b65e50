"""What versions ask of their starts: compiled once, kept by version, for versions are immutable."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import orjson
from cachetools import LRUCache
from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.concurrency import load_concurrency
from headrace.workflow.document import Concurrency
from headrace.workflow.schemas import SchemaValidator, compile_schema
from headrace.workflow.sensitive import Marks

_sql = load("headrace_control.runs", "starting.sql")

# Of schemas as JSON, in bytes; compiled, they take several times as much.
ROOM = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StartRule:
    """The rule of one version; without a schema any object fits, without `concurrency` any number of runs goes on.

    `unusable` says why a schema that was good enough when it was published is no longer.
    """

    validator: SchemaValidator | None = None
    unusable: Sequence[Problem] = ()
    concurrency: Concurrency | None = None
    schema_bytes: int = 0

    @property
    def marks(self) -> Marks | None:
        """What of an input is sealed, if anything."""
        return self.validator.marks if self.validator else None

    def problems(self, value: Json) -> Sequence[Problem]:
        """What does not fit, with paths under `input`."""
        return self.validator.validate(value, "input") if self.validator else self.unusable


class Parameters:
    """The rules of the versions that were started last."""

    def __init__(self) -> None:
        self._rules: LRUCache[UUID, StartRule] = LRUCache(ROOM, getsizeof=_size)

    async def of(self, db: Db, tenant_id: UUID, version_ids: Collection[UUID]) -> Mapping[UUID, StartRule]:
        """The rule of each version, which is of this tenant and published."""
        found = {i: rule for i in version_ids if (rule := self._rules.get(i)) is not None}
        missing = [i for i in version_ids if i not in found]
        if missing:
            for row in await db.fetch(_sql.start_rules, tenant_id, missing):
                found[row["id"]] = self._rules[row["id"]] = replace(
                    _rule(row["parameters"]), concurrency=load_concurrency(row["concurrency"])
                )
        return found


def _rule(schema: Json) -> StartRule:
    if schema is None:
        return StartRule()
    size = len(orjson.dumps(schema))
    try:
        return StartRule(compile_schema(schema), schema_bytes=size)
    except InvalidInput as error:
        mend = "Publish the workflow again with a schema that can be used."
        return StartRule(
            unusable=[replace(p, path=f"parameters.{p.path}", mend=mend) for p in error.problems],
            schema_bytes=size,
        )


def _size(rule: StartRule) -> int:
    return 256 + rule.schema_bytes
