"""Is a document fit to be published? Everything that can be known without running it, all at once.

Every problem has a path (`steps[1].input.amount`), a message, a mend and a stable code. Nothing is evaluated.
"""

from collections.abc import Collection

from headrace.errors import InvalidInput, Problem
from headrace.workflow.actions import schemas_of
from headrace.workflow.checks.concurrency import check_concurrency
from headrace.workflow.checks.edges import check_edges
from headrace.workflow.checks.inputs import check_compensation, check_step_input
from headrace.workflow.checks.references import check_references
from headrace.workflow.checks.subject import Catalog, Subject
from headrace.workflow.document import ActionDefinition, Document, Step
from headrace.workflow.expressions import inspect
from headrace.workflow.extraction import compile_path
from headrace.workflow.grammar import ACTION_TYPE
from headrace.workflow.graph import Graph
from headrace.workflow.names import closest
from headrace.workflow.outputs import unmapped_names
from headrace.workflow.paths import at_name
from headrace.workflow.reading import Reading
from headrace.workflow.schemas import Schemas, check_schema

__all__ = ["Catalog", "beside", "validate_action", "validate_document"]


def validate_document(document: Document, catalog: Catalog) -> list[Problem]:
    """Everything wrong with a well-formed document, given what its tenant has; empty when it can be published."""
    reading = Reading()
    try:
        graph: Graph | None = Graph.of(document)
    except InvalidInput:
        graph = None
    subject = Subject(
        document, catalog, graph, {step.key: step for step in document.steps if step.key}, reading
    )
    if document.parameters is not None:
        reading.problems.extend(check_schema(document.parameters, "parameters"))
    for name, secret in document.secrets.items():
        if secret not in catalog.secrets:
            path = at_name("env", name) + ".secret"
            reading.add(
                path, f"there is no secret `{secret}`", _create(secret, catalog.secrets), "UNKNOWN_SECRET"
            )
    check_concurrency(document, reading)
    schemas = Schemas()
    for index, step in enumerate(document.steps):
        _check_step(subject, schemas, step, subject.place(index))
    check_references(subject)
    check_edges(subject)
    return reading.problems


def beside(found: list[Problem], shape: list[Problem]) -> list[Problem]:
    """Of the problems `found` in a document whose shape has problems too, those that are not only a
    consequence: nothing more is said about a place, or about what is in it or around it, that is misshapen."""
    places = [problem.path for problem in shape]
    return [
        problem
        for problem in found
        if not any(_within(problem.path, place) or _within(place, problem.path) for place in places)
    ]


def _within(path: str, place: str) -> bool:
    return path == place or path.startswith((f"{place}.", f"{place}["))


def validate_action(action: ActionDefinition) -> list[Problem]:
    """Everything wrong with the schemas and header expressions of a well-formed action.

    `parse_action` has checked the rest. Header expressions see the step's input as `input`, and the run.
    """
    problems = [
        problem
        for part, schema in schemas_of(action).items()
        for problem in check_schema(schema, f"{part}Schema")
    ]
    for name, text in action.headers_template.items():
        path = at_name("headersTemplate", name)
        references, found = inspect(text, path)
        problems += found
        if references.steps or references.env:
            mend = "Declare a header in headersSchema, and give it in the step's input."
            message = "an action's headers may refer to `input` and `run` only"
            problems.append(Problem(path, message, mend, "EXPRESSION_NOT_ALLOWED"))
    return problems


def _check_step(subject: Subject, schemas: Schemas, step: Step, place: str) -> None:
    catalog, add = subject.catalog, subject.reading.add
    if step.type not in catalog.step_types:
        mend = closest(step.type, catalog.step_types)
        add(f"{place}.type", f"there is no step type `{step.type}`", mend, "UNKNOWN_STEP_TYPE")
    _check_output(subject, step, place)
    if step.action is not None:
        action = _find_action(subject, step, step.action, f"{place}.action")
        if action is not None and step.type == ACTION_TYPE:
            check_step_input(subject, schemas, step, action, place)
    if step.connection is not None and step.connection not in catalog.connections:
        mend = _create(step.connection, catalog.connections)
        add(f"{place}.connection", f"there is no connection `{step.connection}`", mend, "UNKNOWN_CONNECTION")
    if step.compensate is not None:
        undo = _find_action(subject, step, step.compensate.action, f"{place}.compensate.action")
        if undo is not None:
            check_compensation(subject, schemas, step.compensate.input, undo, f"{place}.compensate")


def _find_action(subject: Subject, step: Step, ref: str, path: str) -> ActionDefinition | None:
    catalog = subject.catalog
    action = catalog.actions.get(ref)
    if action is None:
        mend = _create(ref, catalog.actions)
        subject.reading.add(path, f"there is no action `{ref}`", mend, "UNKNOWN_ACTION")
        return None
    app = catalog.connections.get(step.connection) if step.connection is not None else None
    if app is not None and app != action.app:
        same = sorted(name for name, its_app in catalog.connections.items() if its_app == action.app)
        mend = f"Use {', '.join(same[:10])}." if same else f"Create a connection of app `{action.app}`."
        message = f"connection `{step.connection}` is of app `{app}`, not `{action.app}`"
        subject.reading.add(path, message, mend, "CONNECTION_OF_OTHER_APP")
    return action


def _check_output(subject: Subject, step: Step, place: str) -> None:
    known = unmapped_names(step)
    for name, text in (step.output or {}).items():
        path = at_name(f"{place}.output", name)
        try:
            first = compile_path(text, path).first_name
        except InvalidInput as error:
            subject.reading.problems.extend(error.problems)
            continue
        if known is not None and first is not None and first not in known:
            mend = f"Write `$.body.{first[:63]}`." if step.type == ACTION_TYPE else closest(first, known)
            message = f"the path starts with a name that is not there; there are {', '.join(sorted(known))}"
            subject.reading.add(path, message, mend, "UNKNOWN_OUTPUT")


def _create(name: str, known: Collection[str]) -> str:
    return closest(name, known) if known else f"Create `{name}` first."
