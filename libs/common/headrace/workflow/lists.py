"""Whether what undoes the items of a loop would find the list that they were done for. Pure."""

from headrace.workflow.definition import Version
from headrace.workflow.expressions.render import inspect
from headrace.workflow.expressions.scope import Local

ANOTHER_LIST = "it is done, and what undoes its items would see another list in the version"


def undone_by_another_list(before: Version, target: Version, key: str) -> bool:
    """Of a step of both versions, done by `before`: whether `target` undoes its items by a list of its own. A list is
    rendered again for that, so it has to be written alike, over the same env."""
    old, new = ({step.key: step for step in one.document.steps}[key] for one in (before, target))
    if old.for_each is None or new.for_each is None or new.compensate is None:
        return False
    if not inspect(new.compensate.input, local=Local(loop=True))[0].loop:
        return False
    if old.for_each.items != new.for_each.items:
        return True
    env = inspect(new.for_each.items)[0].env
    return any(before.document.env.get(name) != target.document.env.get(name) for name in env)
