"""What the server says of the workflows of a plan before anything of it is carried out."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from headrace.errors import InvalidInput, NotFound, Problem
from headrace.workflow.classification import WAIVABLE
from headrace.workflow.document import Document
from headrace.workflow.parse import parse_document
from headrace.workflow.uses import actions_used, children_used, connections_used

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
_NEWEST = """
query Newest($name: String!) { workflow(name: $name) { versions(first: 1) { items { number status } } } }"""


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
    # What is applied before the workflow in hand. A workflow that runs itself finds the versions that are there now.
    changed: set[tuple[Kind, str]] = set()
    problems: list[Problem] = []
    unchecked: list[Unchecked] = []
    notices: list[str] = []
    classes: dict[str, Any] = {}
    for step in steps:
        if step.verb is Verb.UNCHANGED:
            continue
        if step.declared.kind is not Kind.WORKFLOW:
            changed.add((step.declared.kind, step.declared.name))
            continue
        document = parse_document(step.declared.fields)
        met = _named(document) & changed | await _children(client, document, changed)
        changed.add((Kind.WORKFLOW, step.declared.name))
        if uses := sorted(f"{kind} {name}" for kind, name in met):
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


def _named(document: Document) -> set[tuple[Kind, str]]:
    """What any call of the document goes by, and its secrets."""
    actions = actions_used(document)
    rules = {rule for name in actions for rule in (name, f"{name.partition('/')[0]}/*")}
    return {
        *((Kind.ACTION, name) for name in actions),
        *((Kind.POLICY_RULE, name) for name in rules),
        *((Kind.CONNECTION, name) for name in connections_used(document)),
        *((Kind.SECRET, name) for name in document.secrets.values()),
    }


async def _children(
    client: Client, document: Document, changed: Set[tuple[Kind, str]]
) -> set[tuple[Kind, str]]:
    """The workflows among `changed` that the document runs in the version which the plan publishes."""
    found: set[tuple[Kind, str]] = set()
    for child in children_used(document).values():
        declared = (Kind.WORKFLOW, child.workflow)
        if declared not in changed:
            continue
        if child.version is None or child.version == await _next_number(client, child.workflow):
            found.add(declared)
    return found


async def _next_number(client: Client, workflow: str) -> int:
    """The number that the workflow's next published version gets: that of its open draft, if it has one."""
    try:
        found = (await client.execute(_NEWEST, {"name": workflow}))["workflow"]
    except NotFound:
        return 1
    for newest in found["versions"]["items"]:
        number: int = newest["number"]
        return number if newest["status"] == "DRAFT" else number + 1
    return 1
