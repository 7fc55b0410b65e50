"""The scenarios, in the order in which they are measured."""

from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scenarios import chain3

SCENARIOS: tuple[Scenario, ...] = (chain3.SCENARIO,)
