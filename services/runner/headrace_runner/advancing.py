"""What a step's execution needs of the run that it belongs to."""

from typing import Protocol

from headrace_runner.history import RunHistory
from headrace_runner.lease import HeldRun
from headrace_runner.outcomes import Outcomes
from headrace_runner.parts import EngineParts
from headrace_runner.reporting import RunReport
from headrace_runner.run_secrets import RunSecrets
from headrace_runner.scopes import Scopes


class Advancing(Protocol):
    """The run that a step belongs to, as its engine has it in hand."""

    parts: EngineParts
    held: HeldRun
    report: RunReport
    history: RunHistory
    scopes: Scopes
    outcomes: Outcomes
    secrets: RunSecrets

    def stopping(self) -> bool: ...
