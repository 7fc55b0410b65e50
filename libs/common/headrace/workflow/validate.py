"""Is a document fit to be published? Everything that can be known without running it, all at once.

Every problem has a path (`steps[1].input.amount`), a message, a mend and a stable code. Nothing is evaluated.
"""

from headrace.errors import InvalidInput, Problem
from headrace.workflow.actions import schemas_of
from headrace.workflow.checks.calls import check_calls, create
from headrace.workflow.checks.concurrency import check_concurrency
from headrace.workflow.checks.conditions import check_conditions
from headrace.workflow.checks.edges import check_edges
from headrace.workflow.checks.parts import check_parts
from headrace.workflow.checks.references import check_references
from headrace.workflow.checks.subject import Catalog, Subject
from headrace.workflow.definition import ActionDefinition
from headrace.workflow.document import Document, Step
from headrace.workflow.expressions import check_parsing, inspect
from headrace.workflow.grammar import ACTION_TYPE, BUILT_IN_TYPES
from headrace.workflow.graph import Graph
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
    _check_whole(subject)
    check_concurrency(document, reading)
    schemas = Schemas()
    for index, step in enumerate(document.steps):
        _check_step(subject, schemas, step, subject.place(index))
    check_references(subject)
    check_conditions(subject)
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
    if costly := check_parsing(dict(action.headers_template), "headersTemplate"):
        return [*problems, *costly]
    for name, text in action.headers_template.items():
        path = at_name("headersTemplate", name)
        references, found = inspect(text, path)
        problems += found
        if references.steps or references.env or references.callbacks:
            mend = "Declare a header in headersSchema, and give it in the step's input."
            message = "an action's headers may refer to `input` and `run` only"
            problems.append(Problem(path, message, mend, "EXPRESSION_NOT_ALLOWED"))
    return problems


def _check_step(subject: Subject, schemas: Schemas, step: Step, place: str) -> None:
    types = subject.catalog.step_types
    if step.type not in types:
        mend = subject.reading.closest(step.type, types)
        message = f"there is no step type `{step.type}`"
        subject.reading.add(f"{place}.type", message, mend, "UNKNOWN_STEP_TYPE")
    check_calls(subject, schemas, step, place)
    check_parts(subject, schemas, step, place)


def _check_whole(subject: Subject) -> None:
    """What stands at the top of the document."""
    document, reading = subject.document, subject.reading
    if document.parameters is not None:
        reading.problems.extend(check_schema(document.parameters, "parameters"))
    for name, secret in document.secrets.items():
        if secret not in subject.catalog.secrets:
            path = at_name("env", name) + ".secret"
            mend = create(reading, secret, subject.catalog.secrets)
            reading.add(path, f"there is no secret `{secret}`", mend, "UNKNOWN_SECRET")
    retried = subject.catalog.step_types - BUILT_IN_TYPES | {ACTION_TYPE}
    for name in document.retries.keys() - retried:
        message = f"steps of type `{name}` are not retried, or there are none"
        reading.add(at_name("retries", name), message, reading.closest(name, retried), "UNKNOWN_STEP_TYPE")
