"""`cache` of a step: may an earlier result stand for its call?"""

from headrace.workflow.checks.subject import Subject
from headrace.workflow.definition import ActionDefinition
from headrace.workflow.document import Step
from headrace.workflow.idempotency import has_side_effects
from headrace.workflow.sensitive import is_marked


def check_cache(subject: Subject, step: Step, action: ActionDefinition, place: str) -> None:
    """CONTRADICTION, CACHED_SIDE_EFFECT, CACHED_SECRET."""
    add, at = subject.reading.add, f"{place}.cache"
    if step.repeat is not None:
        mend = "Leave one of the two out: a repeat asks until the answer is another one."
        add(at, "a step has `cache` or `repeat`, not both", mend, "CONTRADICTION")
    if has_side_effects(action):
        mend = "Leave `cache` out; or say `reversibility: REVERSIBLE` of an action that changes nothing."
        add(
            at,
            f"{action.ref} has side effects, which a cached result would leave out",
            mend,
            "CACHED_SIDE_EFFECT",
        )
    if action.output_schema is not None and is_marked(action.output_schema):
        mend = "Leave `cache` out: what is sensitive is kept with its run alone."
        add(at, f"the output of {action.ref} is marked as sensitive", mend, "CACHED_SECRET")
