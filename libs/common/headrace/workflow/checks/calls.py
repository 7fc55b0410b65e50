"""The calls of a step: its action, what undoes it, and what settles its doubt. Are they there, and do they fit?"""

from collections.abc import Collection, Mapping

from headrace.errors import InvalidInput
from headrace.workflow.checks.cache import check_cache
from headrace.workflow.checks.inputs import check_call_input, check_step_input
from headrace.workflow.checks.subject import Subject
from headrace.workflow.definition import ActionDefinition
from headrace.workflow.document import Step
from headrace.workflow.extraction import compile_path
from headrace.workflow.grammar import ACTION_TYPE
from headrace.workflow.idempotency import may_repeat
from headrace.workflow.outputs import DEFAULT_OUTPUT, unmapped_names
from headrace.workflow.paths import at_name
from headrace.workflow.reading import Reading
from headrace.workflow.schemas import Schemas


def check_calls(subject: Subject, schemas: Schemas, step: Step, place: str) -> None:
    """UNKNOWN_ACTION, UNKNOWN_CONNECTION, CONNECTION_OF_OTHER_APP, UNSAFE_PROBE, and what inputs, outputs and a cache
    can be."""
    check_output(
        subject, step.output or {}, f"{place}.output", unmapped_names(step), step.type == ACTION_TYPE
    )
    if step.action is not None:
        action = _find(subject, step.action, step.connection, place)
        if action is not None and step.type == ACTION_TYPE:
            check_step_input(subject, schemas, step, action, place)
            if step.cache is not None:
                check_cache(subject, step, action, place)
    _check_connection(subject, step.connection, place)
    undo, probe = step.compensate, step.probe
    if undo is not None:
        at = f"{place}.compensate"
        _check_connection(subject, undo.connection, at)
        action = _find(subject, undo.action, undo.connection or step.connection, at)
        if action is not None:
            check_call_input(subject, schemas, step, undo.input, action, at)
    if probe is not None:
        at = f"{place}.probe"
        _check_connection(subject, probe.connection, at)
        check_output(subject, probe.output or {}, f"{at}.output", DEFAULT_OUTPUT, call=True)
        action = _find(subject, probe.action, probe.connection or step.connection, at)
        if action is None:
            return
        check_call_input(subject, schemas, step, probe.input, action, at)
        if not may_repeat(action):
            mend = "Use an action that only reads, or say of this one that it is idempotent."
            message = "the probe's own call could be in doubt: it can not be repeated"
            subject.reading.add(f"{at}.action", message, mend, "UNSAFE_PROBE")


def check_output(
    subject: Subject, paths: Mapping[str, str], at: str, known: Collection[str] | None, call: bool
) -> None:
    """BAD_PATH and UNKNOWN_OUTPUT: each path compiles, and begins with a name that is there."""
    for name, text in paths.items():
        path = at_name(at, name)
        try:
            first = compile_path(text, path).first_name
        except InvalidInput as error:
            subject.reading.problems.extend(error.problems)
            continue
        if known is not None and first is not None and first not in known:
            mend = f"Write `$.body.{first[:63]}`." if call else subject.reading.closest(first, known)
            message = f"the path starts with a name that is not there; there are {', '.join(sorted(known))}"
            subject.reading.add(path, message, mend, "UNKNOWN_OUTPUT")


def _find(subject: Subject, ref: str, connection: str | None, place: str) -> ActionDefinition | None:
    catalog, path = subject.catalog, f"{place}.action"
    action = catalog.actions.get(ref)
    if action is None:
        mend = create(subject.reading, ref, catalog.actions)
        subject.reading.add(path, f"there is no action `{ref}`", mend, "UNKNOWN_ACTION")
        return None
    app = catalog.connections.get(connection) if connection is not None else None
    if app is not None and app != action.app:
        same = sorted(name for name, its_app in catalog.connections.items() if its_app == action.app)
        mend = f"Use {', '.join(same[:10])}." if same else f"Create a connection of app `{action.app}`."
        message = f"connection `{connection}` is of app `{app}`, not `{action.app}`"
        subject.reading.add(path, message, mend, "CONNECTION_OF_OTHER_APP")
    return action


def _check_connection(subject: Subject, name: str | None, place: str) -> None:
    known = subject.catalog.connections
    if name is not None and name not in known:
        message = f"there is no connection `{name}`"
        subject.reading.add(
            f"{place}.connection", message, create(subject.reading, name, known), "UNKNOWN_CONNECTION"
        )


def create(reading: Reading, name: str, known: Collection[str]) -> str:
    """The mend for a name of something that the tenant lacks."""
    return reading.closest(name, known) if known else f"Create `{name}` first."
