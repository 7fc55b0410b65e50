"""What the server says of the workflows of a plan before anything of it is carried out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.errors import InvalidInput, Problem
from headrace.workflow.classification import WAIVABLE
from headrace.workflow.parse import parse_document

from headrace_cli.apply.carry_out import document_of, noticed
from headrace_cli.apply.documents import Declared, Kind
from headrace_cli.apply.plan import Step, Verb
from headrace_cli.apply.shape import placed
from headrace_cli.client import Client

_VALIDATE = """
query Validate($document: JSON!) {
  validateWorkflow(document: $document) { problems { path message mend code } notices { path message }
    classification { class reasons { rule step } } }
}"""


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A workflow that can be checked only when it is applied, for the plan changes what it `uses`."""

    declared: Declared
    uses: Sequence[str]


@dataclass(frozen=True, slots=True)
class Validated:
    """What is worth knowing of the workflows that were asked about, their classes by name, and those workflows that
    could not be asked about."""

    notices: Sequence[str]
    unchecked: Sequence[Unchecked]
    classes: Mapping[str, Any]


async def validate(client: Client, steps: Sequence[Step], waiver: str | None = None) -> Validated:
    """Ask about each workflow that is to be published; with a `waiver`, missing safeguards are no problem.

    Raises `InvalidInput` with every problem of every workflow, each with its place.
    """
    changing = {(s.declared.kind, s.declared.name) for s in steps if s.verb is not Verb.UNCHANGED}
    problems: list[Problem] = []
    unchecked: list[Unchecked] = []
    notices: list[str] = []
    classes: dict[str, Any] = {}
    for step in steps:
        if step.verb is Verb.UNCHANGED or step.declared.kind is not Kind.WORKFLOW:
            continue
        if uses := sorted(f"{kind} {name}" for kind, name in _uses(step.declared) & changing):
            unchecked.append(Unchecked(step.declared, uses))
            continue
        answer = await client.execute(_VALIDATE, {"document": document_of(step.declared)})
        said = answer["validateWorkflow"]
        found = [Problem(**problem) for problem in said["problems"]]
        if waiver is not None:
            found = [problem for problem in found if problem.code not in WAIVABLE]
        if said["classification"] is not None:
            classes[step.declared.name] = said["classification"]
        notices += noticed(step.declared, said["notices"])
        problems += placed(step.declared, InvalidInput(found)).problems
    if problems:
        raise InvalidInput(problems)
    return Validated(notices, unchecked, classes)


def _uses(declared: Declared) -> set[tuple[Kind, str]]:
    document = parse_document(declared.fields)
    actions = {step.action for step in document.steps if step.action}
    actions |= {step.compensate.action for step in document.steps if step.compensate}
    connections = {step.connection for step in document.steps if step.connection}
    rules = {rule for name in actions for rule in (name, f"{name.partition('/')[0]}/*")}
    return {
        *((Kind.ACTION, name) for name in actions),
        *((Kind.POLICY_RULE, name) for name in rules),
        *((Kind.CONNECTION, name) for name in connections),
        *((Kind.SECRET, name) for name in document.secrets.values()),
    }
