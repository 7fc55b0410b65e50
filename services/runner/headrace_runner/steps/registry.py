"""Finding step types: every entry point of the group `headrace.steps`, by its name."""

from collections.abc import Mapping
from importlib.metadata import entry_points

from headrace_runner.steps.protocol import StepHandler, StepServices

GROUP = "headrace.steps"


def load_handlers(services: StepServices) -> Mapping[str, StepHandler]:
    """One handler per step type that is installed. An entry point that can not be loaded stops the runner:
    it would fail every run that uses it."""
    return {point.name: point.load()(services) for point in entry_points(group=GROUP)}
