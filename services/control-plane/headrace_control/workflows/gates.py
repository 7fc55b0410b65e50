"""What the policy says of a document's actions: those that never run, and those that ask for approval."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from headrace.errors import Problem
from headrace.workflow.document import Document

from headrace_control.policy.model import ApprovalClass, Effective

FORBIDDEN = "POLICY_FORBIDDEN"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about a document that is no problem, and worth knowing before it runs."""

    path: str
    message: str
    code: str


def forbidden(document: Document, policy: Mapping[str, Effective]) -> list[Problem]:
    """A problem for each place that names an action of class C."""
    problems = []
    for path, ref, _ in _places(document):
        found = policy.get(ref)
        if found is None or found.approval_class is not ApprovalClass.C:
            continue
        mend = "Use another action."
        if not found.is_for_good:
            mend = f"Use another action, or ask an admin for a policy rule that allows {ref}."
        problems.append(Problem(path, f"{ref} is class C and never runs: {found.reason}", mend, FORBIDDEN))
    return problems


def notices(document: Document, policy: Mapping[str, Effective]) -> list[Notice]:
    """A notice for each place that names an action of class B."""
    found = []
    for path, ref, asks in _places(document):
        held = policy.get(ref)
        if held is None or held.approval_class is not ApprovalClass.B:
            continue
        if asks:
            words = f"asks for approval at each run: {ref} is class B ({held.reason})"
            found.append(Notice(path, words, "ASKS_FOR_APPROVAL"))
        else:
            words = (
                f"runs without approval, so that it can be done unattended: {ref} is class B ({held.reason})"
            )
            found.append(Notice(path, words, "RUNS_WITHOUT_APPROVAL"))
    return found


def refused_places(problems: Sequence[Problem]) -> list[str]:
    """The places that the policy refuses, among all problems of a document."""
    return [problem.path for problem in problems if problem.code == FORBIDDEN]


def _places(document: Document) -> Iterator[tuple[str, str, bool]]:
    """Each place that names an action, the action, and whether an approval can be asked for there."""
    for n, step in enumerate(document.steps):
        if step.action:
            yield f"steps[{n}].action", step.action, True
        if step.compensate is not None and step.compensate.action:
            yield f"steps[{n}].compensate.action", step.compensate.action, False
        if step.probe is not None and step.probe.action:
            yield f"steps[{n}].probe.action", step.probe.action, False
