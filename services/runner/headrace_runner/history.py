"""A run's history as its holder writes it: every event is folded in the moment in which it is written."""

from datetime import datetime

import orjson
from headrace.json_types import Json, JsonObject
from headrace.workflow.document import OnError, StepType
from headrace.workflow.fold import Change, fold
from headrace.workflow.frontier import Frontier
from headrace.workflow.graph import Graph
from headrace.workflow.keys import Part, RowKey, read_key
from headrace.workflow.state import EventKind, RunState, StepStatus

from headrace_runner.clock import Clock
from headrace_runner.metrics import RunMeter
from headrace_runner.reporting import RunReport
from headrace_runner.retry import retries_of
from headrace_runner.run_secrets import RunSecrets

# A step's output, and all outputs of a run together: what a checkpoint, a claim's answer and a message can carry.
MAX_OUTPUT_BYTES = 1024 * 1024
MAX_RUN_OUTPUT_BYTES = 16 * 1024 * 1024

# The parts of an event that can hold what a tenant or a target wrote. The protocol's own words are not searched
# for secrets: one that happens to read like them would break its tenant's runs.
_TENANTS_WORDS = frozenset({"input", "output", "error", "result", "title", "details"})
# Steps that say no, or repeat what a child has said: nothing in them can be tried again.
_NO_CALL = frozenset({StepType.APPROVAL, StepType.SIGNAL, StepType.WORKFLOW, StepType.FAIL})


class RunHistory:
    """The run's state, and the one way to change it. `begun` is when the attempt under way of each row began; of one
    of another runner's, when its step did."""

    def __init__(
        self,
        graph: Graph,
        state: RunState,
        begun: dict[str, datetime],
        report: RunReport,
        clock: Clock,
        secrets: RunSecrets,
        meter: RunMeter,
    ) -> None:
        self.state, self.frontier, self.begun = state, Frontier(graph, state), begun
        self._graph, self._report, self._clock = graph, report, clock
        self._secrets, self._meter = secrets, meter
        self._retries: int | None = None
        self._output_bytes = sum(
            len(orjson.dumps(row.output)) for row in state.steps.values() if row.output is not None
        )

    def emit(self, kind: EventKind, step: str | None, data: JsonObject) -> None:
        """Write an event and fold it. What is written and what is folded are the same, redacted, data: a
        resumed run sees exactly what this one saw. But for sensitive values of an output: they are written sealed,
        and opened when the run is resumed."""
        clean = self._clean(data)
        refused = isinstance(error := data.get("error"), dict) and error.get("code") == "REJECTED"
        failed = step and data.get("status") == StepStatus.FAILED and not refused
        if step and failed and self._unhandled(read_key(step)):
            clean["unhandled"] = True
        now = self._clock.now()
        if kind is EventKind.STARTED and step is not None:
            self.begun[step] = now
        written = clean
        if step is not None and "output" in clean:
            written = {**clean, "output": self._secrets.sensitive.sealed(step, clean["output"])}
        place = self._report.emit(kind, now, step, written)
        self._meter.wrote(kind, step, clean, now)
        before = self.state
        self.state = fold(before, Change(kind, step, clean, place))
        if step:
            self.frontier.changed(step, self.state)
            if self._retries is not None:
                self._retries += retries_of(step, self.state.step(step)) - retries_of(step, before.step(step))

    @property
    def decided(self) -> bool:
        """Whether a step has settled how the run ends. What was written down first stands: no `succeed` step is
        reached from then on."""
        return self.frontier.succeeded is not None or bool(self.frontier.failed)

    @property
    def output_bytes(self) -> int:
        """What the outputs of all rows take together."""
        return self._output_bytes

    def retries_left(self, budget: int | None) -> int | None:
        """What remains of a run's retry budget, if it has one. Counted once, and kept up from then on: in a large
        loop every item may ask."""
        if budget is None:
            return None
        if self._retries is None:
            self._retries = sum(retries_of(key, row) for key, row in self.state.steps.items())
        return max(budget - self._retries, 0)

    def _clean(self, data: JsonObject) -> JsonObject:
        clean: JsonObject = {}
        for name, value in data.items():
            if name in _TENANTS_WORDS:
                secrets = self._secrets
                clean[name] = secrets.redactor.value(value) if name == "output" else secrets.shown(value)
            elif name == "wait" and isinstance(value, dict):
                clean[name] = self._clean(value)
            else:
                clean[name] = value
        return clean

    def _unhandled(self, key: RowKey) -> bool:
        """Whether nothing in the document deals with the failure of this row: it is a dead letter."""
        if key.part is not None:
            return key.part is Part.UNDO
        if self.frontier.succeeded is not None:
            return False  # the run ends well all the same
        if self._graph.steps[key.step].type in _NO_CALL:
            return False
        each = self._graph.steps[key.step].for_each
        if key.index is not None and each is not None and each.on_item_error is OnError.CONTINUE:
            return False
        # A loop fails by an item, which is told of already.
        is_loop = each is not None and key.index is None and self.state.step(key.step).items is not None
        return self._graph.fails_the_run(key.step) and not is_loop

    def keep(self, output: Json) -> bool:
        """Whether there is room for a step's output beside those that the run has already."""
        try:
            size = len(orjson.dumps(self._secrets.sensitive.sealed("", output)))
        except TypeError:
            return False
        if size > MAX_OUTPUT_BYTES or self._output_bytes + size > MAX_RUN_OUTPUT_BYTES:
            return False
        self._output_bytes += size
        return True
