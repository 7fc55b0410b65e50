"""Where a dry run's answers come from: what was declared, else what was recorded of the same action revision."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from headrace.json_types import Json, JsonObject
from headrace.outbound.call import CallFailure, CallResult
from headrace.outbound.failures import CallCode
from headrace.workflow.keys import read_key
from headrace.workflow.sensitive import Leaf
from headrace.workflow.state import Failure, StepStatus

from headrace_runner.dry.job import DryJob, Recorded, RecordedRow, declared_at
from headrace_runner.sensitive import opened
from headrace_runner.steps.secret_bounds import NOT_FOR_APP
from headrace_runner.versions import LoadedVersion


class Source(StrEnum):
    DECLARED = "DECLARED"
    RECORDED = "RECORDED"
    ASSUMED = "ASSUMED"  # an approval of which nothing is said is given


@dataclass(frozen=True, slots=True)
class Ended:
    """How the row ended, as it was recorded or declared: without looking at an answer again."""

    output: Json = field(repr=False)
    error: Failure | None
    source: Source


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is no answer, and the step stops here. `code` and `why` tell what is missing."""

    code: str
    why: str


class Answers:
    """Of one walk. `place` is the path of the run within the walk, `recorded` the run of the same place."""

    def __init__(
        self, job: DryJob, place: str, version: LoadedVersion, recorded: Recorded | None, *, declared: bool
    ) -> None:
        self._job, self._place, self.version, self._recorded = job, place, version, recorded
        self._declared = declared

    def path(self, row: str) -> str:
        return f"{self._place}{row}"

    def child(self, row: str) -> Recorded | None:
        """The recorded child that this row began."""
        return self._recorded.children.get(row) if self._recorded else None

    def declared(self, row: str, number: int) -> JsonObject | None:
        return declared_at(self._job.responses, self.path(row), number) if self._declared else None

    def of_call(self, row: str) -> Ended | Nothing:
        """What stands for a row's whole call, when no response was declared for it."""
        if self._recorded is None:
            return Nothing("NOT_DECLARED", "no response is declared for this step")
        found = self._recorded.rows.get(row)
        if found is None or found.status not in _ANSWERED:
            return Nothing("NOT_RECORDED", "the recorded run did not end this step")
        if why := self._other(row):
            return Nothing("OTHER_CALL", f"what was recorded does not answer it: {why}")
        return self._ended(row, found)

    def refusal(self, row: str) -> Failure | None:
        """Why the recorded run sent nothing for this row, by what was allowed then; None for a walk of what would be
        sent now."""
        if self._declared or self._recorded is None:
            return None
        found = self._recorded.rows.get(row)
        refused = found is not None and found.error is not None and found.error.code == NOT_FOR_APP
        return found.error if found is not None and refused else None

    def of_wait(self, row: str) -> Ended | None:
        """What came of a wait in the recorded run."""
        found = self._recorded.rows.get(row) if self._recorded else None
        return self._ended(row, found) if found is not None and found.status in _ANSWERED else None

    def learnt(self, row: str) -> list[Leaf]:
        """What is sealed in the recorded output of the row."""
        found = self._recorded.rows.get(row) if self._recorded else None
        return self._opened(row, found)[1] if found is not None else []

    def _ended(self, row: str, found: RecordedRow) -> Ended:
        error = found.error if found.status is StepStatus.FAILED else None
        return Ended(self._opened(row, found)[0], error, Source.RECORDED)

    def _opened(self, row: str, found: RecordedRow) -> tuple[Json, list[Leaf]]:
        keys: dict[UUID, bytes] = {}
        if found.run_id in self._job.keys:
            keys[found.run_id] = self._job.keys[found.run_id]
        return opened(self._job.tenant_id, keys, row, found.output)

    def _other(self, row: str) -> str | None:
        """Why the recorded output is not that of this version's call."""
        assert self._recorded is not None  # noqa: S101 - the caller has looked
        before = self._job.versions[self._recorded.version_id].version
        key = read_key(row)
        if key.part is not None:
            return None if before.id == self.version.version.id else "it is of another version"
        old = next((step for step in before.document.steps if step.key == key.step), None)
        new = self.version.graph.steps[key.step]
        if old is None or old.action != new.action:
            return "the step calls another action"
        pinned_old = before.actions.get(old.action or "")
        pinned_new = self.version.version.actions.get(new.action or "")
        if pinned_old and pinned_new and pinned_old.revision_id != pinned_new.revision_id:
            return "the action has another revision"
        return None if old.output == new.output else "the step's output is extracted in another way"


_ANSWERED = frozenset({StepStatus.SUCCESS, StepStatus.CACHED, StepStatus.FAILED, StepStatus.COMPENSATED})


def as_answer(said: JsonObject) -> CallResult | CallFailure:
    """A declared response as the outbound client would answer it: `status`, `headers` and `body`, or `error` with the
    code of a call that got none."""
    if (code := said.get("error")) is not None:
        known = str(code) in {one.value for one in CallCode}
        name = str(code) if known else CallCode.CONNECTION_LOST.value
        sent = name in (CallCode.TIMEOUT.value, CallCode.CONNECTION_LOST.value)
        return CallFailure(name, "the call was declared to fail", sent=sent)
    given = said.get("status", 200)
    status = given if isinstance(given, int) else 200
    named = said.get("headers")
    headers: JsonObject = {k.lower(): v for k, v in named.items()} if isinstance(named, dict) else {}
    result = CallResult(status, headers, said.get("body"))
    if 200 <= status < 300:
        return result
    after = str(headers.get("retry-after", ""))
    seconds = float(after[:9]) if after.isascii() and after.isdigit() else None
    words = f"the target answered {status}"
    return CallFailure(
        f"HTTP_{status}", words, sent=True, status=status, retry_after=seconds, response=result.output
    )
