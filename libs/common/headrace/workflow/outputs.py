"""What is known beforehand of a step's output: the names at its top."""

from headrace.workflow.document import Step
from headrace.workflow.grammar import ACTION_TYPE, TRANSFORM_TYPE

# An action's output as it is when its step maps none.
DEFAULT_OUTPUT = frozenset({"status", "headers", "body"})


def output_names(step: Step) -> frozenset[str] | None:
    """The names at the top of the step's output, None when they can not be known."""
    if step.output is not None:
        return frozenset(step.output)
    return unmapped_names(step)


def unmapped_names(step: Step) -> frozenset[str] | None:
    """The names at the top of what the step's own `output` paths look at, None when they can not be known."""
    if step.type == ACTION_TYPE:
        return DEFAULT_OUTPUT
    if step.type == TRANSFORM_TYPE and isinstance(step.input, dict):
        return frozenset(step.input)
    return None
