"""The scenarios, in the order in which they are measured."""

from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scenarios import (
    branchy,
    chain3,
    fan50,
    fleet,
    history,
    idle,
    logs,
    park,
    payload,
    slow,
    soak,
    start,
    stops,
    tenants,
)

SCENARIOS: tuple[Scenario, ...] = tuple(
    module.SCENARIO
    for module in (
        idle,
        chain3,
        fan50,
        slow,
        branchy,
        park,
        start,
        history,
        logs,
        payload,
        tenants,
        fleet,
        stops,
        soak,
    )
)
