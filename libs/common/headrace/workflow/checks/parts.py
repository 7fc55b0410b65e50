"""Loops, waits, child runs and endings of steps: can they be done as they are written?"""

from headrace.json_types import JsonObject
from headrace.workflow.checks.calls import create
from headrace.workflow.checks.inputs import check_child_input
from headrace.workflow.checks.subject import Subject
from headrace.workflow.definition import PinnedChild, pinned_by
from headrace.workflow.document import Approval, Child, ForEach, Step
from headrace.workflow.expressions.template import has_expression, inspect_template
from headrace.workflow.paths import at_index
from headrace.workflow.schemas import Schemas, check_schema
from headrace.workflow.sensitive import unheeded_marks
from headrace.workflow.times import WORDS, read_moment


def check_parts(subject: Subject, schemas: Schemas, step: Step, place: str) -> None:
    """CONTRADICTION, BAD_EXPRESSION, BAD_TIME, BAD_SCHEMA, NOT_SEALED, UNKNOWN_ROLE, UNKNOWN_WORKFLOW,
    UNKNOWN_VERSION."""
    reading = subject.reading
    if step.for_each is not None:
        _check_items(subject, step.for_each, f"{place}.forEach.items")
        if step.repeat is not None:
            mend = "Put the one of the two into a workflow of its own, and run that as a step."
            reading.add(
                f"{place}.repeat", "a step has `forEach` or `repeat`, not both", mend, "CONTRADICTION"
            )
    if step.wait is not None and step.wait.until is not None:
        until = step.wait.until
        if not has_expression(until) and read_moment(until) is None:
            mend = f"{WORDS} In UTC it lies inside the years 1 to 9999."
            reading.add(f"{place}.wait.until", "this is no time to wait for", mend, "BAD_TIME")
    if step.approval is not None:
        _check_approval(subject, step.approval, f"{place}.approval")
    if step.signal is not None and step.signal.schema is not None:
        _check_said(subject, step.signal.schema, f"{place}.signal.schema")
    if step.child is not None:
        pinned = _find_child(subject, step.child, f"{place}.workflow")
        if pinned is not None and pinned.parameters is not None:
            check_child_input(subject, schemas, step, pinned.parameters, place)


def _check_items(subject: Subject, loop: ForEach, path: str) -> None:
    if isinstance(loop.items, str):
        template, _ = inspect_template(loop.items)
        if template is not None and template.single is None:
            mend = "Write all of it between one pair of braces, as in `{{ input.lines }}`."
            subject.reading.add(path, "this is more than one expression", mend, "BAD_EXPRESSION")


def _check_approval(subject: Subject, approval: Approval, place: str) -> None:
    if approval.form is not None:
        _check_said(subject, approval.form, f"{place}.form")
    known = subject.catalog.roles
    for index, role in enumerate(approval.roles):
        if known and role not in known:
            path = at_index(f"{place}.roles", index)
            subject.reading.add(
                path, f"there is no role `{role[:63]}`", subject.reading.closest(role, known), "UNKNOWN_ROLE"
            )


def _check_said(subject: Subject, schema: JsonObject, path: str) -> None:
    """Of what somebody says to a run: whoever may read the run may read it."""
    subject.reading.problems.extend([*check_schema(schema, path), *unheeded_marks(schema, path)])


def _find_child(subject: Subject, child: Child, path: str) -> PinnedChild | None:
    known = subject.catalog.workflows
    versions = known.get(child.workflow, {})
    newest = pinned_by(None, versions)
    if not versions or (newest is None and child.version is None):
        message = f"there is no published workflow `{child.workflow}`"
        mend = create(subject.reading, child.workflow, known)
        subject.reading.add(path, message, mend, "UNKNOWN_WORKFLOW")
        return None
    found = pinned_by(child.version, versions)
    if found is None:
        message = f"workflow `{child.workflow}` has no published version {child.version}"
        mend = f"Its newest is {max(versions)}."
        if newest is not None:
            mend = f"Its newest is {newest.version}; leave `version` out to run that."
        subject.reading.add(f"{path}.version", message, mend, "UNKNOWN_VERSION")
    return found
