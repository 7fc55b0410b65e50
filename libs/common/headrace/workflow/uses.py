"""What a document refers to by name, of what its tenant has."""

from headrace.workflow.document import Child, Document


def app_of(action: str) -> str:
    """The app of an `app/action`."""
    return action.partition("/")[0]


def actions_used(document: Document) -> frozenset[str]:
    """`app/action` of every call: of steps, of what undoes them, and of what settles their doubt."""
    steps = document.steps
    return frozenset(
        {step.action for step in steps if step.action is not None}
        | {step.compensate.action for step in steps if step.compensate is not None}
        | {step.probe.action for step in steps if step.probe is not None}
    )


def connections_used(document: Document) -> frozenset[str]:
    """The names of all connections that any call may use."""
    found: set[str | None] = set()
    for step in document.steps:
        found.add(step.connection)
        if step.compensate is not None:
            found.add(step.compensate.connection)
        if step.probe is not None:
            found.add(step.probe.connection)
    return frozenset(name for name in found if name is not None)


def children_used(document: Document) -> dict[str, Child]:
    """What each `workflow` step runs, by the step's key."""
    return {step.key: step.child for step in document.steps if step.child is not None}
