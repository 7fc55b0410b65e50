"""Do the expressions compile, and is what they refer to there, upstream, and allowed in that place?"""

from collections.abc import Collection
from dataclasses import dataclass

from headrace.json_types import Json
from headrace.workflow.assign import values_of
from headrace.workflow.checks.subject import Subject
from headrace.workflow.document import Step
from headrace.workflow.expressions import EVERYWHERE, Local, References, texts_in
from headrace.workflow.expressions.template import Template, has_expression, inspect_template
from headrace.workflow.grammar import ACTION_TYPE, SIGNAL_TYPE
from headrace.workflow.outputs import output_names, own_output_names
from headrace.workflow.paths import at_name
from headrace.workflow.uses import app_of

# Keywords that let a schema take names that its own `properties` do not spell.
_OPEN = frozenset(
    {
        "$ref",
        "allOf",
        "anyOf",
        "oneOf",
        "if",
        "patternProperties",
        "dependentSchemas",
        "unevaluatedProperties",
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """What an expression may name where it stands.

    Steps upstream of `of` (None: every step), and `of` itself with `itself`; secrets; callback addresses; the names
    of `local`. `app` is where secrets would go. `own` are the names at the top of the output that a condition asks
    about, None when not known.
    """

    of: str | None = None
    itself: bool = False
    secrets: bool = False
    app: str | None = None
    callbacks: bool = False
    local: Local = EVERYWHERE
    own: Collection[str] | None = None


def check_references(subject: Subject) -> None:
    """The expressions in `env`, `result`, and the values of steps.

    BAD_EXPRESSION, UNKNOWN_STEP, NOT_UPSTREAM, UNKNOWN_OUTPUT, UNKNOWN_ENV, UNKNOWN_INPUT, SECRET_NOT_ALLOWED,
    SECRET_NOT_FOR_APP, CALLBACK_NOT_ALLOWED, NO_SIGNAL, CALLBACK_TOO_LATE, EXPRESSION_NOT_ALLOWED.
    """
    document = subject.document
    for name, value in document.env.items():
        if isinstance(value, str) and has_expression(value):
            mend = "Write a plain value; compute in a step."
            place = at_name("env", name)
            subject.reading.add(place, "expressions are not evaluated here", mend, "EXPRESSION_NOT_ALLOWED")
    for index, step in enumerate(document.steps):
        _check_values(subject, step, subject.place(index))
    if document.result is not None:
        check_value(subject, document.result, "result", Place())


def _check_values(subject: Subject, step: Step, path: str) -> None:
    is_call = step.type == ACTION_TYPE
    loop = Local(loop=step.for_each is not None)
    plain = Place(of=step.key)
    for name, value in values_of(step).items():
        place = Place(of=step.key, secrets=is_call, app=_app(step.action), callbacks=is_call, local=loop)
        check_value(subject, value, f"{path}.{name}", place)
    if step.compensate is not None:
        app = _app(step.compensate.action)
        place = Place(of=step.key, itself=True, secrets=True, app=app, local=loop)
        check_value(subject, step.compensate.input, f"{path}.compensate.input", place)
    if step.probe is not None:
        place = Place(of=step.key, secrets=True, app=_app(step.probe.action), local=loop)
        check_value(subject, step.probe.input, f"{path}.probe.input", place)
    if step.for_each is not None:
        check_value(subject, step.for_each.items, f"{path}.forEach.items", plain)
    if step.cache is not None:
        place = Place(of=step.key, secrets=True, app=_app(step.action), callbacks=True, local=loop)
        check_value(subject, step.cache.key, f"{path}.cache.key", place)
    if step.wait is not None:
        check_value(subject, step.wait.until, f"{path}.wait.until", plain)
    if step.approval is not None:
        check_value(subject, step.approval.title, f"{path}.approval.title", plain)
        check_value(subject, step.approval.details, f"{path}.approval.details", plain)


def check_value(subject: Subject, value: Json, path: str, place: Place) -> list[Template]:
    """Checks every expression in `value`; the texts that compile."""
    compiled: list[Template] = []
    for at, text in texts_in(value, path):
        if subject.reading.full:
            break
        template, faults = inspect_template(text, place.local)
        for fault in faults:
            subject.reading.add(at, fault.reason, fault.mend, "BAD_EXPRESSION")
        if template is None:
            continue
        compiled.append(template)
        references = template.references
        for key in sorted(references.steps):
            _check_step(subject, at, key, place)
        for key, name in sorted(references.outputs):
            _check_output(subject, at, key, name, place)
        for name in sorted(references.own_output):
            if place.own is not None and name not in place.own:
                message = f"the output has no `{name[:63]}`"
                subject.reading.add(at, message, subject.reading.closest(name, place.own), "UNKNOWN_OUTPUT")
        for key in sorted(references.callbacks):
            _check_callback(subject, at, key, place)
        _check_env(subject, at, references, place)
        _check_input(subject, at, references.input)
    return compiled


def _check_step(subject: Subject, path: str, key: str, place: Place) -> None:
    of = place.of
    if key not in subject.steps:
        subject.reading.add(
            path,
            f"there is no step `{key[:63]}`",
            subject.reading.closest(key, subject.steps),
            "UNKNOWN_STEP",
        )
    elif of is None or (key == of and place.itself) or subject.graph is None:
        return
    elif key == of:
        mend = "Refer to a step before it."
        subject.reading.add(path, "a step can not refer to itself", mend, "NOT_UPSTREAM")
    elif not subject.graph.is_upstream(key, of):
        mend = f"Add edges that lead from `{key}` to `{of}`, or refer to another step."
        subject.reading.add(path, f"`{key}` is not upstream of `{of}`", mend, "NOT_UPSTREAM")


def _check_output(subject: Subject, path: str, key: str, name: str, place: Place) -> None:
    step = subject.steps.get(key)
    if step is None:
        return
    known = own_output_names(step) if key == place.of else output_names(step)
    if known is None or name in known:
        return
    mend = subject.reading.closest(name, known)
    if step.output is None and step.type == ACTION_TYPE and step.for_each is None:
        mend = f"Write `steps.{key}.output.body.{name[:63]}`, or map it in the step's `output`."
    subject.reading.add(path, f"the output of `{key}` has no `{name[:63]}`", mend, "UNKNOWN_OUTPUT")


def _check_callback(subject: Subject, path: str, key: str, place: Place) -> None:
    step = subject.steps.get(key)
    signals = [name for name, one in subject.steps.items() if one.type == SIGNAL_TYPE]
    if not place.callbacks:
        mend = "Use it in the `input` of an action step, and send it to the system that shall call."
        message = f"`callbacks.{key[:63]}` is a secret address and may stand in action inputs only"
        subject.reading.add(path, message, mend, "CALLBACK_NOT_ALLOWED")
    elif step is None or step.type != SIGNAL_TYPE:
        mend = subject.reading.closest(key, signals) if signals else "Add a step of `type: signal`."
        subject.reading.add(path, f"`{key[:63]}` is no signal step", mend, "NO_SIGNAL")
    elif place.of is not None and subject.graph is not None and subject.graph.is_upstream(key, place.of):
        mend = f"Send it in a step before `{key}`."
        subject.reading.add(path, f"`{key}` has ended by then", mend, "CALLBACK_TOO_LATE")


def _app(action: str | None) -> str | None:
    return app_of(action) if action is not None else None


def _check_env(subject: Subject, path: str, references: References, place: Place) -> None:
    document = subject.document
    for name in sorted(references.env):
        if name in document.secrets:
            apps = subject.catalog.secret_apps.get(document.secrets[name])
            if not place.secrets:
                mend = "Use it in the `input` of an action step."
                message = f"`env.{name}` is a secret and may stand in action inputs only"
                subject.reading.add(path, message, mend, "SECRET_NOT_ALLOWED")
            elif apps is not None and place.app is not None and place.app not in apps:
                allowed = ", ".join(sorted(apps)[:10])
                mend = (
                    f"Send it to {allowed} alone, or let an admin set the secret for `{place.app[:63]}` too."
                )
                message = f"`env.{name}` is a secret that may not be sent to the app `{place.app[:63]}`"
                subject.reading.add(path, message, mend, "SECRET_NOT_FOR_APP")
        elif name not in document.env:
            known = {*document.env, *document.secrets}
            mend = subject.reading.closest(name, known) if known else f"Declare `{name[:63]}` under `env`."
            subject.reading.add(path, f"there is no env name `{name[:63]}`", mend, "UNKNOWN_ENV")


def _check_input(subject: Subject, path: str, names: Collection[str]) -> None:
    parameters = subject.document.parameters
    if parameters is None or parameters.keys() & _OPEN or parameters.get("additionalProperties", False):
        return
    properties = parameters.get("properties")
    if not isinstance(properties, dict):
        return
    for name in sorted(set(names) - properties.keys()):
        mend = subject.reading.closest(name, properties) if properties else f"Declare `{name[:63]}` there."
        message = f"`parameters` does not declare `{name[:63]}`"
        subject.reading.add(path, message, mend, "UNKNOWN_INPUT")
