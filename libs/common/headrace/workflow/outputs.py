"""What is known beforehand of a step's output: the names at its top."""

from headrace.workflow.document import Step
from headrace.workflow.grammar import (
    ACTION_TYPE,
    APPROVAL_TYPE,
    FAIL_TYPE,
    SUCCEED_TYPE,
    TRANSFORM_TYPE,
    WAIT_TYPE,
)

# An action's output as it is when its step maps none.
DEFAULT_OUTPUT = frozenset({"status", "headers", "body"})
LOOP_OUTPUT = frozenset({"results", "failed"})
APPROVAL_OUTPUT = frozenset({"decision", "by", "reason", "form", "at"})
WAIT_OUTPUT = frozenset({"until"})
_FIXED = {
    ACTION_TYPE: DEFAULT_OUTPUT,
    APPROVAL_TYPE: APPROVAL_OUTPUT,
    WAIT_TYPE: WAIT_OUTPUT,
    SUCCEED_TYPE: frozenset[str](),
    FAIL_TYPE: frozenset[str](),
}


def output_names(step: Step) -> frozenset[str] | None:
    """The names at the top of the step's output, None when they can not be known."""
    return LOOP_OUTPUT if step.for_each is not None else own_output_names(step)


def own_output_names(step: Step) -> frozenset[str] | None:
    """The same of one item, when the step is done for many: what belongs to an item sees its output alone."""
    if step.output is not None:
        return frozenset(step.output)
    return unmapped_names(step)


def unmapped_names(step: Step) -> frozenset[str] | None:
    """The names at the top of what the step's own `output` paths look at, None when they can not be known."""
    if step.type == TRANSFORM_TYPE and isinstance(step.input, dict):
        return frozenset(step.input)
    return _FIXED.get(step.type)
