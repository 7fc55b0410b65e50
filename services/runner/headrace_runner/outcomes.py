"""What `decide` finds to be over is written down: waits that ended, loops put together, doubts and their ends."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from headrace.errors import HeadraceError
from headrace.json_types import Json, JsonObject
from headrace.messages import LogLevel
from headrace.workflow.commands import Resolve
from headrace.workflow.conditions import ConditionFailed, holds
from headrace.workflow.extraction import extract
from headrace.workflow.graph import Graph
from headrace.workflow.keys import Part, RowKey, probe_key, read_key
from headrace.workflow.state import EventKind, Failure, StepStatus

from headrace_runner.clock import Clock
from headrace_runner.failures import OUTPUT_TOO_LARGE
from headrace_runner.history import RunHistory
from headrace_runner.loops import collected
from headrace_runner.run_log import RunLog
from headrace_runner.scopes import Scopes

# What a column of 32 bits holds: nobody may have looked at a run for weeks.
_LONGEST_ATTEMPT_MS = 2**31 - 1


class Outcomes:
    """Writes the outcomes of rows that no attempt of this runner brings about."""

    def __init__(
        self,
        graph: Graph,
        history: RunHistory,
        scopes: Scopes,
        log: RunLog,
        clock: Clock,
        places: Callable[[str], str],
        most_items: int | None = None,
    ) -> None:
        """`most_items` of one loop; None: as many as any loop may have."""
        self._most_items = most_items
        self._graph, self._history, self._scopes = graph, history, scopes
        self._log, self._clock, self._places = log, clock, places

    def expand(self, key: RowKey) -> None:
        """A loop begins: its event says how many items there are."""
        items = self._scopes.items(self._graph.steps[key.step])
        # Of a loop that begins now: one that has begun goes on, whatever the quota has become.
        if not isinstance(items, Failure) and self._most_items is not None and len(items) > self._most_items:
            words = (
                f"{self._places(key.step)}.forEach.items: the tenant's quota allows {self._most_items} items"
            )
            items = Failure("QUOTA_EXCEEDED", words)
        if isinstance(items, Failure):
            self._history.emit(
                EventKind.COMPLETED, key.step, {"status": StepStatus.FAILED, "error": items.as_json()}
            )
            self._log.write(LogLevel.ERROR, f"step {key.step} failed: {items.message}", step=key.step)
        else:
            self._history.emit(
                EventKind.STARTED, key.step, {"attempt": 1, "unsafe": False, "items": len(items)}
            )

    def collect(self, row: str) -> None:
        """No item is under way: the loop ends with their results."""
        step = self._graph.steps[row]
        output, error = collected(step, self._history.state)
        self._scopes.loops.forget(step)
        if error is None and not self._history.keep(output):
            error = Failure("OUTPUT_TOO_LARGE", "the items' outputs together are too large")
        if error is None:
            self._history.emit(EventKind.COMPLETED, row, {"status": StepStatus.SUCCESS, "output": output})
        else:
            self._history.emit(
                EventKind.COMPLETED, row, {"status": StepStatus.FAILED, "error": error.as_json()}
            )
            self._log.write(LogLevel.ERROR, f"step {row} failed: {error.message}", step=row, code=error.code)

    def resolve(self, done: Resolve) -> None:
        """A wait is over, or a step can not begin."""
        status, output, error = done.status, done.output, done.error
        if output is not None and not self._history.keep(output):
            status, output, error = StepStatus.FAILED, None, OUTPUT_TOO_LARGE
        data: JsonObject = {"status": status}
        if done.inbox:
            data["inbox"] = list(done.inbox)
        if output is not None:
            data["output"] = output
        if error:
            data["error"] = error.as_json()
        self._history.emit(EventKind.COMPLETED, done.step, data)
        level = LogLevel.ERROR if error else LogLevel.INFO
        canceled = "is not asked any more" if status is StepStatus.CANCELED else "succeeded"
        words = f"failed: {error.message}" if error else canceled
        self._log.write(level, f"step {done.step} {words}", step=done.step)

    def doubt_stopped(self) -> None:
        """Unsafe calls that the run's time limit cut off: nobody knows whether they arrived."""
        for key, step in self._history.state.steps.items():
            if step.in_flight:
                self.doubt(key, "the run's time limit cut a call off that may have arrived")

    def doubt(self, key: str, message: str) -> None:
        """End the attempt under way, of which nobody knows whether it was one."""
        error = Failure("OUTCOME_UNKNOWN", message).as_json()
        now = self._clock.now()
        began = min(self._history.begun.get(key, now), now)
        attempt: JsonObject = {
            "number": self._history.state.step(key).attempts + 1,
            "startedAt": began.isoformat(),
            "durationMs": min(int((now - began) / timedelta(milliseconds=1)), _LONGEST_ATTEMPT_MS),
            "outcome": StepStatus.UNKNOWN,
        }
        data: JsonObject = {"status": StepStatus.UNKNOWN, "attempt": attempt, "error": error}
        self._history.emit(EventKind.COMPLETED, key, data)
        self._log.write(LogLevel.WARN, f"step {key} is in doubt: {message}", step=key)

    def settle(
        self, key: str, status: StepStatus, output: Json, error: Failure | None, how: JsonObject
    ) -> None:
        """A doubt has ended; with QUEUED the row is done again."""
        data: JsonObject = {"status": status, **how}
        if status is StepStatus.SUCCESS and output is not None and self._history.keep(output):
            data["output"] = output
        if status is StepStatus.FAILED:
            data["error"] = (
                error or Failure("SETTLED_FAILED", "the doubt was settled as a failure")
            ).as_json()
        self._history.emit(EventKind.SETTLED, key, data)
        self._log.write(LogLevel.INFO, f"step {key}: the doubt is settled, {status}", step=key)

    def settle_by_probe(self, key: str) -> None:
        """Write down what the probe's answer says of the row `key`."""
        row = self._history.state.step(probe_key(key))
        how: JsonObject = {"by": {"by": "probe"}}
        said = self._said(read_key(key), row.output)
        if isinstance(said, Failure):
            self.settle(key, StepStatus.FAILED, None, said, how)
        else:
            arrived, output = said
            self.settle(key, StepStatus.SUCCESS if arrived else StepStatus.QUEUED, output, None, how)

    def unreadable(self, key: RowKey, output: Json) -> Failure | None:
        """Why the answer of the probe `key` says nothing of its step, if that is so. The probe has failed then, and a
        person is asked: nobody guesses."""
        if key.part is not Part.PROBE:
            return None
        said = self._said(replace(key, part=None), output)
        return said if isinstance(said, Failure) else None

    def _said(self, name: RowKey, answer: Json) -> tuple[bool, Json] | Failure:
        """Whether the call in doubt arrived, and then the step's output."""
        probe = self._graph.steps[name.step].probe
        if probe is None:
            return Failure("PROBE_MISSING", f"{self._places(name.step)} has no probe")
        seen = {"output": answer, "status": StepStatus.SUCCESS.value, "error": None}
        try:
            arrived = holds(probe.done, seen, partial(self._scopes.evaluate, key=name))
            return arrived, extract(answer, probe.output) if arrived and probe.output is not None else answer
        except ConditionFailed as wrong:
            return Failure(wrong.code, f"{self._places(name.step)}.probe.done: {wrong}")
        except HeadraceError as wrong:
            return Failure("EXTRACTION_FAILED", f"{self._places(name.step)}.probe.output: {wrong.message}")
