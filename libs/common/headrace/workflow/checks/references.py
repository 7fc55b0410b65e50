"""Do the expressions compile, and is what they refer to there, upstream, and allowed in that place?"""

from headrace.json_types import Json
from headrace.workflow.assign import values_of
from headrace.workflow.checks.subject import Subject
from headrace.workflow.expressions import References, texts_in
from headrace.workflow.expressions.template import has_expression, inspect_template
from headrace.workflow.grammar import ACTION_TYPE
from headrace.workflow.names import closest
from headrace.workflow.outputs import output_names
from headrace.workflow.paths import at_name

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


def check_references(subject: Subject) -> None:
    """BAD_EXPRESSION, UNKNOWN_STEP, NOT_UPSTREAM, UNKNOWN_OUTPUT, UNKNOWN_ENV, UNKNOWN_INPUT, SECRET_NOT_ALLOWED."""
    document = subject.document
    for name, value in document.env.items():
        if isinstance(value, str) and has_expression(value):
            mend = "Write a plain value; compute in a step."
            place = at_name("env", name)
            subject.reading.add(place, "expressions are not evaluated here", mend, "EXPRESSION_NOT_ALLOWED")
    for index, step in enumerate(document.steps):
        place = subject.place(index)
        for name, value in values_of(step).items():
            is_call = step.type == ACTION_TYPE
            _check_value(subject, value, f"{place}.{name}", of=step.key, secrets=is_call)
        if step.compensate is not None:
            inner = f"{place}.compensate.input"
            _check_value(subject, step.compensate.input, inner, of=step.key, secrets=True, itself=True)
    if document.result is not None:
        _check_value(subject, document.result, "result", of=None, secrets=False)


def _check_value(
    subject: Subject, value: Json, path: str, *, of: str | None, secrets: bool, itself: bool = False
) -> None:
    for place, text in texts_in(value, path):
        template, faults = inspect_template(text)
        for fault in faults:
            subject.reading.add(place, fault.reason, fault.mend, "BAD_EXPRESSION")
        if template is None:
            continue
        references = template.references
        for key in sorted(references.steps):
            _check_step(subject, place, key, of, itself)
        for key, name in sorted(references.outputs):
            _check_output(subject, place, key, name)
        _check_env(subject, place, references, secrets)
        _check_input(subject, place, references)


def _check_step(subject: Subject, place: str, key: str, of: str | None, itself: bool) -> None:
    if key not in subject.steps:
        subject.reading.add(
            place, f"there is no step `{key[:63]}`", closest(key, subject.steps), "UNKNOWN_STEP"
        )
    elif of is None or (key == of and itself) or subject.graph is None:
        return
    elif key == of:
        mend = "Refer to a step before it."
        subject.reading.add(place, "a step can not refer to itself", mend, "NOT_UPSTREAM")
    elif not subject.graph.is_upstream(key, of):
        mend = f"Add edges that lead from `{key}` to `{of}`, or refer to another step."
        subject.reading.add(place, f"`{key}` is not upstream of `{of}`", mend, "NOT_UPSTREAM")


def _check_output(subject: Subject, place: str, key: str, name: str) -> None:
    step = subject.steps.get(key)
    known = output_names(step) if step is not None else None
    if step is None or known is None or name in known:
        return
    mend = closest(name, known)
    if step.output is None and step.type == ACTION_TYPE:
        mend = f"Write `steps.{key}.output.body.{name[:63]}`, or map it in the step's `output`."
    subject.reading.add(place, f"the output of `{key}` has no `{name[:63]}`", mend, "UNKNOWN_OUTPUT")


def _check_env(subject: Subject, place: str, references: References, secrets: bool) -> None:
    document = subject.document
    for name in sorted(references.env):
        if name in document.secrets:
            if not secrets:
                mend = "Use it in the `input` of an action step."
                message = f"`env.{name}` is a secret and may stand in action inputs only"
                subject.reading.add(place, message, mend, "SECRET_NOT_ALLOWED")
        elif name not in document.env:
            known = {*document.env, *document.secrets}
            mend = closest(name, known) if known else f"Declare `{name[:63]}` under `env`."
            subject.reading.add(place, f"there is no env name `{name[:63]}`", mend, "UNKNOWN_ENV")


def _check_input(subject: Subject, place: str, references: References) -> None:
    parameters = subject.document.parameters
    if parameters is None or parameters.keys() & _OPEN or parameters.get("additionalProperties", False):
        return
    properties = parameters.get("properties")
    if not isinstance(properties, dict):
        return
    for name in sorted(references.input - properties.keys()):
        mend = closest(name, properties) if properties else f"Declare `{name[:63]}` there."
        message = f"`parameters` does not declare `{name[:63]}`"
        subject.reading.add(place, message, mend, "UNKNOWN_INPUT")
