"""How an engine's pass over a run ends: by parking it, or for good."""

from datetime import datetime

from headrace.json_types import Json, JsonObject
from headrace.messages import LogLevel
from headrace.workflow.expressions.limits import ExpressionError
from headrace.workflow.expressions.render import Templates
from headrace.workflow.state import EventKind, Failure, ParkReason, Undoing

from headrace_runner.claimed_run import ClaimedRun
from headrace_runner.history import RunHistory
from headrace_runner.run_log import RunLog
from headrace_runner.scopes import Scopes


class Endings:
    """Says how the run is left. `left` is true once that is said: nothing of the run is begun here any more."""

    def __init__(
        self, run: ClaimedRun, history: RunHistory, scopes: Scopes, templates: Templates, log: RunLog
    ) -> None:
        self._run, self._history, self._scopes = run, history, scopes
        self._templates, self._log = templates, log
        self.left = False

    def compensate(self, undoing: Undoing) -> None:
        """The run goes on with undoing what it did."""
        self._history.emit(EventKind.COMPENSATING, None, undoing.as_json())
        why = f": {undoing.error.message}" if undoing.error else ""
        self._log.write(LogLevel.WARN, f"run is being compensated{why}")

    def park(self, reason: ParkReason, resume_at: datetime | None) -> None:
        # rule park_tells_what_it_saw: a message above this is news to whoever applies it
        data: JsonObject = {"reason": reason, "inboxSeen": self._history.state.inbox_seen}
        if resume_at:
            data["resumeAt"] = resume_at.isoformat()
        self._history.emit(EventKind.PARKED, None, data)
        self.left = True

    def cancel(self, error: Failure | None) -> None:
        self._history.emit(EventKind.CANCELED, None, {"error": error.as_json()} if error else {})
        self._log.write(LogLevel.INFO, "run canceled")
        self.left = True

    def finish(self, error: Failure | None) -> None:
        """With its result, unless it failed or was undone; a result that can not be made is a failure."""
        result: Json = None
        if error is None and not self._history.state.undoing:
            try:
                result = self._result()
            except ExpressionError as wrong:
                error = Failure("RESULT_FAILED", f"{wrong.path}: {wrong.reason}")
        if error:
            self._history.emit(EventKind.FINISHED, None, {"status": "FAILED", "error": error.as_json()})
            self._log.write(LogLevel.ERROR, f"run failed: {error.message}", code=error.code)
        else:
            self._history.emit(EventKind.FINISHED, None, {"status": "SUCCESS", "result": result})
            self._log.write(LogLevel.INFO, "run finished")
        self.left = True

    def _result(self) -> Json:
        """What the step that ended the run early gave, or else what the document says."""
        early = self._history.frontier.succeeded
        if early is not None and self._run.graph.steps[early].input is not None:
            return self._history.state.step(early).output
        written = self._run.version.document.result
        return None if written is None else self._templates.render(written, self._scopes.scope(), "result")
