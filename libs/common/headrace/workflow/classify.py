"""The class of a version: how long it lives, why, and which safeguards its steps lack for that. Pure.

The rules and their reasons are listed in docs/reference/classification.md.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby

from headrace.workflow.classification import Classification, ClassRule, Lack, LifeClass, Reason, Safeguard
from headrace.workflow.definition import ActionDefinition, Version
from headrace.workflow.document import Step
from headrace.workflow.durations import DAY_MS, longest_wait, wait_of
from headrace.workflow.grammar import BUILT_IN_TYPES
from headrace.workflow.idempotency import has_side_effects, may_repeat
from headrace.workflow.uses import actions_used, app_of

# Of one rule, the steps that are named; the others are counted.
SHOWN = 20
_LONG = frozenset(
    {
        ClassRule.DAYS,
        ClassRule.SYSTEMS,
        ClassRule.COMPENSATION,
        ClassRule.APPROVAL,
        ClassRule.COMMITMENT,
    }
)
_IRREVERSIBLE = "IRREVERSIBLE"


def classify(
    version: Version, children: Mapping[str, Classification], asks: Collection[str] = ()
) -> Classification:
    """The class of `version`, whose `workflow` steps run what `children` says, by their keys.

    `asks` are the actions whose calls the policy gate holds for a person's approval. A rule names `SHOWN` steps at
    most. Time goes with the steps and edges of the document.
    """
    longest = longest_wait(version.document, {key: child.longest_ms for key, child in children.items()})
    systems = _systems(version) | frozenset(name for child in children.values() for name in child.systems)
    reasons = [*_reasons(version, children, asks, longest, systems)]
    return Classification(
        _life(reasons, children), _shown(reasons), systems, longest, tuple(_lacks(version, children))
    )


def _life(reasons: Sequence[Reason], children: Mapping[str, Classification]) -> LifeClass:
    if any(reason.rule in _LONG for reason in reasons):
        return LifeClass.LONG_LIVED
    if any(child.life is LifeClass.LONG_LIVED for child in children.values()):
        return LifeClass.LONG_LIVED
    return LifeClass.MEDIUM_LIVED if reasons else LifeClass.SHORT_LIVED


def _reasons(
    version: Version,
    children: Mapping[str, Classification],
    asks: Collection[str],
    longest: int | None,
    systems: frozenset[str],
) -> Iterator[Reason]:
    if longest is None or longest >= DAY_MS:
        yield from _long_waits(version, children)
    elif longest:
        yield Reason(
            ClassRule.WAITS, None, f"what it waits for takes up to {longest} ms, which is less than a day"
        )
    if len(systems) > 1:
        names = ", ".join(sorted(systems)[:SHOWN]) + (" and others" if len(systems) > SHOWN else "")
        yield Reason(ClassRule.SYSTEMS, None, f"it calls {len(systems)} apps: {names}")
    for step in version.document.steps:
        yield from _of_step(version, step, children.get(step.key), asks)


def _long_waits(version: Version, children: Mapping[str, Classification]) -> Iterator[Reason]:
    """The steps that take a day by themselves; if it is only all together, the version."""
    spans = {key: child.longest_ms for key, child in children.items()}
    found = False
    for step in version.document.steps:
        own = wait_of(step, spans)
        if own is None or own >= DAY_MS:
            found = True
            yield Reason(
                ClassRule.DAYS,
                step.key,
                "nothing bounds its wait" if own is None else "it may wait a day or more",
            )
    if not found:
        yield Reason(ClassRule.DAYS, None, "its waits, one after another, may take a day or more")


def _of_step(
    version: Version, step: Step, child: Classification | None, asks: Collection[str]
) -> Iterator[Reason]:
    if step.compensate is not None:
        yield Reason(ClassRule.COMPENSATION, step.key, f"{step.compensate.action} undoes it")
    if step.approval is not None:
        yield Reason(ClassRule.APPROVAL, step.key, "a person decides")
    if step.action is not None:
        action = version.actions[step.action].definition
        if step.action in asks:
            yield Reason(
                ClassRule.APPROVAL, step.key, f"the policy gate asks a person before {step.action} is called"
            )
        if has_side_effects(action) and action.reversibility == _IRREVERSIBLE:
            yield Reason(ClassRule.COMMITMENT, step.key, f"what {step.action} does can not be taken back")
        yield Reason(ClassRule.CALLS, step.key, f"it calls {step.action}")
    elif step.type not in BUILT_IN_TYPES:
        yield Reason(ClassRule.CALLS, step.key, f"a plug-in's step `{step.type}` may do anything")
    if child is not None and child.life is not LifeClass.SHORT_LIVED:
        yield Reason(ClassRule.CHILD, step.key, f"the workflow that it runs is {child.life}")


def _shown(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """The reasons rule by rule, those of the longest class first, each rule with its first steps."""
    order = [*ClassRule]
    ranked = sorted(reasons, key=lambda reason: (reason.rule not in _LONG, order.index(reason.rule)))
    found: list[Reason] = []
    for rule, group in groupby(ranked, key=lambda reason: reason.rule):
        of_rule = [*group]
        found += of_rule[:SHOWN]
        if len(of_rule) > SHOWN:
            found.append(Reason(rule, None, f"and {len(of_rule) - SHOWN} steps more"))
    return tuple(found)


def _systems(version: Version) -> frozenset[str]:
    return frozenset(app_of(ref) for ref in actions_used(version.document))


def _lacks(version: Version, children: Mapping[str, Classification]) -> Iterator[Lack]:
    undoes = bool(version.document.compensate_on)
    for n, step in enumerate(version.document.steps):
        if step.action is not None:
            yield from _of_call(step, f"steps[{n}]", version.actions[step.action].definition, undoes)
        if step.compensate is not None:
            undo = version.actions[step.compensate.action].definition
            if not may_repeat(undo):
                yield _not_repeatable(step.key, f"steps[{n}].compensate.action", undo, "it undoes")
        child = children.get(step.key)
        if child is not None and child.lacks:
            yield _of_child(step, f"steps[{n}].workflow", child)


def _of_call(step: Step, place: str, action: ActionDefinition, undoes: bool) -> Iterator[Lack]:
    if not has_side_effects(action):
        return
    if not may_repeat(action) and step.probe is None:
        yield _not_repeatable(step.key, f"{place}.action", action, "it has side effects")
    if action.reversibility == _IRREVERSIBLE:
        return
    if step.compensate is None:
        message = f"nothing undoes what {action.ref} does"
        mend = (
            "Write `compensate`, or say `reversibility: IRREVERSIBLE` of an action that can not be undone "
            "(REVERSIBLE of one that leaves nothing to undo)."
        )
        yield Lack(Safeguard.COMPENSATION, step.key, place, message, mend)
    elif not undoes:
        message = f"`{step.key}` says how it is undone, and `compensateOn` is empty: nothing is undone"
        yield Lack(
            Safeguard.COMPENSATION,
            step.key,
            "compensateOn",
            message,
            "Leave `compensateOn` out, or name an end.",
        )


def _not_repeatable(key: str, place: str, action: ActionDefinition, why: str) -> Lack:
    message = f"{action.ref} can not be repeated when an answer is lost, and {why}"
    mend = "Let the action take a key (`idempotency: {mode: KEY}`), or say IDEMPOTENT if the app does"
    mend += "." if place.endswith("compensate.action") else "; or give the step a `probe`."
    return Lack(Safeguard.IDEMPOTENCY, key, place, message, mend)


def _of_child(step: Step, place: str, child: Classification) -> Lack:
    names = list(dict.fromkeys(lack.step for lack in child.lacks))
    told = ", ".join(f"`{name}`" for name in names[:SHOWN]) + (" and others" if len(names) > SHOWN else "")
    message = f"the workflow that it runs lacks compensation or idempotency at {told}"
    mend = "Mend that workflow, publish it, and then this one."
    return Lack(child.lacks[0].safeguard, step.key, place, message, mend)
