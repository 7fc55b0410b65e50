"""A run's history as its holder writes it: every event is folded in the moment in which it is written."""

from datetime import datetime

from headrace.json_types import Json, JsonObject
from headrace.workflow.asking import Answers, Conditions
from headrace.workflow.conditions import Evaluate, no_expressions
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
from headrace_runner.stored import as_stored, stored_size

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
    of another runner's, when its step did. `answers` are those of the conditions that were asked here, and `evaluate`,
    once it is set, answers for their expressions."""

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
        self.answers = Answers()
        self.evaluate: Evaluate = no_expressions
        self._retries: int | None = None
        self._output_bytes = sum(
            stored_size(row.output) for row in state.steps.values() if row.output is not None
        )

    def emit(self, kind: EventKind, step: str | None, data: JsonObject) -> None:
        """Write an event and fold it. What is written and what is folded are the same data, redacted and as the
        database gives it back: a resumed run sees exactly what this one saw. But for sensitive values of an output:
        they are written sealed, and opened when the run is resumed."""
        clean = self._clean(data)
        before = self.state
        if step is not None and data.get("status") == StepStatus.FAILED:
            # What is asked of the failure sees it as whoever takes the run over will.
            self.state = fold(before, Change(kind, step, clean))
            refused = isinstance(error := data.get("error"), dict) and error.get("code") == "REJECTED"
            if self._unhandled(read_key(step)) and not refused:
                clean["unhandled"] = True
        now = self._clock.now()
        if kind is EventKind.STARTED and step is not None:
            self.begun[step] = now
        written = clean
        if step is not None and "output" in clean:
            written = {**clean, "output": self._secrets.sensitive.sealed(step, clean["output"])}
        place = self._report.emit(kind, now, step, written)
        self._meter.wrote(kind, step, clean, now)
        self.state = fold(before, Change(kind, step, clean, place))
        if step:
            self.frontier.changed(step, self.state)
            if self._retries is not None:
                self._retries += retries_of(step, self.state.step(step)) - retries_of(step, before.step(step))

    @property
    def decided(self) -> bool:
        """Whether a step has settled how the run ends. What was written down first stands: no `succeed` step is
        reached from then on."""
        fatal = (self.answers.dealt.get(key) is False for key in self.frontier.failed)
        return self.frontier.succeeded is not None or any(fatal)

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
            if name == "error" and isinstance(value, dict):
                # Part by part: where the message is hidden as a whole, the code still says what happened.
                clean[name] = {part: self._secrets.shown(words) for part, words in value.items()}
            elif name == "output":
                # Searched in the spelling that is kept; what is hidden in names changes their order.
                stored = as_stored(value)
                shown = self._secrets.redactor.value(stored)
                clean[name] = stored if shown is stored else as_stored(shown)
            elif name in _TENANTS_WORDS:
                clean[name] = self._secrets.shown(value)
            elif name == "wait" and isinstance(value, dict):
                clean[name] = self._clean(value)
            else:
                clean[name] = value
        return clean

    def _unhandled(self, key: RowKey) -> bool:
        """Whether nothing in the document deals with the failure of this row: it is a dead letter."""
        if key.part is not None:
            return key.part is Part.UNDO
        graph, each = self._graph, self._graph.steps[key.step].for_each
        if key.index is not None:
            # Whether the conditions of error edges hold is known at the end of the loop, and told of the loop then.
            passed_over = each is not None and each.on_item_error is OnError.CONTINUE
            told_later = bool(graph.error_conditions(key.step))
            dealt = passed_over or graph.deals_with_any_failure(key.step) or told_later
        else:
            # A loop without such edges fails by an item, which is told of already.
            is_loop = each is not None and self.state.step(key.step).items is not None
            conditions = Conditions(graph, self.state, self.evaluate, self.answers)
            dealt = conditions.dealt_with_now(key.step) or (is_loop and not graph.error_conditions(key.step))
        # After a `succeed` step was reached the run ends well all the same.
        ends_well = self.frontier.succeeded is not None
        return not dealt and not ends_well and graph.steps[key.step].type not in _NO_CALL

    def keep(self, output: Json) -> bool:
        """Whether there is room for a step's output beside those that the run has already."""
        try:
            size = stored_size(self._secrets.sensitive.sealed("", output))
        except TypeError:
            return False
        if size > MAX_OUTPUT_BYTES or self._output_bytes + size > MAX_RUN_OUTPUT_BYTES:
            return False
        self._output_bytes += size
        return True
