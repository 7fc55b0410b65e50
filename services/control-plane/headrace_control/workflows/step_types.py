"""Which step types a document may name: the built-in ones, and those of plug-ins installed here."""

from importlib.metadata import entry_points

from headrace.workflow.grammar import BUILT_IN_TYPES

GROUP = "headrace.steps"


def installed_step_types() -> frozenset[str]:
    """Names alone are read, from the metadata of what is installed; no plug-in's code is loaded."""
    return BUILT_IN_TYPES | {point.name for point in entry_points(group=GROUP)}
